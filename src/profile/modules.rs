//! The files whose code this process runs, and where they lie.
//!
//! What is on the disk under a file's name may be another one by now: an upgrade replaces libraries while their old ones run on. So
//! a file counts only where it is the one that is mapped; where that can't be opened, it is read as it lies in memory (`image`).

mod image;
mod maps;

use image::Image;
use maps::Mapping;
use object::{Object, ObjectSection, ObjectSegment, ReadCache, SegmentFlags, elf};
use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// What is mapped.
const MAPS: &str = "/proc/self/maps";

/// The program itself, also where its file has been replaced since.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// A link to each mapping's file, also where that has been replaced since. A few privileged ones may follow it.
const MAPPED_FILES: &str = "/proc/self/map_files";

/// The code that the kernel brings along. It has no file, and a name is all that is said of it.
pub(super) const VDSO: &str = "[vdso]";

/// One file's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// Its name, as people know it.
    pub(super) name: PathBuf,
    /// Where its code lies.
    pub(super) mapping: Mapping,
    /// Where the beginning of the file lies.
    base: Option<u64>,
    /// By which it may be opened, where it is what they lead to.
    pub(super) files: Vec<PathBuf>,
    /// What is added to an address of the file for that of the process.
    pub(super) bias: u64,
    /// The linker's number of the file; empty where it gave none.
    pub(super) build_id: String,
}

/// All of this process, by address. While nothing more can be opened it is what it was when somebody looked before.
pub(super) fn loaded() -> io::Result<Vec<Module>> {
    static BEFORE: Mutex<Vec<Module>> = Mutex::new(Vec::new());
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    *before = of(std::fs::read_to_string(MAPS), &before)?;
    Ok(before.clone())
}

/// What was known before of a mapping is true for as long as it lies there.
fn of(maps: io::Result<String>, before: &[Module]) -> io::Result<Vec<Module>> {
    let maps = match maps {
        Err(_) if !before.is_empty() => return Ok(before.to_vec()),
        maps => maps?,
    };
    let program = std::fs::read_link(THIS_PROGRAM).unwrap_or_default();
    let mappings: Vec<_> = maps.lines().filter_map(Mapping::of).collect();
    let module = |mapping: &Mapping| {
        let base = mapping.base(&mappings);
        let known = before.iter().find(|it| (&it.mapping, it.base) == (mapping, base));
        known.cloned().or_else(|| Module::of(mapping, base, &program))
    };
    Ok(mappings.iter().filter(|mapping| mapping.is_code).filter_map(module).collect())
}

impl Module {
    /// Nothing for what is of no file, or can't be read.
    fn of(mapping: &Mapping, base: Option<u64>, program: &Path) -> Option<Self> {
        let (path, is_deleted) = mapping.path_before();
        let module = Self {
            name: path.into(),
            mapping: mapping.clone(),
            base,
            files: Vec::new(),
            bias: mapping.range.start,
            build_id: String::new(),
        };
        if path == VDSO {
            return Some(module);
        }
        if !path.starts_with('/') {
            return None;
        }
        let Range { start, end } = mapping.range;
        let mut files = vec![mapping.path.clone().into()];
        if is_deleted {
            files.extend([path.into(), format!("{MAPPED_FILES}/{start:x}-{end:x}").into()]);
        }
        if Path::new(&mapping.path) == program {
            files = vec![THIS_PROGRAM.into()];
        }
        Self { files, ..module }.read()
    }

    /// With what its file says of it, or else what lies in memory.
    pub(super) fn read(self) -> Option<Self> {
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
        };
        let from_file = || {
            let cache = ReadCache::new(self.opened()?);
            let object = object::File::parse(&cache).ok()?;
            let build_id = object.build_id().ok().flatten().map(hex);
            Some((bias(&object, &self.mapping)?, build_id))
        };
        let from_memory = || {
            let image = self.image()?;
            Some((image.bias, image.build_id().as_deref().map(hex)))
        };
        let (bias, build_id) = from_file().or_else(from_memory)?;
        Some(Self { bias, build_id: build_id.unwrap_or_default(), ..self })
    }

    /// Its file, and no other that is called so by now.
    pub(super) fn opened(&self) -> Option<File> {
        self.files.iter().find_map(|path| {
            let file = File::open(path).ok()?;
            // The kernel knows what these lead to.
            let is_it = path.starts_with("/proc/self") || self.is_in(&file);
            is_it.then_some(file)
        })
    }

    /// It as it lies in memory.
    pub(super) fn image(&self) -> Option<Image> {
        Image::at(self.base?)
    }

    /// Whether that is the file that is mapped. On overlays, as containers have them, and some other file systems a file has
    /// a device and an inode of its own for whoever opens it: what wasn't deleted is also known by the linker's number, or by
    /// its beginning where it has none.
    fn is_in(&self, file: &File) -> bool {
        if file.metadata().is_ok_and(|found| (found.dev(), found.ino()) == self.mapping.file) {
            return true;
        }
        let (_, is_deleted) = self.mapping.path_before();
        let is_alike = |image: Image| {
            let mut head = vec![0; image.head.len()];
            file.read_exact_at(&mut head, 0).ok()?;
            let cache = ReadCache::new(file.try_clone().ok()?);
            let object = object::File::parse(&cache).ok()?;
            Some(head == image.head && object.build_id().ok()? == image.build_id().as_deref())
        };
        !is_deleted && self.image().and_then(is_alike).unwrap_or(false)
    }
}

/// From the segment whose bytes lie where the mapping begins. Neither need begin at a page.
fn bias<'d>(object: &impl Object<'d>, mapping: &Mapping) -> Option<u64> {
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
    fn this_very_function_lies_in_this_program() {
        let here = this_very_function_lies_in_this_program as *const () as u64;
        let modules = loaded().expect("a list");
        let program = modules.iter().find(|module| module.mapping.range.contains(&here));
        let program = program.expect("a module with this function");
        assert_eq!(program.files, [Path::new(THIS_PROGRAM)]);
        assert!(modules.iter().any(|module| module.name.to_string_lossy().contains("libc.so")));
    }

    #[test]
    fn while_nothing_can_be_opened_it_is_as_it_was_before() {
        let none = || Err(io::Error::from(nix::errno::Errno::EMFILE));
        let before = loaded().expect("a list");
        assert_eq!(of(none(), &before).expect("as before"), before);
        assert!(of(none(), &[]).is_err(), "nobody looked before");
        // A module of which nothing can be read any more.
        let mut known = before.clone();
        for module in &mut known {
            module.build_id = "as it was read".into();
        }
        let maps = std::fs::read_to_string(MAPS);
        let again = of(maps, &known).expect("a list");
        assert!(known.iter().all(|module| again.contains(module)), "{again:?}");
    }

    /// As it is on an overlay, whose files have other numbers for whoever opens them than for whoever maps them.
    #[test]
    fn a_file_with_another_number_is_known_by_what_is_in_it_unless_it_was_deleted() {
        let modules = loaded().expect("a list");
        let libc = modules.iter().find(|module| module.name.to_string_lossy().contains("libc.so"));
        let mut libc = libc.expect("a libc").clone();
        let (file, other) = (File::open(&libc.name), File::open(THIS_PROGRAM));
        let (file, other) = (file.expect("libc"), other.expect("this program"));
        assert!(libc.is_in(&file) && !libc.is_in(&other));
        libc.mapping.file.1 += 1;
        assert!(libc.is_in(&file) && !libc.is_in(&other));
        libc.mapping.path.push_str(" (deleted)");
        assert!(!libc.is_in(&file));
    }
}
