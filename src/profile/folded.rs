//! Stacks a line each, as flamegraphs are made from: `kind;outermost;…;innermost 12`.

use super::{Profile, Stack, drawn::Drawn};
use std::io;

/// What stands for those whose work is no job's.
const NO_KIND: &str = "[daemon]";

impl Profile {
    /// One line for each stack, with the kind as its outermost frame where it has one, and the value that is meant.
    pub fn folded(&self) -> String {
        let lines = self.lines().values;
        lines
            .into_iter()
            .fold(String::new(), |text, (stack, value)| text + &format!("{stack} {value}\n"))
    }

    /// A picture of them.
    pub fn flamegraph(&self, title: &str) -> io::Result<Vec<u8>> {
        let lines = self.lines();
        let mut options = inferno::flamegraph::Options::default();
        lines.title(title).clone_into(&mut options.title);
        self.main().unit.clone_into(&mut options.count_name);
        let mut lines: Vec<String> =
            lines.values.into_iter().map(|(stack, value)| format!("{stack} {value}")).collect();
        if lines.is_empty() {
            // Of nothing at all there is no picture, and an idle daemon's second is just that.
            lines.push(format!("{} 1", self.nothing));
        }
        let mut picture = Vec::new();
        inferno::flamegraph::from_lines(
            &mut options,
            lines.iter().map(String::as_str),
            &mut picture,
        )?;
        Ok(picture)
    }

    fn lines(&self) -> Drawn<String> {
        self.drawn(|stack| {
            let mut names = if self.by_kind { vec![kind(stack)] } else { Vec::new() };
            names.extend(self.names(stack));
            // A semicolon would end the name.
            let line: Vec<String> = names.iter().map(|name| name.replace(';', ":")).collect();
            line.join(";")
        })
    }
}

fn kind(stack: &Stack) -> &str {
    let kind = stack.labels.iter().find(|(name, _)| *name == "kind");
    kind.map_or(NO_KIND, |(_, kind)| kind)
}
