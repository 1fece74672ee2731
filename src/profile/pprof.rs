//! The file that `go tool pprof` reads: perftools' `profile.proto`, gzipped.
//!
//! Functions are named in it, so that the reader needs neither the program nor its symbols; the mappings carry
//! the linker's build id, so that one who has them can tell that they fit.

mod proto;

use super::{Frame, Profile, Stack, ValueType, modules::Module, symbols::Line};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use prost::Message;
use std::{
    collections::HashMap,
    io::{self, Read, Write},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

impl Profile {
    /// The file.
    pub fn pprof(&self) -> io::Result<Vec<u8>> {
        let mut file = GzEncoder::new(Vec::new(), Compression::fast());
        file.write_all(&self.message().encode_to_vec())?;
        file.finish()
    }

    fn message(&self) -> proto::Profile {
        let mut file = File::default();
        file.strings.number("");
        let value = |file: &mut File, value: ValueType| proto::ValueType {
            r#type: file.strings.number(value.name),
            unit: file.strings.number(value.unit),
        };
        let sample_type = self.values.iter().map(|one| value(&mut file, *one)).collect();
        let period_type = value(&mut file, self.period.0);
        let mapping = self.places.modules.iter().enumerate();
        let mapping = mapping.map(|(number, module)| file.mapping(number, module)).collect();
        let sample = self.stacks.iter().map(|stack| file.sample(self, stack)).collect();
        let default_type = file.strings.number(self.main().name);
        proto::Profile {
            sample_type,
            sample,
            mapping,
            location: file.locations,
            function: file.functions,
            string_table: file.strings.all,
            time_nanos: began(self.duration),
            duration_nanos: i64::try_from(self.duration.as_nanos()).unwrap_or(i64::MAX),
            period_type: Some(period_type),
            period: self.period.1,
            default_sample_type: default_type,
        }
    }
}

/// Most bytes of a file that is looked into.
const LOOKED_AT_MAX: u64 = 256 * 1024 * 1024;

/// Whether such a file has no sample; what can't be read isn't empty.
pub fn is_empty(file: &[u8]) -> bool {
    let mut bytes = Vec::new();
    let unpacked = GzDecoder::new(file).take(LOOKED_AT_MAX).read_to_end(&mut bytes);
    let read = unpacked.ok().and_then(|_| proto::Profile::decode(&bytes[..]).ok());
    read.is_some_and(|profile| profile.sample.is_empty())
}

/// For people to read; nothing is decided by it.
#[expect(clippy::disallowed_methods, reason = "the file says at what time of day it was taken")]
fn began(duration: Duration) -> i64 {
    let began = std::time::SystemTime::now() - duration;
    let since = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// What the samples refer to, as it fills.
#[derive(Default)]
struct File {
    strings: Strings,
    functions: Vec<proto::Function>,
    function_ids: HashMap<(Arc<str>, Arc<str>), u64>,
    locations: Vec<proto::Location>,
    location_ids: HashMap<Frame, u64>,
}

/// Each text once, by its number.
#[derive(Default)]
struct Strings {
    all: Vec<String>,
    numbers: HashMap<String, i64>,
}

impl Strings {
    fn number(&mut self, text: &str) -> i64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = i64::try_from(self.all.len()).unwrap_or(i64::MAX);
        self.all.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

/// Numbers in the file begin with 1.
fn id(place: usize) -> u64 {
    u64::try_from(place).unwrap_or(u64::MAX - 1) + 1
}

impl File {
    fn mapping(&mut self, number: usize, module: &Module) -> proto::Mapping {
        proto::Mapping {
            id: id(number),
            memory_start: module.mapping.range.start,
            memory_limit: module.mapping.range.end,
            file_offset: module.mapping.offset,
            filename: self.strings.number(&module.name.to_string_lossy()),
            build_id: self.strings.number(&module.build_id),
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        }
    }

    fn sample(&mut self, profile: &Profile, stack: &Stack) -> proto::Sample {
        let location_id = stack.frames.iter().map(|frame| self.location(profile, frame)).collect();
        let label = stack.labels.iter().map(|(name, text)| proto::Label {
            key: self.strings.number(name),
            str: self.strings.number(text),
        });
        let label = label.collect();
        proto::Sample { location_id, value: stack.values.clone(), label }
    }

    fn location(&mut self, profile: &Profile, frame: &Frame) -> u64 {
        if let Some(id) = self.location_ids.get(frame) {
            return *id;
        }
        let named = |name: &str| vec![Line::of(name)];
        let (address, mapping, lines) = match frame {
            Frame::Named(name) => (0, 0, named(name)),
            Frame::Code(address) => match profile.places.known.get(address) {
                Some((module, lines)) => (*address, module.map_or(0, id), lines.clone()),
                None => (*address, 0, named("?")),
            },
        };
        let line = lines
            .iter()
            .map(|line| proto::Line { function_id: self.function(line), line: line.number.into() });
        let line = line.collect();
        let id = id(self.locations.len());
        self.locations.push(proto::Location { id, mapping_id: mapping, address, line });
        self.location_ids.insert(frame.clone(), id);
        id
    }

    fn function(&mut self, line: &Line) -> u64 {
        let key = (Arc::clone(&line.function), Arc::clone(&line.file));
        if let Some(id) = self.function_ids.get(&key) {
            return *id;
        }
        let id = id(self.functions.len());
        let name = self.strings.number(&line.function);
        let filename = self.strings.number(&line.file);
        // Of a name that is the linker's as well, Go's tool takes away what looks like C++'s templates.
        self.functions.push(proto::Function { id, name, system_name: 0, filename });
        self.function_ids.insert(key, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Places, modules, symbols},
        *,
    };
    use std::collections::BTreeSet;

    /// As whoever opens the file reads it.
    fn read(profile: &Profile) -> proto::Profile {
        let mut bytes = Vec::new();
        let packed = profile.pprof().unwrap();
        GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
        proto::Profile::decode(&bytes[..]).unwrap()
    }

    fn profile(stacks: Vec<Stack>, places: Places) -> Profile {
        let value = ValueType { name: "cpu", unit: "nanoseconds" };
        let duration = Duration::from_secs(5);
        Profile {
            values: vec![value],
            main: 0,
            by_kind: true,
            nothing: "[nothing ran]",
            period: (value, 10_000_000),
            duration,
            stacks,
            places,
        }
    }

    #[test]
    fn a_file_without_a_sample_is_empty() {
        let frames = vec![Frame::Named("daemon".into())];
        let stack = Stack { frames, labels: Vec::new(), values: vec![7] };
        for (stacks, empty) in [(Vec::new(), true), (vec![stack], false)] {
            let places = symbols::look_up(modules::loaded().unwrap(), &BTreeSet::new());
            assert_eq!(is_empty(&profile(stacks, places).pprof().unwrap()), empty);
        }
        assert!(!is_empty(b"no profile"));
    }

    #[test]
    fn a_function_is_named_with_its_file_and_the_module_with_its_build_id() {
        let address = read as fn(&Profile) -> proto::Profile as usize as u64;
        let places = symbols::look_up(modules::loaded().unwrap(), &BTreeSet::from([address]));
        let frames = vec![Frame::Code(address), Frame::Named("daemon".into())];
        let labels = vec![("kind", "send_email".into())];
        let file = read(&profile(vec![Stack { frames, labels, values: vec![7] }], places));
        let text = |number: i64| file.string_table[usize::try_from(number).unwrap()].as_str();
        assert_eq!(text(0), "");
        let [sample] = &file.sample[..] else { panic!("{:?}", file.sample) };
        assert_eq!(sample.value, [7]);
        assert_eq!((text(sample.label[0].key), text(sample.label[0].str)), ("kind", "send_email"));
        let place = |id: &u64| file.location.iter().find(|location| location.id == *id).unwrap();
        let [code, named] = &sample.location_id[..] else { panic!("{sample:?}") };
        let (code, named) = (place(code), place(named));
        let mapping = file.mapping.iter().find(|mapping| mapping.id == code.mapping_id).unwrap();
        assert!(!text(mapping.build_id).is_empty() && code.address == address);
        assert!((mapping.memory_start..mapping.memory_limit).contains(&address));
        let function = |location: &proto::Location| {
            let id = location.line[0].function_id;
            file.function.iter().find(|function| function.id == id).unwrap()
        };
        assert!(text(function(code).name).ends_with("pprof::tests::read"), "{file:?}");
        assert!(text(function(code).filename).ends_with("src/profile/pprof.rs"));
        assert_eq!(text(function(named).name), "daemon");
        // Go's tool would take `<T as Trait>` for a template of C++'s and leave nothing but the method.
        assert!(file.function.iter().all(|function| function.system_name == 0), "{file:?}");
    }
}
