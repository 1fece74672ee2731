//! What a program leaves behind: nothing of it outlives the attempt, and nothing stays a zombie.

use nix::sys::signal::Signal;

use super::{Configuration, Notebook, SLACK, becomes, ends, enqueue};
use crate::support::{self, Daemon};

/// Leaves a process in a session of its own, which leaves another there.
const ESCAPES: &str =
    "setsid sh -c 'sleep 1000 & echo child $! >> notes; echo escaped $$ >> notes; wait' &
while ! grep -q escaped notes 2>/dev/null; do sleep 0.02; done";

/// Leaves a process that ends by itself, in a session of its own and after its program.
const LINGERS: &str = "setsid sh -c 'echo lingers >> notes; sleep 0.3' &
while ! grep -q lingers notes 2>/dev/null; do sleep 0.02; done";

#[test]
fn a_process_in_a_session_of_its_own_does_not_outlive_its_attempt() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("escapes", ESCAPES, "")];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let id = enqueue(&pool, "escapes").await;
        becomes(&pool, id, "completed").await;
        ends(&notebook.says("escaped").await).await;
        ends(&notebook.says("child").await).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0));
        pool.close().await;
    });
}

#[cfg(target_os = "linux")]
#[test]
fn what_programs_leave_behind_does_not_become_a_zombie_of_the_daemon() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [
            notebook.kind("escapes", ESCAPES, ""),
            notebook.kind("lingers", LINGERS, ""),
            notebook.kind("leaves", "sleep 1000 & echo left >> notes", ""),
        ];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        daemon.logged("daemon.started").await;
        for kind in ["escapes", "lingers", "leaves"] {
            let id = enqueue(&pool, kind).await;
            becomes(&pool, id, "completed").await;
        }
        support::eventually("the daemon has no child left", async || daemon.holds().children == 0)
            .await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0));
        pool.close().await;
    });
}
