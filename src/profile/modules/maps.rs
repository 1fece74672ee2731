//! What `/proc/self/maps` says: which part of which file lies where.

use std::ops::Range;

/// What the kernel puts behind the path of a file that isn't there any more, or has been replaced.
const DELETED: &str = " (deleted)";

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::profile) struct Mapping {
    /// Where it lies.
    pub(in crate::profile) range: Range<u64>,
    pub(super) is_code: bool,
    /// Where in the file that is.
    pub(in crate::profile) offset: u64,
    /// Which file: device and inode. Another of the same name is another file.
    pub(super) file: (u64, u64),
    pub(super) path: String,
}

impl Mapping {
    pub(super) fn of(line: &str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let (access, offset) = (fields.next()?, fields.next()?);
        let (major, minor) = fields.next()?.split_once(':')?;
        let inode = fields.next()?.parse().ok()?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let number = |text| u32::from_str_radix(text, 16).ok();
        Some(Self {
            range: hex(start)?..hex(end)?,
            is_code: access.contains('x'),
            offset: hex(offset)?,
            file: (device(number(major)?, number(minor)?), inode),
            path: fields.next()?.trim_start().to_owned(),
        })
    }

    /// The path without what the kernel says of it; whether it does. A file may also be called so.
    pub(super) fn path_before(&self) -> (&str, bool) {
        let before = self.path.strip_suffix(DELETED);
        (before.unwrap_or(&self.path), before.is_some())
    }

    /// Where the file's beginning lies: in the last mapping of it that begins with that, since one may be there twice.
    pub(super) fn base(&self, all: &[Self]) -> Option<u64> {
        let is_first = |other: &&Self| {
            other.offset == 0
                && (other.file, &other.path) == (self.file, &self.path)
                && other.range.start <= self.range.start
        };
        all.iter().filter(is_first).map(|other| other.range.start).max()
    }
}

/// As a file's `st_dev` has it.
fn device(major: u32, minor: u32) -> u64 {
    let [major, minor] = [major, minor].map(u64::from);
    (major & !0xfff) << 32 | (major & 0xfff) << 8 | (minor & !0xff) << 12 | minor & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_read_with_blanks_in_the_path() {
        let line = "7f00-7f80 r-xp 00001000 fe:0a 1234                       /opt/a b/libc.so.6";
        let expected = Mapping {
            range: 0x7f00..0x7f80,
            is_code: true,
            offset: 0x1000,
            file: (0xfe0a, 1234),
            path: "/opt/a b/libc.so.6".into(),
        };
        assert_eq!(expected.path_before(), ("/opt/a b/libc.so.6", false));
        assert_eq!(Mapping::of(line), Some(expected));
        let deleted = Mapping::of(&format!("{line} (deleted)")).expect("a mapping");
        assert_eq!(deleted.path_before(), ("/opt/a b/libc.so.6", true));
        let nameless = Mapping::of("7f00-7f80 rw-p 00000000 00:00 0 ").expect("a mapping");
        assert_eq!(nameless.path, "");
        assert_eq!(Mapping::of("cut off"), None);
    }

    #[test]
    fn a_file_that_is_there_twice_begins_where_its_own_first_part_lies() {
        let text = "10-20 r--p 00000000 fe:00 7 /a\n20-30 r-xp 00000010 fe:00 7 /a\n\
                    30-40 r--p 00000000 fe:00 8 /a\n\
                    50-60 r--p 00000000 fe:00 7 /a\n60-70 r-xp 00000010 fe:00 7 /a";
        let all: Vec<_> = text.lines().filter_map(Mapping::of).collect();
        let bases: Vec<_> = all.iter().map(|mapping| mapping.base(&all)).collect();
        assert_eq!(bases, [0x10, 0x10, 0x30, 0x50, 0x50].map(Some));
        assert_eq!(all[1].base(&all[1..]), None);
    }
}
