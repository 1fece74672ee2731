//! What a daemon does to itself: by which filter it logs, and which configuration it goes by. There is no other way to ask for it than its port.

use super::port::{Asked, Port, because, body, span};
use crate::cli::{Context, port::Whom};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// How long a reload may take to be answered: longer than the daemon waits for it.
const RELOADED_WITHIN: Duration = Duration::from_secs(70);

/// By what its log goes.
#[derive(Serialize, Deserialize)]
pub(in crate::cli) struct LogLevel {
    pub(in crate::cli) filter: String,
    pub(in crate::cli) configured: String,
    pub(in crate::cli) since: Option<String>,
    pub(in crate::cli) until: Option<String>,
    pub(in crate::cli) warnings: Vec<String>,
}

/// What a reload came to.
#[derive(Serialize, Deserialize)]
pub(in crate::cli) struct Reloaded {
    #[serde(rename = "reloaded")]
    pub(in crate::cli) holds: bool,
    pub(in crate::cli) changed: Vec<String>,
    pub(in crate::cli) needs_restart: Vec<String>,
    pub(in crate::cli) warnings: Vec<String>,
    pub(in crate::cli) mistakes: Vec<Wrong>,
}

/// One mistake of the configuration.
#[derive(Serialize, Deserialize)]
pub(in crate::cli) struct Wrong {
    pub(in crate::cli) message: String,
    pub(in crate::cli) place: Option<String>,
}

impl Port {
    /// The one that is named, or that of the configuration.
    pub(in crate::cli) fn of(whom: &Whom, context: &Context) -> anyhow::Result<Self> {
        let (endpoint, token) = whom.found(context)?;
        Ok(Self { endpoint, token })
    }

    pub(in crate::cli) async fn log_level(&self) -> anyhow::Result<LogLevel> {
        self.look("couldn't look at the filter of the log", &["log-level"], &[]).await
    }

    pub(in crate::cli) async fn change_log_level(
        &self,
        filter: &str,
        time: Option<Duration>,
        reason: Option<&String>,
    ) -> anyhow::Result<LogLevel> {
        let said = body([
            ("filter", Some(json!(filter))),
            ("for", time.map(|time| json!(span(time)))),
            ("reason", reason.map(|reason| json!(reason))),
        ]);
        let what = "couldn't change the filter of the log";
        self.change(&Asked { what, method: "PUT", path: &["log-level"] }, said).await
    }

    pub(in crate::cli) async fn reset_log_level(
        &self,
        reason: Option<&String>,
    ) -> anyhow::Result<LogLevel> {
        let what = "couldn't take back the filter of the log";
        self.change(&Asked { what, method: "DELETE", path: &["log-level"] }, because(reason)).await
    }

    pub(in crate::cli) async fn reload(&self, reason: Option<&String>) -> anyhow::Result<Reloaded> {
        let what = "couldn't have the configuration read again";
        let asked = Asked { what, method: "POST", path: &["config", "reload"] };
        self.change_within(&asked, because(reason), RELOADED_WITHIN).await
    }
}
