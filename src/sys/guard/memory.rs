//! What a guard keeps of the daemon's memory: nothing that it doesn't need.
//!
//! A fork shares its parent's pages until the parent writes to them, and then holds the old ones alone:
//! with the hours, a guard would come to hold all that the daemon had at its start, and with it whatever
//! secrets there were. So it gives back every heap and every stack but its own.

use nix::libc;

use super::each_byte;

/// The address ranges of this process, a line each.
const MAPS: &std::ffi::CStr = c"/proc/self/maps";

/// Unmaps what is private, writable and of no file, but for the stack and the thread's own data.
///
/// The caller never returns and from here on uses nothing that it was given: what lies in a heap, or
/// on the stack of another thread, is gone.
pub(super) fn give_back() {
    let here = 0_u8;
    // On a thread's own stack in most cases, with the first thread somewhere else.
    let needed = [std::ptr::from_ref(&here).addr(), errno().addr()];
    let mut line = Line::default();
    let mut end_of_file = 0;
    each_byte(MAPS, |byte| {
        let Some(range) = line.push(byte) else { return };
        // The static variables of a program or a library stand right behind its file's ranges.
        if range.what == What::File || range.start == end_of_file {
            end_of_file = range.end;
        } else if range.what == What::HeapOrStack && !needed.iter().any(|it| range.contains(*it)) {
            unmap(&range);
        }
    });
}

#[expect(unsafe_code, reason = "there is no other way to the place of errno")]
fn errno() -> *const libc::c_int {
    // SAFETY: it only tells an address.
    unsafe { libc::__errno_location() }
}

#[expect(unsafe_code, reason = "this is what it is for")]
fn unmap(range: &Range) {
    let start = std::ptr::without_provenance_mut(range.start);
    // SAFETY: nobody reads these ranges any more. This process has one thread, that of the guard, whose
    // loop uses its own stack, errno, and static data, all of which the caller keeps.
    unsafe { libc::munmap(start, range.end - range.start) };
}

/// A range of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Range {
    start: usize,
    end: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum What {
    File,
    /// Private and writable, and of no file.
    HeapOrStack,
    /// Reserved, shared, or the kernel's.
    #[default]
    Else,
}

impl Range {
    fn contains(&self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }
}

/// A line of the list, as far as it was read: `start-end permissions offset device inode path`.
#[derive(Default)]
struct Line {
    range: Range,
    field: usize,
    number: usize,
    /// Permissions that a heap has, in their order.
    permitted: usize,
    is_of_a_file: bool,
}

impl Line {
    const PERMISSIONS: usize = 1;
    const INODE: usize = 4;

    /// The range, once the line has ended.
    fn push(&mut self, byte: u8) -> Option<Range> {
        match (byte, self.field) {
            (b'\n', _) => {
                let Self { mut range, permitted, is_of_a_file, .. } = std::mem::take(self);
                range.what = match permitted == HEAP.len() {
                    _ if is_of_a_file => What::File,
                    true => What::HeapOrStack,
                    false => What::Else,
                };
                return Some(range);
            }
            (b'-', 0) => self.range.start = std::mem::take(&mut self.number),
            (b' ', 0) => {
                self.range.end = self.number;
                self.field = 1;
            }
            (b' ', ..=Self::INODE) => self.field += 1,
            (digit, 0) => self.number = self.number.wrapping_mul(16).wrapping_add(value(digit)),
            (letter, Self::PERMISSIONS) if HEAP.get(self.permitted) == Some(&letter) => {
                self.permitted += 1;
            }
            (digit, Self::INODE) => self.is_of_a_file |= digit != b'0',
            _ => {}
        }
        None
    }
}

/// Read, write, not executed, private.
const HEAP: &[u8] = b"rw-p";

fn value(hexadecimal: u8) -> usize {
    char::from(hexadecimal).to_digit(16).map_or(0, |digit| digit as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::heap("1000-3000 rw-p 00000000 00:00 0                  [heap]", What::HeapOrStack)]
    #[case::anonymous("1000-3000 rw-p 00000000 00:00 0 ", What::HeapOrStack)]
    #[case::a_files_data("1000-3000 rw-p 00ab0000 fd:01 1070   /usr/bin/true", What::File)]
    #[case::a_files_code("1000-3000 r-xp 00001000 fe:00 1070   /lib/libc.so.6", What::File)]
    #[case::the_kernels("1000-3000 r-xp 00000000 00:00 0     [vdso]", What::Else)]
    #[case::reserved("1000-3000 ---p 00000000 00:00 0 ", What::Else)]
    #[case::shared("1000-3000 rw-s 00000000 00:00 0 ", What::Else)]
    #[case::compiled("1000-3000 rwxp 00000000 00:00 0 ", What::Else)]
    fn a_heap_is_told_from_the_rest(#[case] text: &str, #[case] what: What) {
        let mut line = Line::default();
        assert!(text.bytes().all(|byte| line.push(byte).is_none()));
        let range = Range { start: 0x1000, end: 0x3000, what };
        assert_eq!(line.push(b'\n'), Some(range));
        assert_eq!(line.range, Range::default(), "ready for the next");
    }
}
