//! What was looked up before. A daemon that goes on doing what it did has few addresses in a profile that were in none before,
//! and its tables take a hundred times as much memory, and as long, as what was found in them.

use super::{super::modules::Module, Line};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// How much is kept: some thousand addresses.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Lines by address, and each text once.
#[derive(Debug, Default)]
pub(super) struct Kept {
    modules: Vec<Module>,
    lines: HashMap<u64, Vec<Line>>,
    texts: HashSet<Arc<str>>,
    bytes: usize,
}

impl Kept {
    /// What was found is true for as long as the same files lie at the same places.
    pub(super) fn forget_others(&mut self, modules: &[Module]) {
        if self.modules != modules {
            *self = Self { modules: modules.to_vec(), ..Self::default() };
        }
    }

    /// What was found there, if anybody looked.
    pub(super) fn lines(&self, address: u64) -> Option<Vec<Line>> {
        self.lines.get(&address).cloned()
    }

    /// Keeps it, and gives it back.
    pub(super) fn keep(&mut self, address: u64, lines: Vec<Line>) -> Vec<Line> {
        let once = |line: Line| Line {
            function: self.text(line.function),
            file: self.text(line.file),
            number: line.number,
        };
        let lines: Vec<Line> = lines.into_iter().map(once).collect();
        self.bytes += size_of::<(u64, Vec<Line>)>() + size_of_val(&lines[..]);
        self.lines.insert(address, lines.clone());
        lines
    }

    fn text(&mut self, text: Arc<str>) -> Arc<str> {
        if let Some(known) = self.texts.get(&text) {
            return Arc::clone(known);
        }
        // What counts who has it lies beside it.
        self.bytes += size_of::<Arc<str>>() + 2 * size_of::<usize>() + text.len();
        self.texts.insert(Arc::clone(&text));
        text
    }

    /// All of it goes where it is too much: what is needed again is looked up again.
    pub(super) fn forget_what_is_too_much(&mut self) {
        if self.bytes > BYTES_MAX {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::modules, *};

    fn line(function: &str) -> Line {
        Line { function: function.into(), file: "src/a.rs".into(), number: 1 }
    }

    #[test]
    fn what_was_found_is_known_until_other_files_lie_there() {
        let mut modules = modules::loaded().unwrap();
        let mut kept = Kept::default();
        kept.forget_others(&modules);
        assert_eq!(kept.lines(1), None);
        assert_eq!(
            kept.keep(1, vec![line("inlined"), line("outer")]),
            [line("inlined"), line("outer")]
        );
        kept.keep(2, vec![line("outer")]);
        kept.forget_others(&modules);
        kept.forget_what_is_too_much();
        let (first, second) = (kept.lines(1).unwrap(), kept.lines(2).unwrap());
        assert_eq!(first, [line("inlined"), line("outer")]);
        assert!(Arc::ptr_eq(&first[1].function, &second[0].function), "a text is there once");
        modules[0].mapping.range.end += 4096;
        kept.forget_others(&modules);
        assert_eq!(kept.lines(1), None);
    }

    #[test]
    fn more_than_the_bound_is_not_kept() {
        let mut kept = Kept::default();
        let function = "f".repeat(1000);
        let addresses = u64::try_from(BYTES_MAX / 1000).unwrap();
        for address in 0..addresses {
            kept.keep(address, vec![line(&format!("{function}{address}"))]);
        }
        assert!(kept.lines(0).is_some(), "until the profile is named");
        kept.forget_what_is_too_much();
        assert_eq!((kept.lines(0), kept.bytes), (None, 0));
    }
}
