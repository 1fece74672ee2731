//! How the tests of the SQL surface speak to the database: statements as a producer or an operator
//! would type them, and the refusal as they would read it.

use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::support::TestDb;

/// A refusal, as psql would print it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// A session that has taken on one of the six roles.
pub(crate) async fn session_as(db: &TestDb, role: &str) -> PgConnection {
    let mut session = db.connect().await;
    execute(&mut session, &format!("SET ROLE {role}")).await;
    session
}

/// Runs statements that must succeed.
pub(crate) async fn execute(session: &mut PgConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(session).await;
    assert!(done.is_ok(), "{sql}: {done:?}");
}

/// Runs a statement that must be refused.
pub(crate) async fn refused(session: &mut PgConnection, sql: &str) -> Refusal {
    match sqlx::raw_sql(AssertSqlSafe(sql)).execute(session).await {
        Ok(_) => panic!("this should have been refused: {sql}"),
        Err(sqlx::Error::Database(error)) => {
            let error = error.downcast::<PgDatabaseError>();
            Refusal {
                code: error.code().to_owned(),
                message: error.message().to_owned(),
                hint: error.hint().unwrap_or_default().to_owned(),
            }
        }
        Err(other) => panic!("{sql}: {other:?}"),
    }
}

/// The rows of a query, each as its columns' texts joined by `|`, as `psql -At` prints them.
pub(crate) async fn rows(session: &mut PgConnection, query: &str) -> Vec<String> {
    let found = sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(session).await;
    let found = found.unwrap_or_else(|error| panic!("{query}: {error:?}"));
    found
        .iter()
        .map(|row| {
            let texts: Vec<&str> = (0..row.len())
                .map(|column| row.try_get_raw(column).expect("a column of the row"))
                .map(|value| value.as_str().unwrap_or(""))
                .collect();
            texts.join("|")
        })
        .collect()
}

/// The one value of a query, as text.
pub(crate) async fn value(session: &mut PgConnection, query: &str) -> String {
    let mut found = rows(session, query).await;
    assert_eq!(found.len(), 1, "{query}: {found:?}");
    found.remove(0)
}

/// Ends a session, so that the test leaves none.
pub(crate) async fn end(session: PgConnection) {
    session.close().await.expect("a session ends");
}
