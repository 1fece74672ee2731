//! What called what: from a sample's registers and its copy of the stack, by the tables that the compiler made
//! for panics. They are exact at each instruction, in prologues, in the allocator and in libc, where frame pointers
//! aren't; and they are there in every build, whatever flags it had.

use super::modules::{Module, range, section};
use crate::sys::sampler::Sample;
use framehop::{
    CacheNative, ExplicitModuleSectionInfo, MayAllocateDuringUnwind, Module as Tables,
    UnwindRegsNative, Unwinder as _, UnwinderNative,
};

/// Deeper stacks lose their outermost frames.
const FRAMES_MAX: usize = 512;

/// The tables of all modules.
pub(super) struct Unwinder {
    tables: UnwinderNative<Vec<u8>, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
}

impl Unwinder {
    pub(super) fn of(modules: &[Module]) -> Self {
        let mut tables = UnwinderNative::new();
        for module in modules.iter().filter_map(of_module) {
            tables.add_module(module);
        }
        Self { tables, cache: CacheNative::new() }
    }

    /// The frames, from the innermost to the outermost: what was interrupted, and then the calls.
    pub(super) fn frames(&mut self, sample: &Sample) -> Vec<u64> {
        let mut word = |address| sample.word(address).ok_or(());
        let start = (sample.instruction, registers(sample));
        let mut calls = self.tables.iter_frames(start.0, start.1, &mut self.cache, &mut word);
        let mut frames = Vec::new();
        while let Ok(Some(frame)) = calls.next() {
            frames.push(frame.address_for_lookup());
            if frames.len() == FRAMES_MAX {
                break;
            }
        }
        frames
    }
}

type Sections = ExplicitModuleSectionInfo<Vec<u8>>;

fn of_module(module: &Module) -> Option<Tables<Vec<u8>>> {
    let sections = of_file(module).or_else(|| of_image(module))?;
    let name = module.name.to_string_lossy().into_owned();
    Some(Tables::new(name, module.mapping.range.clone(), module.bias, sections))
}

fn of_file(module: &Module) -> Option<Sections> {
    let cache = object::ReadCache::new(module.opened()?);
    let object = object::File::parse(&cache).ok()?;
    let (eh_frame_hdr_svma, eh_frame_hdr) = section(&object, ".eh_frame_hdr").unzip();
    let (eh_frame_svma, eh_frame) = section(&object, ".eh_frame").unzip();
    Some(Sections {
        // Of these there are no bytes: the code itself is twenty megabytes.
        text_svma: range(&object, ".text"),
        got_svma: range(&object, ".got"),
        eh_frame_svma,
        eh_frame,
        eh_frame_hdr_svma,
        eh_frame_hdr,
        ..Sections::default()
    })
}

/// Where its file can't be opened.
fn of_image(module: &Module) -> Option<Sections> {
    let image = module.image()?;
    let (tables, index) = image.unwinding()?;
    Some(Sections {
        text_svma: image.code(),
        eh_frame_svma: Some(tables.0),
        eh_frame: Some(tables.1),
        eh_frame_hdr_svma: Some(index.0),
        eh_frame_hdr: Some(index.1),
        ..Sections::default()
    })
}

#[cfg(target_arch = "x86_64")]
fn registers(sample: &Sample) -> UnwindRegsNative {
    UnwindRegsNative::new(sample.instruction, sample.stack_pointer, sample.frame_pointer)
}

#[cfg(target_arch = "aarch64")]
fn registers(sample: &Sample) -> UnwindRegsNative {
    UnwindRegsNative::new(sample.link, sample.stack_pointer, sample.frame_pointer)
}
