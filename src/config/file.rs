//! The file: TOML into a layer whose every value knows its line, with every unknown key refused.
//!
//! `[[queue]]`, `[[kind]]` and `[[schedule]]` become tables by name, so that the environment and flags can be laid
//! over them. An entry without a usable name keeps its number as its name: its other keys are still
//! looked at. What a value means is `reader`'s business.

use super::{
    keys::{Form, closest, form_of, is_table, nearest, nearest_section},
    mistakes::Mistakes,
    reader::{DEFAULT, isnt, label},
    source::Text,
    tree::{Layer, quoted},
};
use crate::job::KindName;
use config::{Value, ValueKind};
use std::collections::{BTreeMap, BTreeSet};
use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

/// Sections that are lists.
pub(super) const LISTS: [(&str, usize); 3] = [("queue", 256), ("kind", 1024), ("schedule", 256)];

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Its name, or `#2` where it has none that could be used.
    pub(super) id: String,
    /// Where it begins.
    pub(super) place: Option<String>,
}

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) layer: Layer,
    /// In the order of the file.
    pub(super) queues: Vec<Item>,
    /// In the order of the file.
    pub(super) kinds: Vec<Item>,
    /// In the order of the file.
    pub(super) schedules: Vec<Item>,
    /// It isn't TOML: what was made out of it may miss things.
    pub(super) broken: bool,
}

/// Reads what can be read of a text, noting all that is wrong with it.
pub(super) fn parse(file: &Text, mistakes: &mut Mistakes) -> Parsed {
    let (document, errors) = DeTable::parse_recoverable(&file.content);
    let line_ends = file.content.match_indices('\n').map(|(end, _)| end).collect();
    let parsed = Parsed::default();
    let mut reading = Reading { file, line_ends, mistakes, parsed, errors: BTreeSet::new() };
    for error in &errors {
        let line = reading.line(error.span().map_or(0, |span| span.start));
        reading.errors.insert(line);
        let message = error.message().replace('\n', ", ");
        reading.mistakes.push(format!("this isn't TOML: {message}"), Some(&reading.place(line)));
    }
    reading.parsed.broken = !errors.is_empty();
    for (name, value) in document.get_ref() {
        reading.section(name, value);
    }
    reading.parsed
}

struct Reading<'a> {
    file: &'a Text,
    line_ends: Vec<usize>,
    mistakes: &'a mut Mistakes,
    parsed: Parsed,
    /// Lines that aren't TOML; what was recovered from them is no ground for further mistakes.
    errors: BTreeSet<usize>,
}

type Key<'i> = Spanned<std::borrow::Cow<'i, str>>;

impl Reading<'_> {
    fn line(&self, offset: usize) -> usize {
        self.line_ends.partition_point(|end| *end < offset) + 1
    }

    fn place(&self, line: usize) -> String {
        match &self.file.path {
            Some(path) => format!("{}:{line}", path.display()),
            None => DEFAULT.into(),
        }
    }

    fn mistake(&mut self, offset: usize, message: impl Into<String>) {
        let line = self.line(offset);
        if !self.errors.contains(&line) {
            let place = self.place(line);
            self.mistakes.push(message, Some(&place));
        }
    }

    fn section(&mut self, name: &Key<'_>, value: &Spanned<DeValue<'_>>) {
        let at = name.span().start;
        let section = name.get_ref().as_ref();
        let list = LISTS.iter().find(|(list, _)| *list == section);
        match (list, value.get_ref()) {
            (Some((list, max)), DeValue::Array(items)) => self.list(list, *max, at, items),
            (Some((list, _)), _) => {
                self.mistake(at, format!("{list} is a list: write [[{list}]], once for each"));
            }
            (None, DeValue::Table(table)) if is_table(section) => {
                self.table(&[section], section, table);
            }
            (None, DeValue::Array(_)) if is_table(section) => {
                self.mistake(at, format!("[{section}] is there once: write it in single brackets"));
            }
            (None, _) if is_table(section) => {
                self.mistake(at, format!("{section} is a section: write [{section}]"));
            }
            (None, DeValue::Table(_) | DeValue::Array(_)) => {
                let hint = nearest_section(section).map(|near| match near {
                    "queue" | "kind" | "schedule" => format!("; did you mean [[{near}]]?"),
                    near => format!("; did you mean [{near}]?"),
                });
                let hint = hint.unwrap_or_default();
                self.mistake(at, format!("there is no section {}{hint}", quoted(section)));
            }
            (None, _) => {
                let hint = hint(nearest(&format!(".{section}")));
                self.mistake(
                    at,
                    format!("{} stands outside of any section{hint}", quoted(section)),
                );
            }
        }
    }

    /// The keys below `path` in the tree, which the table of keys calls `known`.
    fn table(&mut self, path: &[&str], known: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = format!("{known}.{}", name.get_ref());
            let path: Vec<&str> = path.iter().copied().chain([name.get_ref().as_ref()]).collect();
            match value.get_ref() {
                DeValue::Table(below) if is_table(&key) => self.table(&path, &key, below),
                _ if is_table(&key) => {
                    let message = format!("{key} is a table: write {key} = {{ … }}");
                    self.mistake(name.span().start, message);
                }
                _ => {
                    let Some(form) = form_of(&key) else {
                        self.unknown(name.span().start, &key);
                        continue;
                    };
                    self.value(&path, value, form);
                }
            }
        }
    }

    fn unknown(&mut self, at: usize, key: &str) {
        // Looking for what was meant takes a while where a file has a hundred thousand of them.
        let hint = if self.mistakes.is_full() { String::new() } else { hint(nearest(key)) };
        self.mistake(at, format!("there is no key {}{hint}", quoted(key)));
    }

    fn value(&mut self, path: &[&str], value: &Spanned<DeValue<'_>>, form: Form) {
        let line = self.line(value.span().start);
        if self.errors.contains(&line) {
            return;
        }
        let place = self.place(line);
        match converted(value.get_ref(), &place) {
            // Said here, since merging wouldn't keep its place.
            Ok(kind @ ValueKind::Table(_)) if !matches!(form, Form::Pairs | Form::Json) => {
                let message = format!("{}: {}", label(path), isnt(&kind, form));
                self.mistake(value.span().start, message);
            }
            Ok(kind) => self.parsed.layer.set(path, Value::new(Some(&place), kind)),
            Err(why) => self.mistake(value.span().start, format!("{}: {why}", label(path))),
        }
    }

    fn list(&mut self, list: &'static str, max: usize, at: usize, items: &[Spanned<DeValue<'_>>]) {
        if items.len() > max {
            let message = format!("{} [[{list}]] are listed, {max} are allowed", items.len());
            self.mistake(at, message);
        }
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for (index, item) in items.iter().take(max).enumerate() {
            let line = self.line(item.span().start);
            let DeValue::Table(table) = item.get_ref() else {
                self.mistake(item.span().start, format!("{list} is a list of tables: [[{list}]]"));
                continue;
            };
            let name = self.name(list, table, item.span().start, &lines);
            let id = name.unwrap_or_else(|| format!("#{}", index + 1));
            lines.insert(id.clone(), line);
            self.table(&[list, &id], list, table);
            let item = Item { id, place: Some(self.place(line)) };
            let items = match list {
                "queue" => &mut self.parsed.queues,
                "kind" => &mut self.parsed.kinds,
                _ => &mut self.parsed.schedules,
            };
            items.push(item);
        }
    }

    /// The entry's name, unless it has none, a bad one, or one that was there before.
    fn name(
        &mut self,
        list: &str,
        table: &DeTable<'_>,
        at: usize,
        seen: &BTreeMap<String, usize>,
    ) -> Option<String> {
        let Some((_, value)) = table.iter().find(|(key, _)| key.get_ref() == "name") else {
            if !self.parsed.broken {
                let near = closest("name", table.keys().map(|key| key.get_ref().as_ref()), 0.6);
                let hint = near.map(|near| format!(" ({near:?} is no key)")).unwrap_or_default();
                self.mistake(at, format!("this [[{list}]] has no name{hint}: write name = \"…\""));
            }
            return None;
        };
        let at = value.span().start;
        // A value that isn't text is refused with the other values, by its form.
        let name = value.get_ref().as_str()?;
        if let Err(why) = KindName::new(name) {
            self.mistake(at, format!("[[{list}]] {}: {why}", quoted(name)));
            return None;
        }
        if let Some(line) = seen.get(name) {
            let message = format!("[[{list}]] {name:?} is listed twice, first at line {line}");
            self.mistake(at, message);
            return None;
        }
        Some(name.to_owned())
    }
}

/// “did you mean” for a known key.
pub(super) fn hint(near: Option<&str>) -> String {
    let Some(near) = near else { return String::new() };
    match near.split_once('.') {
        Some((list @ ("queue" | "kind" | "schedule"), key)) => {
            format!("; did you mean {key} in [[{list}]]?")
        }
        Some((section, key)) => format!("; did you mean {key} in [{section}]?"),
        None => String::new(),
    }
}

/// A TOML value as one that can be merged.
pub(super) fn converted(value: &DeValue<'_>, place: &str) -> Result<ValueKind, String> {
    Ok(match value {
        DeValue::String(text) => ValueKind::String(text.clone().into_owned()),
        DeValue::Integer(number) => integer(number)?,
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => ValueKind::Float(number),
            Err(_) => return Err(format!("{number} isn't a number that fits")),
        },
        DeValue::Boolean(value) => ValueKind::Boolean(*value),
        DeValue::Datetime(time) => return Err(format!("{time} is a date, and no key takes one")),
        DeValue::Array(items) => {
            let place = place.to_owned();
            let items = items
                .iter()
                .map(|item| Ok(Value::new(Some(&place), converted(item.get_ref(), &place)?)));
            ValueKind::Array(items.collect::<Result<_, String>>()?)
        }
        DeValue::Table(table) => {
            let place = place.to_owned();
            let entries = table.iter().map(|(name, value)| {
                let kind = converted(value.get_ref(), &place)?;
                Ok((name.get_ref().clone().into_owned(), Value::new(Some(&place), kind)))
            });
            ValueKind::Table(entries.collect::<Result<_, String>>()?)
        }
    })
}

fn integer(number: &DeInteger<'_>) -> Result<ValueKind, String> {
    i64::from_str_radix(number.as_str(), number.radix())
        .map(ValueKind::I64)
        .map_err(|_| format!("{number} isn't a number that fits"))
}
