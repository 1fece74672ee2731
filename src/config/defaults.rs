//! What holds where nothing was said.
//!
//! The library and tests start from these values. `default.toml`, which people read, says the same;
//! a test compares the two, so that neither can drift. Why each value is what it is stands there.

use super::settings::{
    Admin, AdminTokens, Canary, Claim, CommandSettings, Complete, Daemon, Database,
    HandlerSettings, KindSettings, Log, LogFormat, Metrics, Pooler, Profiling, QueueSettings,
    Retentions, Settings, Shutdown, Tracing,
};
use crate::job::{Backoff, KindName, KindPolicy, QueueName, Retention};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Jobs that a queue runs at once where it doesn't say.
pub(super) const CONCURRENCY: u32 = 20;
const DAY: Duration = Duration::from_hours(24);

impl Default for Settings {
    fn default() -> Self {
        let retention = Retentions::default();
        Self {
            database: Database {
                url: None,
                direct_url: None,
                pooler: Pooler::None,
                connect_timeout: Duration::from_secs(5),
                statement_timeout: Duration::from_secs(10),
                allow_plaintext: false,
                sql_connections: 10,
            },
            daemon: Daemon::default(),
            shutdown: Shutdown {
                grace: Duration::from_secs(25),
                cancel_grace: Duration::from_secs(3),
                stop_timeout: None,
            },
            claim: Claim {
                poll_interval: Duration::from_millis(250),
                poll_jitter: 0.2,
                notify: true,
                batch: 500,
            },
            complete: Complete { flush_interval: Duration::from_millis(3), flush_max_rows: 512 },
            retry: retry(),
            retention,
            queues: vec![QueueSettings::new(default_queue(), retention)],
            kinds: Vec::new(),
            schedules: Vec::new(),
            admin: Admin {
                listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9464))),
                allow_hosts: Vec::new(),
                callback_url: None,
                tokens: AdminTokens::default(),
            },
            log: Log { format: LogFormat::Auto, filter: "info".into() },
            metrics: Metrics { max_kinds: 200 },
            profiling: Profiling::default(),
            canary: Canary { enabled: false, interval: Duration::from_secs(30), queue: None },
            tracing: Tracing::default(),
        }
    }
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            name: "legwork".into(),
            heartbeat_interval: Duration::from_secs(5),
            lease_ttl: Duration::from_secs(30),
            runtime_threads: 0,
        }
    }
}

impl Default for Retentions {
    fn default() -> Self {
        Self {
            completed: Retention::For(DAY),
            cancelled: Retention::For(7 * DAY),
            discarded: Retention::For(30 * DAY),
        }
    }
}

impl QueueSettings {
    /// A queue with default limits.
    pub fn new(name: QueueName, retention: Retentions) -> Self {
        Self { name, concurrency: CONCURRENCY, rate_limit: None, retention }
    }
}

impl KindSettings {
    /// A kind with the policy of `[retry]`'s defaults.
    pub fn new(name: KindName, handler: HandlerSettings) -> Self {
        Self { name, handler, policy: retry(), rate_limit: None }
    }
}

impl Default for CommandSettings {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            env: Vec::new(),
            cwd: None,
            kill_grace: Duration::from_secs(10),
            max_output: 64 * 1024,
        }
    }
}

/// The queue that exists where none is listed (D21).
pub(super) fn default_queue() -> QueueName {
    QueueName::default()
}

fn retry() -> KindPolicy {
    let hour = Duration::from_hours(1);
    KindPolicy {
        max_attempts: 20,
        backoff: Backoff::new(Duration::from_secs(2), 2.0, hour, 0.2).expect("2 s is below 1 h"),
        timeout: Duration::from_mins(5),
        max_rescues: 3,
        max_snoozes: None,
    }
}
