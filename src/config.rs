//! Configuration: what the daemon was told, checked before anything starts.
//!
//! `settings` is the checked form that every other room receives; nothing below this room sees a
//! string that could still be wrong.

mod settings;

pub use settings::{
    Admin, Claim, CommandSettings, Complete, Daemon, Database, DatabaseUrl, HandlerSettings,
    KindSettings, Log, LogFormat, Metrics, QueueSettings, Retentions, Settings, Shutdown,
};
