//! The pooler is paused, told to read its file again, restarted.

use sqlx::PgConnection;

use super::run;
use crate::pipeline::{Runner, completed, daemon, deciding, kind, name, settings};
use crate::statements::{execute, value};
use crate::support::{Bouncer, TestDb, eventually};

/// A daemon through the pooler alone, that runs `good`.
fn start(db: &TestDb, bouncer: &Bouncer, direct: bool) -> Runner {
    let mut settings = settings(db);
    bouncer.database(db, direct, &mut settings.database);
    settings.kinds = vec![kind("good", std::time::Duration::ZERO)];
    Runner::start(daemon(settings).with_handler(name("good"), deciding(|_| completed())))
}

async fn enqueue(session: &mut PgConnection) {
    execute(session, "INSERT INTO legwork.job (kind) VALUES ('good')").await;
}

/// Waits until so many have ended, each by its first attempt.
async fn have_ended(session: &mut PgConnection, jobs: usize) {
    let ended = "SELECT count(*) FROM legwork.finished WHERE outcome = 'completed'";
    eventually(&format!("{jobs} jobs have ended"), async || {
        value(session, ended).await == jobs.to_string()
    })
    .await;
}

#[rstest::rstest]
#[case::with_a_way_past_it(true)]
#[case::alone(false)]
fn work_goes_on_after_a_pause_a_reload_and_a_restart(#[case] direct: bool) {
    run(async |db, mut bouncer| {
        let runner = start(db, &bouncer, direct);
        let mut session = db.connect().await;
        enqueue(&mut session).await;
        have_ended(&mut session, 1).await;

        bouncer.console("PAUSE").await;
        enqueue(&mut session).await;
        bouncer.console("RESUME").await;
        have_ended(&mut session, 2).await;

        bouncer.reload();
        enqueue(&mut session).await;
        have_ended(&mut session, 3).await;

        bouncer.restart().await;
        enqueue(&mut session).await;
        have_ended(&mut session, 4).await;

        // As a server's restart looks from behind it.
        bouncer.console("RECONNECT").await;
        enqueue(&mut session).await;
        have_ended(&mut session, 5).await;
        runner.stop().await;
        drop(session);
    });
}
