//! A file as it lies in this process: what there is of one that was replaced since, by an upgrade, say, and can't be opened
//! any more. It has what the loader needs, the tables for panics among that, and neither debug information nor the names of
//! what nobody else calls.
//!
//! It is read as a file (`/proc/self/mem`): what goes away meanwhile is an error then.

use object::elf;
use std::{fs::File, ops::Range, os::unix::fs::FileExt};

/// The memory of this process, as a file.
const MEMORY: &str = "/proc/self/mem";
/// Most bytes that are read of one table: what is damaged may say any length.
const TABLE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Lengths in a 64-bit file: of its header, of a segment's, of an entry of the loader's table, of a symbol.
const HEADER: u64 = 64;
const SEGMENT: usize = 56;
const ENTRY: usize = 16;
const SYMBOL: usize = 24;
/// How the tables are nearly always told where their index is: from there, in four bytes.
const FROM_HERE: u8 = 0x1b;

/// Addresses are the file's own, but for the bias.
pub(in crate::profile) struct Image {
    memory: File,
    /// What is added to an address of the file for that of the process.
    pub(super) bias: u64,
    /// The file's first bytes, its header and those of its segments.
    pub(super) head: Vec<u8>,
    segments: Vec<Segment>,
}

/// A part of it.
#[derive(Debug, Clone)]
struct Segment {
    kind: u32,
    is_code: bool,
    offset: u64,
    range: Range<u64>,
    align: u64,
}

/// A table: where it lies in the file, and its bytes.
pub(in crate::profile) type Table = (Range<u64>, Vec<u8>);

impl Image {
    /// That which begins there in this process.
    pub(super) fn at(base: u64) -> Option<Self> {
        let memory = File::open(MEMORY).ok()?;
        let header = read(&memory, base..base.checked_add(HEADER)?)?;
        if header.get(..5)? != [0x7f, b'E', b'L', b'F', elf::ELFCLASS64] {
            return None;
        }
        let (at, count) = (u64_at(&header, 32)?, u16_at(&header, 56)?);
        let length = u64::try_from(SEGMENT).ok()?.checked_mul(count.into())?;
        let head = read(&memory, base..base.checked_add(at.checked_add(length)?)?)?;
        let headers = head.get(usize::try_from(at).ok()?..)?.chunks_exact(SEGMENT);
        let segments: Vec<_> = headers.map_while(Segment::of).collect();
        let first = segments.iter().find(|it| it.kind == elf::PT_LOAD && it.offset == 0)?;
        Some(Self { memory, bias: base.wrapping_sub(first.range.start), head, segments })
    }

    /// The linker's number of the file.
    pub(super) fn build_id(&self) -> Option<Vec<u8>> {
        let mut notes = self.segments.iter().filter(|segment| segment.kind == elf::PT_NOTE);
        notes.find_map(|it| build_id(&self.bytes(it.range.clone())?, it.align))
    }

    /// Where its code lies.
    pub(in crate::profile) fn code(&self) -> Option<Range<u64>> {
        let code = |it: &&Segment| it.kind == elf::PT_LOAD && it.is_code;
        self.segments.iter().find(code).map(|segment| segment.range.clone())
    }

    /// The tables for panics, and their index. Nothing says how long the tables are: they go on to the segment's end.
    pub(in crate::profile) fn unwinding(&self) -> Option<(Table, Table)> {
        let index = self.segments.iter().find(|it| it.kind == elf::PT_GNU_EH_FRAME)?;
        let range = index.range.clone();
        let bytes = self.bytes(range.clone())?;
        if bytes.get(1) != Some(&FROM_HERE) {
            return None;
        }
        let from = i64::from(i32::from_ne_bytes(*bytes.get(4..)?.first_chunk()?));
        let start = range.start.wrapping_add(4).wrapping_add_signed(from);
        let tables = start..self.loaded(start)?.end;
        let read = self.bytes(tables.clone())?;
        Some(((tables, read), (range, bytes)))
    }

    /// The functions that it offers to others.
    pub(in crate::profile) fn functions(&self) -> Option<Vec<(Range<u64>, String)>> {
        let dynamic = self.segments.iter().find(|segment| segment.kind == elf::PT_DYNAMIC)?;
        let dynamic = self.bytes(dynamic.range.clone())?;
        let entry = |tag: i64| {
            let mut entries = dynamic.chunks_exact(ENTRY);
            entries.find(|entry| u64_at(entry, 0) == Some(tag.cast_unsigned()))
        };
        let value = |tag| u64_at(entry(tag)?, 8);
        let texts = self.own(value(elf::DT_STRTAB)?);
        let texts = self.bytes(texts..texts.checked_add(value(elf::DT_STRSZ)?)?)?;
        let hashes = self.own(value(elf::DT_GNU_HASH)?);
        let count = symbols(&self.bytes(hashes..self.loaded(hashes)?.end)?)?;
        let symbols = self.own(value(elf::DT_SYMTAB)?);
        let length = count.checked_mul(u64::try_from(SYMBOL).ok()?)?;
        let symbols = self.bytes(symbols..symbols.checked_add(length)?)?;
        Some(symbols.chunks_exact(SYMBOL).filter_map(|symbol| function(symbol, &texts)).collect())
    }

    /// The loader writes addresses of the process over the file's, or doesn't, as the processor has it.
    fn own(&self, address: u64) -> u64 {
        let own = address.wrapping_sub(self.bias);
        if self.loaded(address).is_some() { address } else { own }
    }

    /// The segment in which that lies.
    fn loaded(&self, address: u64) -> Option<Range<u64>> {
        let loaded = self.segments.iter().filter(|segment| segment.kind == elf::PT_LOAD);
        loaded.map(|segment| segment.range.clone()).find(|range| range.contains(&address))
    }

    fn bytes(&self, range: Range<u64>) -> Option<Vec<u8>> {
        let moved = |address: u64| address.wrapping_add(self.bias);
        read(&self.memory, moved(range.start)..moved(range.end))
    }
}

impl Segment {
    fn of(header: &[u8]) -> Option<Self> {
        let flags = u32_at(header, 4)?;
        // As much as is in the file: what is behind that is zero, or none at all.
        let (start, length) = (u64_at(header, 16)?, u64_at(header, 32)?);
        Some(Self {
            kind: u32_at(header, 0)?,
            is_code: flags & elf::PF_X != 0,
            offset: u64_at(header, 8)?,
            range: start..start.checked_add(length)?,
            align: u64_at(header, 48)?,
        })
    }
}

fn read(memory: &File, range: Range<u64>) -> Option<Vec<u8>> {
    let length = range.end.checked_sub(range.start).filter(|length| *length <= TABLE_MAX_BYTES)?;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    memory.read_exact_at(&mut bytes, range.start).ok()?;
    Some(bytes)
}

/// Of notes: lengths of name and text, kind, name, text.
fn build_id(mut notes: &[u8], align: u64) -> Option<Vec<u8>> {
    let align = if align == 8 { 8 } else { 4 };
    loop {
        let length = |at| usize::try_from(u32_at(notes, at)?).ok();
        let (name, text) = (length(0)?, length(4)?);
        let at = (12 + name).next_multiple_of(align);
        let end = at.checked_add(text)?;
        let is_it = u32_at(notes, 8)? == elf::NT_GNU_BUILD_ID
            && notes.get(12..)?.starts_with(elf::ELF_NOTE_GNU);
        if is_it {
            return notes.get(at..end).map(<[u8]>::to_vec);
        }
        notes = notes.get(end.next_multiple_of(align)..)?;
    }
}

/// How many symbols there are, which nothing says but their hashes: the last chain's last.
fn symbols(hashes: &[u8]) -> Option<u64> {
    let number = |at| u32_at(hashes, at);
    let [buckets, first, bloom] = [number(0)?, number(4)?, number(8)?];
    let place = |number: u32, each: usize| usize::try_from(number).ok()?.checked_mul(each);
    let buckets_at = 16_usize.checked_add(place(bloom, 8)?)?;
    let chains_at = buckets_at.checked_add(place(buckets, 4)?)?;
    let starts = hashes.get(buckets_at..chains_at)?.chunks_exact(4);
    let mut last = starts.filter_map(|start| u32_at(start, 0)).max()?;
    if last < first {
        return Some(first.into());
    }
    // The last of a chain is marked.
    while number(chains_at.checked_add(place(last - first, 4)?)?)? & 1 == 0 {
        last = last.checked_add(1)?;
    }
    Some(u64::from(last) + 1)
}

/// Nothing for what is none, or somebody else's.
fn function(symbol: &[u8], texts: &[u8]) -> Option<(Range<u64>, String)> {
    let kind = symbol.get(4)? & 0xf;
    let (section, start, length) = (u16_at(symbol, 6)?, u64_at(symbol, 8)?, u64_at(symbol, 16)?);
    if kind != elf::STT_FUNC || section == elf::SHN_UNDEF {
        return None;
    }
    let text = texts.get(usize::try_from(u32_at(symbol, 0)?).ok()?..)?;
    let name = text.split(|byte| *byte == 0).next()?;
    Some((start..start.checked_add(length)?, String::from_utf8_lossy(name).into_owned()))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::{loaded, section};

    #[test]
    fn what_is_in_memory_is_what_the_file_says() {
        let modules = loaded().expect("a list");
        let libc = modules.iter().find(|module| module.name.to_string_lossy().contains("libc.so"));
        let libc = libc.expect("a libc");
        let image = libc.image().expect("it lies in memory");
        let file = object::ReadCache::new(libc.opened().expect("it is there"));
        let file = object::File::parse(&file).expect("a library");
        assert_eq!(image.bias, libc.bias);
        let id = object::Object::build_id(&file).expect("a library").expect("a number");
        assert_eq!(image.build_id().as_deref(), Some(id));
        let (tables, index) = image.unwinding().expect("tables");
        assert_eq!(Some(index), section(&file, ".eh_frame_hdr"));
        let (range, bytes) = section(&file, ".eh_frame").expect("tables");
        assert_eq!(tables.0.start, range.start);
        assert!(tables.1.starts_with(&bytes), "and what lies behind them");
        let functions = image.functions().expect("functions");
        let symbol = |name: &str| {
            let found = functions.iter().find(|(_, function)| function == name);
            found.map(|(range, _)| range.start).expect("libc has it")
        };
        let offered = object::Object::exports(&file).expect("a library");
        for name in ["qsort", "strtol", "bsearch"] {
            let expected = offered.iter().find(|export| export.name() == name.as_bytes());
            assert_eq!(expected.map(object::Export::address), Some(symbol(name)), "{name}");
        }
    }
}
