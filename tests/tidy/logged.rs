//! Log lines against the catalogue of events: which fields each event's lines are given.
//!
//! The page lists what the catalogue lists, which a test beside the catalogue sees to. What is known of
//! the job is added to a line elsewhere and isn't compared.

use crate::{
    layers::is_test,
    scan::{Rust, is_name},
    tree::{Finding, Tree, clean, line_at},
};
use std::collections::{BTreeMap, BTreeSet};

const EVENTS: &str = "src/telemetry/events.rs";
/// The last where a line has a level by what it says.
const LEVELS: [&str; 6] = ["trace!(", "debug!(", "info!(", "warn!(", "error!(", "$level!("];

/// An event of the catalogue: its line there, and its fields.
type Known = BTreeMap<String, (usize, BTreeSet<String>)>;

fn catalogue(tree: &Tree) -> Known {
    let text = tree.text(EVENTS).unwrap_or_default();
    let rust = Rust::of(text).without_tests();
    let mut known = Known::new();
    let mut event = String::new();
    for literal in &rust.literals {
        let before = rust.code[..literal.at].trim_end();
        if let Some(constant) = before.strip_suffix('=') {
            last_name(constant).clone_into(&mut event);
            known.insert(event.clone(), (line_at(text, literal.at), BTreeSet::new()));
        } else if rust.code[..literal.at].rfind('[') > rust.code[..literal.at].rfind(';')
            && let Some((_, fields)) = known.get_mut(&event)
        {
            fields.insert(literal.text.clone());
        }
    }
    known
}

fn last_name(code: &str) -> &str {
    let code = code.trim_end();
    &code[code.rfind(|c| !is_name(c)).map_or(0, |at| at + 1)..]
}

/// The last event that code names: a line says `event = events::X`, or has it from just above.
fn event_of(code: &str) -> Option<&str> {
    code.rmatch_indices("events::").find_map(|(at, mark)| {
        let name = code[at + mark.len()..].split(|c| !is_name(c)).next().unwrap_or_default();
        name.starts_with(|first: char| first.is_ascii_uppercase()).then_some(name)
    })
}

/// What stands between commas, until the brackets that are open at the beginning are closed.
fn arguments(code: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b')' | b']' | b'}' if depth == 0 => {
                found.push(code[start..at].trim());
                break;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                found.push(code[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// The field that an argument gives a line. `error` is short for `error.message`.
fn field(argument: &str) -> &str {
    let name = argument.split_once('=').map_or(argument, |(name, _)| name);
    match name.trim().trim_start_matches(['%', '?', '&']) {
        "error" => "error.message",
        name => name,
    }
}

/// One line that code logs: where, its event, its fields.
struct Logged<'a> {
    at: usize,
    event: &'a str,
    fields: BTreeSet<&'a str>,
}

fn logged(code: &str) -> Vec<Logged<'_>> {
    let calls = LEVELS
        .iter()
        .flat_map(|level| code.match_indices(level).map(move |(at, _)| (at, at + level.len())));
    let line = |(at, begin): (usize, usize)| {
        let given = arguments(&code[begin..]);
        let given = given.into_iter().take_while(|argument| !argument.starts_with('"'));
        let mut event = None;
        let mut fields = BTreeSet::new();
        let is_field = |argument: &&str| !argument.is_empty() && !argument.starts_with("target:");
        for argument in given.filter(is_field) {
            if field(argument) == "event" {
                let end = argument.as_ptr().addr() - code.as_ptr().addr() + argument.len();
                event = event_of(&code[..end]);
            } else {
                fields.insert(field(argument));
            }
        }
        event.map(|event| Logged { at, event, fields })
    };
    calls.filter_map(line).collect()
}

fn fields_out_of_step(tree: &Tree) -> Vec<Finding> {
    let known = catalogue(tree);
    let mut given: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut findings = Vec::new();
    let production = tree.under("src/", ".rs").filter(|f| !is_test(&f.path) && f.path != EVENTS);
    for file in production {
        let rust = Rust::of(&file.text).without_tests();
        let lines = logged(&rust.code);
        for line in &lines {
            let Some((event, (_, fields))) = known.get_key_value(line.event) else { continue };
            for field in line.fields.iter().filter(|field| !fields.contains(**field)) {
                let say = format!("`{event}` has no field `{field}` in {EVENTS}: list it there");
                findings.push(Finding::new(&file.path, line_at(&file.text, line.at), say));
            }
            given.entry(event).or_default().extend(line.fields.iter().map(|&f| f.to_owned()));
        }
        // A line that is put together by hand names its fields in strings.
        for (event, _) in known.iter().filter(|(event, _)| lines.iter().all(|l| l.event != **event))
        {
            if rust.names(&format!("events::{event}")).next().is_some() {
                let words = rust.literals.iter().map(|literal| literal.text.clone());
                given.entry(event).or_default().extend(words);
            }
        }
    }
    for (event, (line, fields)) in &known {
        for field in
            fields.iter().filter(|f| given.get(event.as_str()).is_none_or(|g| !g.contains(*f)))
        {
            let say = format!("no line of `{event}` has the field `{field}`");
            findings.push(Finding::new(EVENTS, *line, say));
        }
    }
    findings
}

#[test]
fn every_field_of_a_log_line_is_in_the_catalogue_and_every_one_there_is_logged() {
    let tree = Tree::of_the_repository();
    let code = |path| Rust::of(tree.text(path).unwrap_or_default()).code;
    assert!(!logged(&code("src/completer/flush.rs")).is_empty(), "log lines are found");
    clean(&fields_out_of_step(&tree));
}

#[cfg(test)]
mod tests {
    use super::{EVENTS, Tree, fields_out_of_step};

    const CATALOGUE: &str = r#"events! {
        JOB_LATE = "job.late", "It is late, [op].", ["op", "error.message", "job.id"];
        JOB_LOST = "job.lost", "It is lost.", [];
    }"#;
    const LOST: &str = "warn!(event = events::JOB_LOST, \"lost\");";

    fn found(code: &str) -> usize {
        let files = [(EVENTS, CATALOGUE), ("src/worker.rs", code)];
        fields_out_of_step(&Tree::made_of(&files)).len()
    }

    #[test]
    fn a_field_that_one_side_lacks_is_found() {
        let late = |fields| {
            format!("{LOST} warn!(event = events::JOB_LATE, {fields}, \"a {{x}}\", x = 1)")
        };
        assert_eq!(found(&late("op, error, job.id = %id(1, [2]).0")), 0);
        assert_eq!(found(&late("op, error")), 1);
        assert_eq!(found(&late("op, error, job.id = id, wait = 1 == 2")), 1);
        assert_eq!(found(&late("op, error, wait, job.kind = kind")), 3);
    }

    #[test]
    fn an_event_that_is_named_above_its_line_is_found_too() {
        let above = |fields| format!("{LOST} let event = events::JOB_LATE; warn!(event, {fields})");
        assert_eq!(found(&above("op, ?job.id, error.message = said")), 0);
        assert_eq!(found(&above("op, ?job.id, error.message = said, wait = 1")), 1);
    }

    #[test]
    fn a_line_put_together_by_hand_names_its_fields_in_strings() {
        let by_hand = |last| {
            format!(
                "{LOST} put(events::JOB_LATE); put(\"op\"); put(\"error.message\"); put({last})"
            )
        };
        assert_eq!(found(&by_hand("\"job.id\"")), 0);
        assert_eq!(found(&by_hand("\"job.kind\"")), 1);
    }
}
