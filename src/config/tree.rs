//! Layers of keys, each value with its origin, laid over one another by the `config` crate.
//!
//! The crate merges tables deeply and keeps with each value the origin it was given; so the merged
//! tree still knows that a value came from `legwork.toml:12`. A value that is a table itself (`env`) is
//! none to merge into: it stands in a list of one, which is replaced whole. Names of queues and kinds stand as
//! table keys in it, whatever characters they have: only sections, which are ours, are paths.

use config::{Config, ConfigBuilder, ConfigError, Map, Value, ValueKind, builder::DefaultState};

/// Keys and values of one source.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer(Map<String, Value>);

impl Layer {
    /// Sets the value at a path, making the tables on the way.
    pub(super) fn set(&mut self, path: &[&str], value: Value) {
        set(&mut self.0, path, value);
    }
}

fn set(table: &mut Map<String, Value>, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        table.insert((*first).to_owned(), whole(value));
        return;
    }
    let empty = || Value::new(None, ValueKind::Table(Map::new()));
    let next = table.entry((*first).to_owned()).or_insert_with(empty);
    if let ValueKind::Table(table) = &mut next.kind {
        set(table, rest, value);
    }
}

/// A list or a table as one value, which keeps its origin and is never merged with another.
fn whole(value: Value) -> Value {
    match value.kind {
        ValueKind::Array(_) | ValueKind::Table(_) => {
            let origin = value.origin().map(str::to_owned);
            Value::new(origin.as_ref(), ValueKind::Array(vec![value]))
        }
        _ => value,
    }
}

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// All layers as one; later ones win.
#[derive(Debug)]
pub(super) struct Tree(Value);

impl Tree {
    pub(super) fn merged(layers: impl IntoIterator<Item = Layer>) -> Result<Self, ConfigError> {
        let builder =
            layers.into_iter().fold(Config::builder(), ConfigBuilder::<DefaultState>::add_source);
        Ok(Self(builder.build()?.cache))
    }

    /// The value at a path.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        let found = path.iter().try_fold(&self.0, |value, name| match &value.kind {
            ValueKind::Table(table) => table.get(*name),
            _ => None,
        })?;
        match &found.kind {
            ValueKind::Array(whole) => whole.first(),
            _ => Some(found),
        }
    }
}

/// Text in quotes, at most 80 characters of it.
pub(super) fn quoted(text: &str) -> String {
    shortened(format!("{text:?}"))
}

fn shortened(text: String) -> String {
    const MAX_CHARS: usize = 80;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A value as the file would have it, at most 80 characters of it.
pub(super) fn literal(value: &ValueKind) -> String {
    shortened(written(value))
}

/// A value as the file would have it, all of it.
pub(super) fn written(value: &ValueKind) -> String {
    match value {
        ValueKind::Nil => "nothing".into(),
        ValueKind::Boolean(value) => value.to_string(),
        ValueKind::I64(value) => value.to_string(),
        ValueKind::I128(value) => value.to_string(),
        ValueKind::U64(value) => value.to_string(),
        ValueKind::U128(value) => value.to_string(),
        ValueKind::Float(value) => format!("{value:?}"),
        ValueKind::String(value) => format!("{value:?}"),
        ValueKind::Array(values) => {
            let items: Vec<_> = values.iter().map(|value| written(&value.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        // Tables hold environments of commands, and those may hold secrets.
        ValueKind::Table(table) => {
            let mut names: Vec<_> = table.keys().map(|name| format!("{name} = …")).collect();
            names.sort();
            format!("{{ {} }}", names.join(", "))
        }
    }
}
