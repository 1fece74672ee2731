//! Producers: applications that insert jobs, roll back, and are cut off in the middle of a COMMIT.
//!
//! Each says before an INSERT what it is about to insert, and afterwards what it was told. What it
//! wasn't told it doesn't guess: only an answer to COMMIT is an `ok`, and only what never was sent
//! a COMMIT is a `fail` for certain.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::{Connection, PgConnection, QueryBuilder};
use tokio::time::{Instant, sleep, sleep_until};

use super::cluster::connect;
use super::history::Event;
use super::journal::Journal;
use super::plan::{Ending, Job, Transaction, Way};

/// What a producer knows of a transaction's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Committed,
    RolledBack,
    Nothing,
}

/// Makes these transactions, each at its time or as soon after it as Postgres lets it.
pub(crate) async fn produce(list: &[Transaction], url: &str, began: Instant, journal: &Journal) {
    let mut session: Option<PgConnection> = None;
    for transaction in list {
        // The plan's times are the workload.
        sleep_until(began + Duration::from_millis(transaction.at_ms)).await;
        let mut connection = match session.take() {
            Some(connection) => connection,
            None => connect(url).await,
        };
        for Job { uid, max_attempts, .. } in &transaction.jobs {
            journal.note(&Event::Invoke { uid: uid.clone(), max_attempts: *max_attempts });
        }
        let known = match transaction.way {
            Way::Bare => bare(&mut connection, &transaction.jobs).await,
            _ => whole(&mut connection, transaction).await,
        };
        for Job { uid, .. } in &transaction.jobs {
            let uid = uid.clone();
            journal.note(&match known {
                Known::Committed => Event::Ok { uid },
                Known::RolledBack => Event::Fail { uid },
                Known::Nothing => Event::Unknown { uid },
            });
        }
        // A connection that failed or was cut is dropped, without a word to the server.
        session = (known == Known::Committed).then_some(connection);
    }
    if let Some(connection) = session {
        // The server may have gone meanwhile; then there is nobody to say goodbye to.
        connection.close().await.ok();
    }
}

/// A statement that is its own transaction: if it isn't answered, who knows?
async fn bare(connection: &mut PgConnection, jobs: &[Job]) -> Known {
    match insert(connection, jobs).await {
        Ok(()) => Known::Committed,
        Err(_) => Known::Nothing,
    }
}

/// A transaction with an end of its own.
async fn whole(connection: &mut PgConnection, transaction: &Transaction) -> Known {
    if filled(connection, transaction).await.is_err() {
        // COMMIT was never sent.
        return Known::RolledBack;
    }
    let commit = sqlx::raw_sql("COMMIT");
    match transaction.ending {
        Ending::Commit => match commit.execute(connection).await {
            Ok(_) => Known::Committed,
            Err(_) => Known::Nothing,
        },
        Ending::Rollback => {
            // Whatever is answered, it wasn't a COMMIT.
            sqlx::raw_sql("ROLLBACK").execute(connection).await.ok();
            Known::RolledBack
        }
        Ending::Cut { after_us } => tokio::select! {
            answer = commit.execute(connection) => {
                if answer.is_ok() { Known::Committed } else { Known::Nothing }
            }
            // Not a wait: the plan says when the connection is cut, before or after the answer.
            () = sleep(Duration::from_micros(after_us)) => Known::Nothing,
        },
    }
}

/// Begins a transaction and inserts its jobs.
async fn filled(
    connection: &mut PgConnection,
    transaction: &Transaction,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
    match transaction.way {
        Way::Copy => copy(connection, &transaction.jobs).await,
        Way::MultiRow | Way::Bare => insert(connection, &transaction.jobs).await,
        Way::Single => {
            for job in &transaction.jobs {
                insert(connection, std::slice::from_ref(job)).await?;
            }
            Ok(())
        }
    }
}

async fn insert(connection: &mut PgConnection, jobs: &[Job]) -> Result<(), sqlx::Error> {
    let mut statement = QueryBuilder::new("INSERT INTO legwork.job (kind, payload, max_attempts) ");
    statement.push_values(jobs, |mut row, job| {
        row.push_bind(job.kind);
        row.push_bind(job.payload()).push_unseparated("::jsonb");
        row.push_bind(i16::try_from(job.max_attempts).expect("at most 1,000"));
    });
    statement.build().execute(connection).await.map(drop)
}

async fn copy(connection: &mut PgConnection, jobs: &[Job]) -> Result<(), sqlx::Error> {
    let mut lines = String::new();
    for job in jobs {
        // No tab, newline or backslash is in any of them.
        writeln!(lines, "{}\t{}\t{}", job.kind, job.payload(), job.max_attempts)
            .expect("a String grows");
    }
    let statement = "COPY legwork.job (kind, payload, max_attempts) FROM STDIN";
    let mut copy = connection.copy_in_raw(statement).await?;
    copy.send(lines.into_bytes()).await?;
    copy.finish().await.map(drop)
}
