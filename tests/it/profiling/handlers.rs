//! What each sort of handler takes in the daemon is its kind's.

use std::collections::HashSet;

use sqlx::Executor as _;

use super::TURN;
use crate::process::enqueue_many;
use crate::support::{self, Daemon};

/// One of each that works outside the daemon, and how it is called there.
const KINDS: &str = "[[kind]]
name = 'calls'
handler = 'sql'
function = 'public.nothing'
[[kind]]
name = 'starts'
handler = 'command'
command = ['/bin/true']
";

#[test]
fn what_a_program_and_a_function_take_in_the_daemon_is_their_kinds() {
    support::run(async |db| {
        let _turn = TURN.lock().await;
        let pool = db.pool().await;
        let nothing = "CREATE FUNCTION public.nothing(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb'";
        pool.execute(nothing).await.expect("it is made");
        let daemon = Daemon::start(&(super::configuration(&db) + KINDS)).await;
        let admin = daemon.admin().await;
        let mut seen = HashSet::new();
        support::eventually("samples of both", async || {
            for kind in ["calls", "starts"] {
                enqueue_many(&pool, kind, 100).await;
            }
            let profile = super::ask(admin, "profile?seconds=1&format=folded").await;
            assert_eq!(profile.status, 200, "{}", profile.text());
            let stacks = profile.text();
            let labels = stacks.lines().filter_map(|stack| stack.split(';').next());
            seen.extend(labels.map(str::to_owned));
            ["calls", "starts"].iter().all(|kind| seen.contains(*kind))
        })
        .await;
        daemon.stop().await;
        pool.close().await;
    });
}
