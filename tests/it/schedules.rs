//! Schedules on a real Postgres: which instants enqueue a job, whatever daemons, clocks and files do.
//!
//! What is due when is a table of its own, beside the rules. Here instants that passed are made by moving
//! a schedule's row back, and a clock that was set back by moving it ahead: the daemon knows no other
//! clock than the database's against that row.

mod commands;
mod instants;
mod keys;
mod races;
mod reloads;
mod rules;

use sqlx::postgres::PgConnection;

use crate::statements::{execute, rows, value};
use crate::support::{self, TestDb};

/// A daemon's file with these schedules, which serves the kind `quick`.
fn file(db: &TestDb, schedules: &str) -> String {
    format!(
        "[database]\nurl = '{}'\n[admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n\
         [[kind]]\nname = 'quick'\nhandler = 'noop'\n{schedules}",
        db.url()
    )
}

/// A schedule of the kind `quick`.
fn schedule(name: &str, cron: &str, rest: &str) -> String {
    let kind = if rest.contains("kind = ") { "" } else { "kind = 'quick'\n" };
    format!("[[schedule]]\nname = '{name}'\ncron = '{cron}'\n{kind}{rest}\n")
}

/// Fires each second, so that a test can tell that time went by.
fn tick() -> String {
    schedule("tick", "* * * * * *", "overlap = 'allow'\npayload = 'null'")
}

/// A pattern that fires once an hour, half an hour away from now.
async fn hourly(session: &mut PgConnection) -> String {
    let minute = "SELECT (extract(minute FROM now())::int + 30) % 60";
    format!("{} * * * *", value(session, minute).await)
}

/// Has a schedule stand as if a daemon had left it so long ago.
async fn left(session: &mut PgConnection, name: &str, rule: &str, ago: &str) {
    let insert = format!(
        "INSERT INTO legwork.schedule (name, rule, done_until)
         VALUES ('{name}', '{rule}', date_trunc('second', now() - interval '{ago}'))"
    );
    execute(session, &insert).await;
}

/// How many jobs a schedule has enqueued.
async fn fired(session: &mut PgConnection, name: &str) -> usize {
    instants_of(session, name).await.len()
}

/// The instants that it has enqueued a job for, in order, each as often as it has.
async fn instants_of(session: &mut PgConnection, name: &str) -> Vec<String> {
    let instants = format!(
        "SELECT metadata ->> 'schedule_instant' FROM legwork.jobs
         WHERE metadata ->> 'schedule' = '{name}' ORDER BY 1"
    );
    rows(session, &instants).await
}

/// Waits until a schedule has enqueued so many jobs.
async fn fires(session: &mut PgConnection, name: &str, jobs: usize) {
    let what = format!("schedule {name} has enqueued {jobs} jobs");
    support::eventually(&what, async || fired(session, name).await >= jobs).await;
}

/// Waits until the schedule that ticks has ticked so many times more.
async fn ticks(session: &mut PgConnection, more: usize) {
    let until = fired(session, "tick").await + more;
    fires(session, "tick", until).await;
}
