//! The run's own Postgres: its schema, the oracle's triggers, what is done to it, what it is asked
//! at the end.
//!
//! A server of its own since it is restarted while others' tests run. It is real, but for fsync:
//! what is killed here are processes, and the kernel keeps what they wrote.

use std::fs;
use std::path::Path;
use std::time::Duration;

use legwork::embedded::{Halt, Postgres};
use legwork::postgres::migrate;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::history::{JOBS, TRANSITIONS, Verb};
use super::journal::Journal;
use super::plan::{Blow, Upset};
use crate::support::{self, server};

/// A server and its address.
#[derive(Debug)]
pub(crate) struct Cluster {
    postgres: Option<Postgres>,
    url: String,
}

impl Cluster {
    /// A server with the schema and the triggers.
    pub(crate) async fn start() -> Self {
        let started = tokio::task::spawn_blocking(|| Postgres::start(&server::private_options()));
        let postgres = started.await.expect("the thread ends").expect("a private Postgres starts");
        let url = postgres.url("postgres");
        migrate::up(&url).await.expect("the schema can be made");
        let mut session = connect(&url).await;
        let triggers = sqlx::raw_sql(include_str!("transitions.sql")).execute(&mut session).await;
        triggers.expect("the triggers can be made");
        session.close().await.expect("a session ends");
        Self { postgres: Some(postgres), url }
    }

    /// The address, which a restart doesn't change.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Does this to it; it serves again when this returns.
    pub(crate) async fn strike(&mut self, upset: Upset, journal: &Journal) {
        let away = Duration::from_millis(upset.for_ms);
        match upset.blow {
            Blow::RestartFast => self.restart(Halt::Fast, away, journal).await,
            Blow::RestartImmediate => self.restart(Halt::Immediate, away, journal).await,
            Blow::Terminate(role) => self.terminate(role, journal).await,
        }
    }

    async fn restart(&mut self, how: Halt, away: Duration, journal: &Journal) {
        journal.fault(Verb::PgRestart, None);
        self.blocking(move |postgres| postgres.halt(how).expect("the server stops")).await;
        // How long the server is away is the fault itself: the plan says it.
        sleep(away).await;
        self.blocking(|postgres| postgres.resume().expect("the server starts again")).await;
    }

    /// Does something to the server on a thread that it may block.
    async fn blocking(&mut self, work: impl FnOnce(&mut Postgres) + Send + 'static) {
        let mut postgres = self.postgres.take().expect("the server is there");
        let done = tokio::task::spawn_blocking(move || {
            work(&mut postgres);
            postgres
        });
        self.postgres = Some(done.await.expect("the thread ends"));
    }

    async fn terminate(&self, role: &str, journal: &Journal) {
        journal.fault(Verb::PgTerminate, None);
        let mut session = connect(&self.url).await;
        let statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name LIKE 'legwork ' || $1 || '%'";
        let ended = sqlx::query(statement).bind(role).execute(&mut session).await;
        ended.expect("sessions can be ended");
        session.close().await.expect("a session ends");
    }

    /// How far the record of transitions reaches, and how many jobs aren't finished.
    pub(crate) async fn progress(&self) -> (i64, i64) {
        let mut session = connect(&self.url).await;
        let statement = "SELECT (SELECT coalesce(max(seq), 0) FROM chaos.transition),
            (SELECT count(*) FROM legwork.job)";
        let progress = sqlx::query_as(statement).fetch_one(&mut session).await;
        session.close().await.expect("a session ends");
        progress.expect("the tables can be read")
    }

    /// Writes the files that the checker reads beside the journal.
    pub(crate) async fn export(&self, dir: &Path) {
        let mut session = connect(&self.url).await;
        let transitions = "SELECT to_json(t)::text FROM chaos.transition t ORDER BY seq";
        let jobs = "SELECT json_build_object('job', id, 'uid', chaos.uid(payload), 'state', state,
            'reason', reason, 'attempt', attempt, 'token', token)::text FROM legwork.jobs ORDER BY id";
        for (file, statement) in [(TRANSITIONS, transitions), (JOBS, jobs)] {
            let lines = sqlx::query_scalar(statement).fetch_all(&mut session).await;
            let lines: Vec<String> = lines.expect("the tables can be read");
            let text: String = lines.into_iter().map(|line| line + "\n").collect();
            fs::write(dir.join(file), text).expect("a file can be written");
        }
        session.close().await.expect("a session ends");
    }

    /// Stops the server and removes its files.
    pub(crate) async fn stop(mut self) {
        let postgres = self.postgres.take().expect("the server is there");
        let stopped = tokio::task::spawn_blocking(move || postgres.stop());
        stopped.await.expect("the thread ends").expect("the server stops");
    }
}

/// A session, as soon as the server gives one.
pub(crate) async fn connect(url: &str) -> PgConnection {
    let mut session = None;
    support::eventually("Postgres gives a session", async || {
        session = PgConnection::connect(url).await.ok();
        session.is_some()
    })
    .await;
    session.expect("there is one")
}
