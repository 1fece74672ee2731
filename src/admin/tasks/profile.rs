//! Groups of tasks as a profile of `pprof`'s: one sample a group, the stack its component with the point
//! where it waits on top.
//!
//! The few fields that are needed are written down as protobuf has them on the wire.

use super::goroutine::Alike;

/// `google.protobuf`'s wire types.
const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3 | VARINT);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn message(self, field: u64, inner: &Self) -> Self {
        self.bytes(field, &inner.0)
    }
}

/// The string table: each text once, the first of them empty.
struct Strings(Vec<String>);

impl Strings {
    fn of(&mut self, text: &str) -> u64 {
        let known = self.0.iter().position(|known| known == text);
        let at = known.unwrap_or_else(|| {
            self.0.push(text.to_owned());
            self.0.len() - 1
        });
        at as u64
    }
}

/// The profile of these groups and how many tasks each has.
pub(super) fn of<'g>(groups: impl Iterator<Item = (&'g Alike, usize)>) -> Vec<u8> {
    let mut strings = Strings(vec![String::new()]);
    let value_type = |strings: &mut Strings| {
        Message::default().number(1, strings.of("tasks")).number(2, strings.of("count"))
    };
    let sample_type = value_type(&mut strings);
    let mut profile = Message::default().message(1, &sample_type);
    let mut frames: Vec<String> = Vec::new();
    for (alike, tasks) in groups {
        // The innermost frame comes first.
        let mut sample = Message::default();
        for frame in [&alike.place, &alike.component] {
            let at = frames.iter().position(|known| known == frame).unwrap_or_else(|| {
                frames.push(frame.clone());
                frames.len() - 1
            });
            sample = sample.number(1, at as u64 + 1);
        }
        sample = sample.number(2, tasks as u64);
        for (key, value) in [("kind", &alike.kind), ("queue", &alike.queue)] {
            if let Some(value) = value {
                let label = Message::default().number(1, strings.of(key));
                sample = sample.message(3, &label.number(2, strings.of(value)));
            }
        }
        profile = profile.message(2, &sample);
    }
    for (id, frame) in (1..).zip(&frames) {
        let line = Message::default().number(1, id);
        profile = profile.message(4, &Message::default().number(1, id).message(4, &line));
        let name = strings.of(frame);
        let function = Message::default().number(1, id).number(2, name).number(3, name);
        profile = profile.message(5, &function);
    }
    let period_type = value_type(&mut strings);
    profile = profile.message(11, &period_type).number(12, 1);
    strings.0.iter().fold(profile, |profile, text| profile.bytes(6, text.as_bytes())).0
}
