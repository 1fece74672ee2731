//! Where a command asks: the database or, with `--url`, a daemon's port (ADR 0035).
//!
//! A function for each operation, with the same arguments and the same result whichever it is, so that a command doesn't
//! know where its answer comes from and prints it in one way. What the API can't do in the same way is refused here.

mod bulk;
mod daemons;
mod itself;
mod jobs;
mod port;
mod problem;
mod queues;
mod rest;

pub(super) use itself::LogLevel;
pub(super) use port::Port;
pub(super) use problem::Problem;
pub(super) use rest::schedule;

use super::{
    Context, Session,
    exit::Usage,
    port::{Endpoint, EndpointParser},
};
use crate::postgres::operations::Limit;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// A command with what says where it asks.
#[derive(Debug, Args)]
pub(super) struct Placed<C: Subcommand> {
    #[command(flatten)]
    pub(super) remote: Remote,
    #[command(subcommand)]
    pub(super) command: C,
}

/// A daemon that is asked in the database's place.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Remote {
    /// Ask the API of the daemon with this admin port, http://HOST:PORT, in place of the database; a token may
    /// stand in it (http://x:TOKEN@HOST:PORT), where every user of this machine can read it (ps shows it)
    #[arg(long, global = true, value_name = "URL", value_parser = EndpointParser)]
    url: Option<Endpoint>,
    /// A file with the token that it is asked with
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Remote {
    /// Whether it is a daemon that is asked.
    pub(super) fn is_named(&self) -> bool {
        self.url.is_some()
    }

    /// Opens what is asked.
    pub(super) async fn open(&self, context: &Context) -> anyhow::Result<Place> {
        match (&self.url, &self.token_file) {
            (Some(url), file) => {
                let token = url.token(file.as_deref())?;
                Ok(Place::Port(Port { endpoint: url.clone(), token }))
            }
            (None, Some(_)) => {
                let how = "--token-file is for a daemon's API: name its port with --url";
                Err(Usage(how.into()).into())
            }
            (None, None) => Ok(Place::Database(context.connect(Limit::Statement).await?)),
        }
    }
}

/// What is asked.
pub(super) enum Place {
    /// The database.
    Database(Session),
    /// A daemon's API.
    Port(Port),
}
