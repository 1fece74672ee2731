//! What the port can have its own daemon do: end, read its file again, log otherwise.
//!
//! The daemon is above this room and hands these down. What it has no file or log of its own for is absent: a
//! program that embeds it may have brought its settings in code, and its own subscriber.

use crate::{
    config::{Shown, Source},
    telemetry::logs::{Filter, Recent},
};
use serde::Serialize;
use std::{fmt, sync::Arc};
use tokio::sync::{oneshot, watch};
use utoipa::ToSchema;

/// How the daemon is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// As TERM has it: what runs may finish within `shutdown.grace`. It is no signal: told again it changes nothing.
    Drain,
    /// As a second TERM has it: at once.
    Now,
}

/// One mistake of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Wrong {
    /// What is wrong, and what to write instead.
    pub message: String,
    /// Where: `legwork.toml:12`.
    pub place: Option<String>,
}

/// What a reload came to: the keys that hold from now on, or the mistakes for which everything stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reloaded {
    /// Whether what was read holds.
    pub reloaded: bool,
    /// Keys that hold from now on.
    pub changed: Vec<String>,
    /// Keys that differ from what holds, and hold with the next start.
    pub needs_restart: Vec<String>,
    /// What is allowed and should be known.
    pub warnings: Vec<String>,
    /// What is wrong, where it wasn't taken over.
    pub mistakes: Vec<Wrong>,
}

impl Reloaded {
    /// Nothing has changed, because of these.
    pub fn refused(mistakes: Vec<Wrong>) -> Self {
        Self { mistakes, ..Self::default() }
    }
}

/// The configuration that holds, each value with its source.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The file, if there is one.
    pub file: Option<String>,
    /// Key by key, secrets blotted out.
    pub values: Vec<Shown>,
    /// Keys of which the file says something else, since the last reload.
    pub needs_restart: Vec<String>,
}

type Reload = dyn Fn() -> oneshot::Receiver<Reloaded> + Send + Sync;

/// What the configuration is read from, and what holds of it.
#[derive(Clone)]
pub struct OfFile {
    /// Where it is read from.
    pub source: Source,
    /// What holds.
    pub held: watch::Receiver<Held>,
    /// Has it read again; what comes is how that went.
    pub reload: Arc<Reload>,
}

/// What the port can have its own daemon do.
#[derive(Clone)]
pub struct Controls {
    /// What it is called, for notes of what is done to it.
    pub name: String,
    /// Ends the daemon.
    pub stop: Arc<dyn Fn(Stop) + Send + Sync>,
    /// Its configuration, where it is read from somewhere.
    pub configuration: Option<OfFile>,
    /// By what its log is changed, where it is its own.
    pub filter: Option<Filter>,
    /// What was logged last, where the log is its own.
    pub recent: Option<Recent>,
}

impl fmt::Debug for Controls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controls").finish_non_exhaustive()
    }
}
