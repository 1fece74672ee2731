//! Which daemon a command asks that concerns one alone, and as whom: the one that is named, or that of the configuration.

use super::{Endpoint, EndpointParser, token};
use crate::cli::Context;
use clap::Args;
use std::path::PathBuf;

/// Which daemon is asked, and as whom.
#[derive(Debug, Args)]
pub(in crate::cli) struct Whom {
    /// Its admin port [default: where `run` listens by the same configuration]
    #[arg(long, value_name = "URL", value_parser = EndpointParser)]
    pub(in crate::cli) url: Option<Endpoint>,
    /// A file with an admin's token, where the daemon has tokens [default: the one of the configuration that
    /// says where it listens]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) token_file: Option<PathBuf>,
}

impl Whom {
    /// Whether the configuration says where it is.
    pub(in crate::cli) fn is_configured(&self) -> bool {
        self.url.is_none()
    }

    /// The daemon, and the token that it is asked with. One of the configuration goes to that configuration's daemon alone.
    pub(in crate::cli) fn found(
        &self,
        context: &Context,
    ) -> anyhow::Result<(Endpoint, Option<String>)> {
        let endpoint = Endpoint::of(self.url.as_ref(), context)?;
        let token = match (&self.token_file, &self.url) {
            (file, Some(url)) => url.token(file.as_deref())?,
            (Some(file), None) => Some(token::of(file)?),
            (None, None) => token::configured(context)?,
        };
        Ok((endpoint, token))
    }
}
