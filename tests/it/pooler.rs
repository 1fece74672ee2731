//! Through a `PgBouncer` in transaction mode, with and without a way past it.
//!
//! Wherever `pgbouncer` is installed; elsewhere a line says that nothing of this was tested. What the
//! daemon does through it is the same as on a server, so what is tested here is what a pooler can take
//! away: sessions, and with them settings, prepared statements, LISTEN, processes of one's own.

mod commands;
mod facts;
mod mistaken;
mod outages;
mod work;

use sqlx::{PgConnection, Row as _};

use crate::support::{self, Bouncer, Mode, TestDb};

/// A test with a pooler in transaction mode; none where there is no such program.
fn run(test: impl AsyncFnOnce(&TestDb, Bouncer)) {
    support::run(async |db| {
        if let Some(bouncer) = Bouncer::start(&db, Mode::default()).await {
            test(&db, bouncer).await;
        }
    });
}

/// What one of the pooler's sessions was left with, asked through it.
async fn left_in_a_session(through: &mut PgConnection) -> (i64, String, String) {
    let asked = "SELECT (SELECT count(*) FROM pg_prepared_statements),
        current_setting('search_path'), current_setting('lock_timeout')";
    let row = sqlx::raw_sql(asked).fetch_one(through).await.expect("it answers");
    (row.get(0), row.get(1), row.get(2))
}

/// Through the pooler, several sessions at once, so that each of the pool's is looked at.
async fn nothing_is_left_in_sessions(bouncer: &Bouncer) {
    let mut connections = Vec::new();
    for _ in 0..6 {
        let mut connection = bouncer.connect().await;
        // Keeps its session, so that the next one gets another.
        sqlx::raw_sql("BEGIN").execute(&mut connection).await.expect("it begins");
        let left = left_in_a_session(&mut connection).await;
        assert_eq!(left, (0, "\"$user\", public".into(), "0".into()));
        connections.push(connection);
    }
}
