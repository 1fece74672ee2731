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
        let title = lines.title(title);
        if lines.values.is_empty() {
            return Ok(of_nothing(&title, self.nothing).into_bytes());
        }
        let mut options = inferno::flamegraph::Options::default();
        options.title = title;
        self.main().unit.clone_into(&mut options.count_name);
        let lines: Vec<String> =
            lines.values.into_iter().map(|(stack, value)| format!("{stack} {value}")).collect();
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

/// The same of no samples, as an idle daemon's second may have: a graph of something would name an amount, and there is none.
fn of_nothing(title: &str, why: &str) -> String {
    let text = |y, size, text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        format!(
            "<text x=\"50%\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"middle\">{text}</text>\n"
        )
    };
    format!(
        "<svg version=\"1.1\" width=\"1200\" height=\"80\" font-family=\"monospace\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#eeeeee\"/>\n{}{}</svg>\n",
        text(24, 17, title),
        text(56, 12, &format!("no samples: {why}"))
    )
}

fn kind(stack: &Stack) -> &str {
    let kind = stack.labels.iter().find(|(name, _)| *name == "kind");
    kind.map_or(NO_KIND, |(_, kind)| kind)
}
