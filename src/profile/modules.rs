//! The files whose code this process runs, and where they lie.

use object::{Object, ObjectSection, ObjectSegment, ReadCache, SegmentFlags, elf};
use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
};

/// The program itself, also where its file has been replaced since.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The code that the kernel brings along. It has no file, and a name is all that is said of it.
pub(super) const VDSO: &str = "[vdso]";

/// One file's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// Its name, as people know it.
    pub(super) name: PathBuf,
    /// By which it can be opened.
    pub(super) file: PathBuf,
    /// Where its code lies.
    pub(super) range: Range<u64>,
    /// Where in the file that is.
    pub(super) offset: u64,
    /// What is added to an address of the file for that of the process.
    pub(super) bias: u64,
    /// The linker's number of the file; empty where it gave none.
    pub(super) build_id: String,
}

/// Opens a file of a module, reading only what is asked for.
pub(super) fn opened(file: &Path) -> Option<ReadCache<File>> {
    File::open(file).ok().map(ReadCache::new)
}

/// All of this process, by address.
pub(super) fn loaded() -> Vec<Module> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let program = std::fs::read_link(THIS_PROGRAM).unwrap_or_default();
    maps.lines().filter_map(|line| module(&Mapping::of(line)?, &program)).collect()
}

/// A line of `/proc/self/maps`.
#[derive(Debug, Clone, PartialEq)]
struct Mapping<'l> {
    range: Range<u64>,
    is_code: bool,
    offset: u64,
    path: &'l str,
}

impl<'l> Mapping<'l> {
    fn of(line: &'l str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let (access, offset) = (fields.next()?, fields.next()?);
        // Device and inode.
        fields.nth(1)?;
        let path = fields.next()?.trim_start();
        let hex = |text| u64::from_str_radix(text, 16).ok();
        Some(Self {
            range: hex(start)?..hex(end)?,
            is_code: access.contains('x'),
            offset: hex(offset)?,
            path,
        })
    }
}

/// Nothing for what isn't code, or of no file.
fn module(mapping: &Mapping<'_>, program: &Path) -> Option<Module> {
    let name = PathBuf::from(mapping.path);
    if mapping.is_code && mapping.path == VDSO {
        let Mapping { range, offset, .. } = mapping.clone();
        let bias = range.start;
        return Some(Module {
            file: name.clone(),
            name,
            range,
            offset,
            bias,
            build_id: String::new(),
        });
    }
    if !mapping.is_code || !mapping.path.starts_with('/') {
        return None;
    }
    let file = if name == program { PathBuf::from(THIS_PROGRAM) } else { name.clone() };
    let cache = opened(&file)?;
    let object = object::File::parse(&cache).ok()?;
    let hex =
        |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    Some(Module {
        file,
        range: mapping.range.clone(),
        offset: mapping.offset,
        bias: bias(&object, mapping)?,
        build_id: object.build_id().ok().flatten().map(hex).unwrap_or_default(),
        name,
    })
}

/// From the segment whose bytes lie where the mapping begins. Neither need begin at a page.
fn bias<'d>(object: &impl Object<'d>, mapping: &Mapping<'_>) -> Option<u64> {
    let is_code =
        |flags| matches!(flags, SegmentFlags::Elf { p_flags, .. } if p_flags & elf::PF_X != 0);
    let length = mapping.range.end - mapping.range.start;
    object.segments().find_map(|segment| {
        let (start, size) = segment.file_range();
        let overlaps = start < mapping.offset + length && mapping.offset < start + size;
        let address = segment.address().wrapping_sub(start).wrapping_add(mapping.offset);
        (is_code(segment.flags()) && overlaps).then(|| mapping.range.start.wrapping_sub(address))
    })
}

/// A section's addresses in the file.
pub(super) fn range<'d>(object: &impl Object<'d>, name: &str) -> Option<Range<u64>> {
    let section = object.section_by_name(name)?;
    Some(section.address()..section.address() + section.size())
}

/// The same, and its bytes.
pub(super) fn section<'d>(object: &impl Object<'d>, name: &str) -> Option<(Range<u64>, Vec<u8>)> {
    let bytes = object.section_by_name(name)?.uncompressed_data().ok()?.into_owned();
    Some((range(object, name)?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_read_with_blanks_in_the_path() {
        let line = "7f00-7f80 r-xp 00001000 fe:00 1234                       /opt/a b/libc.so.6";
        let expected = Mapping {
            range: 0x7f00..0x7f80,
            is_code: true,
            offset: 0x1000,
            path: "/opt/a b/libc.so.6",
        };
        assert_eq!(Mapping::of(line), Some(expected));
        assert_eq!(Mapping::of("7f00-7f80 rw-p 00000000 00:00 0 ").map(|map| map.path), Some(""));
        assert_eq!(Mapping::of("cut off"), None);
    }

    #[test]
    fn this_very_function_lies_in_this_program() {
        let here = this_very_function_lies_in_this_program as *const () as u64;
        let modules = loaded();
        let program = modules.iter().find(|module| module.range.contains(&here));
        let program = program.expect("a module with this function");
        assert_eq!(program.file, Path::new(THIS_PROGRAM));
        assert!(modules.iter().any(|module| module.name.to_string_lossy().contains("libc.so")));
    }
}
