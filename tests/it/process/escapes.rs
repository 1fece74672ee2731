//! What a program leaves behind: nothing of it outlives the attempt or the daemon, wherever it went, and
//! nothing stays a zombie.

use nix::sys::signal::Signal;
use rstest::rstest;
use sqlx::PgPool;

use super::{Configuration, Notebook, SLACK, becomes, enqueue};
use crate::support::{self, Daemon};

/// Leaves a process in the program's group; one in a session of its own; one that was handed over by a
/// parent that has ended, with nothing in its environment; and one that hears no signal and goes on
/// starting others.
const LEAVES: &str = "sleep 200 & echo left >> notes
setsid sh -c 'echo left >> notes; exec sleep 200' &
(setsid env -i sh -c 'sleep 200 & echo left >> notes' &)
setsid sh -c 'trap \"\" TERM HUP INT QUIT; echo left >> notes
  for n in $(seq 100); do setsid sleep 200 & sleep 0.1; done' &
until [ \"$(grep -c left notes)\" = 4 ]; do sleep 0.02; done
echo ready >> notes
";

/// Waits to be told.
const WAITS: &str = "while [ ! -e go ]; do sleep 0.02; done
";

/// How a program comes to its end, or its daemon.
#[derive(Clone, Copy, Debug)]
enum End {
    ByItself,
    Cancelled,
    Overdue,
    Drained,
    DaemonKilled,
}

/// Brings it about.
async fn bring_about(
    end: End,
    notebook: &Notebook,
    (daemon, pool, id): (&mut Daemon, &PgPool, i64),
) {
    match end {
        End::ByItself => notebook.allow("go"),
        End::Cancelled => {
            let cancel = sqlx::query("SELECT legwork.cancel($1)").bind(id);
            cancel.execute(pool).await.expect("a job can be cancelled");
        }
        End::Overdue => {}
        End::Drained => {
            daemon.signal(Signal::SIGTERM);
            assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        }
        End::DaemonKilled => {
            daemon.signal(Signal::SIGKILL);
            daemon.exit(SLACK).await;
        }
    }
}

#[rstest]
#[case::its_end(End::ByItself, "", "exit 0")]
#[case::its_end_by_a_signal_that_dumps_core(End::ByItself, "", "kill -SEGV $$")]
#[case::a_cancel_that_it_obeys(End::Cancelled, "", "exit 0")]
#[case::a_cancel_that_it_ignores(End::Cancelled, "trap '' TERM\n", "exit 0")]
#[case::its_time_is_up(End::Overdue, "", "exit 0")]
#[case::its_time_is_up_and_it_ignores_term(End::Overdue, "trap '' TERM\n", "exit 0")]
#[case::the_daemons_drain(End::Drained, "trap '' TERM\n", "exit 0")]
#[case::the_daemons_death(End::DaemonKilled, "", "exit 0")]
#[case::the_daemons_death_deaf(End::DaemonKilled, "trap '' TERM HUP INT QUIT\n", "exit 0")]
fn nothing_that_a_program_started_outlives(
    #[case] end: End,
    #[case] first: &str,
    #[case] last: &str,
) {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let timeout = if matches!(end, End::Overdue) { "timeout = '3s'\n" } else { "" };
        let keys = format!("max_attempts = 1\nkill_grace = '300ms'\n{timeout}");
        let kinds = [notebook.kind("leaves", &[first, LEAVES, WAITS, last].concat(), &keys)];
        let url = db.url();
        let configuration =
            Configuration { grace: ("0s", "2s"), ..Configuration::of(&url, &kinds) };
        let mut daemon = Daemon::start(&configuration.text()).await;
        let id = enqueue(&pool, "leaves").await;
        notebook.says("ready").await;
        // The guard, the program and four more.
        let there = notebook.inhabitants();
        assert!(there.len() >= 6, "{there:?}");

        bring_about(end, &notebook, (&mut daemon, &pool, id)).await;
        support::eventually("nobody is left", async || notebook.inhabitants().is_empty()).await;
        drop(daemon);
        pool.close().await;
    });
}

/// Leaves a process that ends by itself, in a session of its own and after its program.
const LINGERS: &str = "setsid sh -c 'echo lingers >> notes; sleep 0.3' &
while ! grep -q lingers notes 2>/dev/null; do sleep 0.02; done";

#[test]
fn what_programs_leave_behind_does_not_become_a_zombie_of_the_daemon() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [
            notebook.kind("leaves", LEAVES, ""),
            notebook.kind("lingers", LINGERS, ""),
            notebook.kind("forks", "sleep 200 & echo forked >> notes", ""),
        ];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        daemon.logged("daemon.started").await;
        for kind in ["leaves", "lingers", "forks"] {
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
