//! Configuration: what the daemon was told, checked before anything starts.
//!
//! Flags over `LEGWORK_SECTION__KEY` over a file over `default.toml`, merged by the `config` crate;
//! `toml` says at which line a value stands. Every mistake is reported at once. `settings` is the
//! checked form that every other room receives; nothing below this room sees a string that could
//! still be wrong, and nothing else reads the environment or a settings file.

mod arguments;
mod bounds;
mod changes;
mod check;
mod defaults;
mod documented;
mod egress;
mod environment;
mod file;
mod form;
mod function;
mod json;
mod keys;
mod mistakes;
mod overlay;
mod reader;
mod schema;
mod secret;
mod settings;
mod show;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod url;

pub(crate) use bounds::{Amount, out_of_bounds};
pub(crate) use check::{
    certificates, check_filter, collector_header, collector_url, filter_doubts, filter_is_for_all,
    filter_silence, killed_early, misnamed, mistakes_of,
};
pub use egress::{Denied, Egress};
pub use environment::Environment;
pub use function::FunctionName;
pub(crate) use keys::closest;
pub use mistakes::{Mistake, Mistakes};
pub use schema::schema;
pub use settings::{
    Admin, AdminToken, AdminTokens, CallbackSettings, Canary, CircuitSettings, Claim,
    CommandSettings, Complete, Daemon, Database, HandlerSettings, HeapProfiling, HttpSettings,
    Kept, KindSettings, Log, LogFormat, Metrics, MissingUrl, Otlp, Overrides, Pooler, Profiling,
    QueueOverride, QueueSettings, Retentions, ScheduleSettings, Settings, Shutdown, SigningSecret,
    SqlSettings, Tracing,
};
pub(crate) use settings::{NEEDS_PORT, NEEDS_SERVER};
pub use show::Shown;
pub use source::{FILE_MAX_BYTES, Flag, Source};
pub use url::{Address, DatabaseUrl};

use self::{
    check::{Checked, Given},
    file::{Item, Parsed},
    overlay::Items,
    reader::Reader,
    show::Showing,
    source::Text,
    tree::{Layer, Tree},
};
use ::config::Value;
use std::path::{Path, PathBuf};

/// What a configuration came to.
#[derive(Debug)]
pub struct Loaded {
    /// What holds.
    pub settings: Settings,
    /// What is allowed but should be said at each start.
    pub warnings: Vec<String>,
    /// The file, if one was read.
    pub file: Option<PathBuf>,
    shown: Vec<Shown>,
    admin_token_file: Option<PathBuf>,
}

impl Loaded {
    /// Each effective value with its source, secrets blotted out.
    pub fn show(&self) -> &[Shown] {
        &self.shown
    }

    /// The file with the token that may do everything, where there is one; of several the last, which
    /// a daemon knows also before it has read the file that puts a new one before it.
    pub fn admin_token_file(&self) -> Option<&Path> {
        self.admin_token_file.as_deref()
    }
}

/// A commented `legwork.toml` with every key and its default.
pub fn default_file() -> &'static str {
    include_str!("config/default.toml")
}

/// Reads, merges and checks everything that a source names.
pub fn load(source: &Source) -> Result<Loaded, Mistakes> {
    let (loaded, mistakes) = examine(source)?;
    mistakes.unless_any(|| loaded)
}

/// `[log]` and the daemon's name as far as they can be made out, for one that refuses to start and
/// has to say so in the form that its log's readers expect.
pub fn logging(source: &Source) -> (Log, String) {
    let settings = examine(source).map(|(loaded, _)| loaded.settings).unwrap_or_default();
    (settings.log, settings.daemon.name)
}

/// What holds where the source is right, and what is wrong.
fn examine(source: &Source) -> Result<(Loaded, Mistakes), Mistakes> {
    let mut mistakes = Mistakes::default();
    let text = source.read(&mut mistakes);
    let broken = mistakes.iter().next().is_some();
    let mut given = text.as_ref().map(|text| file::parse(text, &mut mistakes)).unwrap_or_default();
    given.broken |= broken;
    let sources = layers(source, given, &mut mistakes);
    let tree = Tree::merged(sources.layers).map_err(|error| Mistakes::one(error.to_string()))?;
    let environment = source.environment();
    let mut reader = Reader::new(&tree, environment.cpus(), sources.broken, mistakes);
    let (queues, kinds) = (sources.queues.as_slice(), sources.kinds.as_slice());
    let schedules = sources.schedules.as_slice();
    let world_readable = text.as_ref().is_some_and(|text| text.world_readable);
    let no_rust = source.no_rust;
    let given = Given { environment, queues, kinds, schedules, world_readable, no_rust };
    let checked = check::settings(&mut reader, &given);
    let showing = Showing {
        reader: &reader,
        settings: &checked.settings,
        environment,
        url_place: checked.url_place.as_deref(),
    };
    let shown = showing.all([("queue", queues), ("kind", kinds), ("schedule", schedules)]);
    let Checked { settings, warnings, .. } = checked;
    let file = text.and_then(|text| text.path);
    let admin_token_file = check::token_file(&reader, environment);
    Ok((Loaded { settings, warnings, file, shown, admin_token_file }, reader.mistakes))
}

/// The layers, lowest first, and the lists' entries.
struct Sources {
    layers: [Layer; 5],
    queues: Vec<Item>,
    kinds: Vec<Item>,
    schedules: Vec<Item>,
    /// The file couldn't be read whole: what isn't there may only not have been seen.
    broken: bool,
}

fn layers(source: &Source, given: Parsed, mistakes: &mut Mistakes) -> Sources {
    let default = Text { path: None, content: default_file().into(), world_readable: false };
    let default = file::parse(&default, mistakes);
    let listed = if given.queues.is_empty() { default.queues } else { given.queues };
    let mut chosen = Layer::default();
    let queues = match overlay::queues(source.flags(), mistakes) {
        None => listed,
        Some(served) => {
            for (item, concurrency) in &served {
                let value = Value::new(item.place.as_ref(), concurrency.as_str());
                chosen.set(&["queue", &item.id, "concurrency"], value);
            }
            served.into_iter().map(|(item, _)| item).collect()
        }
    };
    let (kinds, schedules, broken) = (given.kinds, given.schedules, given.broken);
    let items = Items { queues: &queues, kinds: &kinds, schedules: &schedules, complete: !broken };
    let environment = overlay::of_environment(source.environment(), &items, mistakes);
    let flags = overlay::of_flags(source.flags(), chosen, &items, mistakes);
    let standard = overlay::of_standard_variables(source.environment());
    let layers = [default.layer, standard, given.layer, environment, flags];
    Sources { layers, queues, kinds, schedules, broken }
}
