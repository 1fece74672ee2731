//! Test 11: privileges, domains and the trigger, for a session that has nothing but the role
//! `legwork_enqueue`, by each way in: one row with RETURNING, many rows, ON CONFLICT and COPY.

use futures::TryStreamExt;
use sqlx::postgres::{PgConnection, PgListener};

use crate::schema::{HOSTILE, LEGAL};
use crate::statements::{Refusal, end, execute, refused, session_as, value};
use crate::support::{self, TestDb};

/// Ways in that are an INSERT.
const INSERTS: [&str; 3] = [
    "INSERT INTO legwork.job ({columns}) VALUES ({values}) RETURNING id",
    "INSERT INTO legwork.job ({columns}) VALUES ({values}), ({values})",
    "INSERT INTO legwork.job ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING",
];

fn filled(way: &str, columns: &str, values: &str) -> String {
    way.replace("{columns}", columns).replace("{values}", values)
}

/// The values as a line of COPY, written by the server.
async fn line(session: &mut PgConnection, values: &str) -> Vec<u8> {
    let copy = format!("COPY (SELECT {values}) TO STDOUT");
    let mut stream = session.copy_out_raw(&copy).await.expect("the values can be copied out");
    let mut line = Vec::new();
    while let Some(bytes) = stream.try_next().await.expect("they come") {
        line.extend_from_slice(&bytes);
    }
    line
}

async fn copy(
    session: &mut PgConnection,
    columns: &str,
    lines: Vec<u8>,
) -> Result<u64, sqlx::Error> {
    let mut copy = session.copy_in_raw(&format!("COPY legwork.job ({columns}) FROM STDIN")).await?;
    copy.send(lines).await?;
    copy.finish().await
}

async fn jobs(db: &TestDb) -> i64 {
    let mut session = db.connect().await;
    let count = value(&mut session, "SELECT count(*) FROM legwork.job").await;
    end(session).await;
    count.parse().expect("a number")
}

#[test]
fn every_domain_refuses_what_it_should_by_every_way_in() {
    support::run(async |db| {
        let mut producer = session_as(&db, "legwork_enqueue").await;
        let mut server = db.connect().await;
        for (name, columns, values, rule) in HOSTILE {
            for way in INSERTS {
                let refusal = refused(&mut producer, &filled(way, columns, values)).await;
                assert!(refusal.message.contains(rule), "{name}, {way}: {refusal:?}");
            }
            let line = line(&mut server, values).await;
            let refusal = copy(&mut producer, columns, line).await;
            let refusal = refusal.expect_err("COPY is refused").to_string();
            assert!(refusal.contains(rule), "{name}, COPY: {refusal}");
        }
        assert_eq!(jobs(&db).await, 0, "nothing of what was refused is there");
        end(producer).await;
        end(server).await;
    });
}

#[test]
fn every_domain_takes_what_is_legal_by_every_way_in() {
    support::run(async |db| {
        let mut producer = session_as(&db, "legwork_enqueue").await;
        let mut server = db.connect().await;
        for (name, columns, values) in LEGAL {
            let before = jobs(&db).await;
            let keyed = columns.contains("unique_key");
            for way in INSERTS.iter().filter(|way| !(keyed && way.contains("), ("))) {
                execute(&mut producer, &filled(way, columns, values)).await;
                if keyed {
                    execute(&mut server, "DELETE FROM legwork.job WHERE unique_key IS NOT NULL")
                        .await;
                }
            }
            let line = line(&mut server, values).await;
            assert_eq!(copy(&mut producer, columns, line).await.ok(), Some(1), "{name}");
            let rows = if keyed { 1 } else { 5 };
            assert_eq!(jobs(&db).await - before, rows, "{name}");
        }
        end(producer).await;
        end(server).await;
    });
}

/// What a producer may not touch, whatever the way.
const FORBIDDEN: [&str; 12] = [
    "INSERT INTO legwork.job (kind, token) VALUES ('k', 1) RETURNING id",
    "INSERT INTO legwork.job (kind, holder) VALUES ('k', 1), ('k', 2)",
    "INSERT INTO legwork.job (kind, attempt) VALUES ('k', 1) ON CONFLICT DO NOTHING",
    "INSERT INTO legwork.job (kind) VALUES ('k') RETURNING payload",
    "INSERT INTO legwork.job (kind) VALUES ('k') RETURNING *",
    "INSERT INTO legwork.job (kind, unique_key) VALUES ('k', 'u')
        ON CONFLICT (queue, unique_key) WHERE unique_key IS NOT NULL DO UPDATE SET payload = '[]'",
    "COPY legwork.job FROM STDIN",
    "COPY legwork.job (kind, token) FROM STDIN",
    "COPY legwork.job (kind, holder) FROM STDIN",
    "COPY legwork.job (kind, ready_at) FROM STDIN",
    "COPY legwork.job (id, kind) FROM STDIN",
    "COPY legwork.job (kind) TO STDOUT",
];

#[test]
fn a_producer_is_kept_from_every_other_column_by_every_way_in() {
    support::run(async |db| {
        let mut producer = session_as(&db, "legwork_enqueue").await;
        for statement in FORBIDDEN {
            let Refusal { code, message, .. } = refused(&mut producer, statement).await;
            assert_eq!(code, "42501", "{statement}: {message}");
        }
        assert_eq!(jobs(&db).await, 0);
        end(producer).await;
    });
}

#[test]
fn each_statement_of_a_producer_rings_once_by_every_way_in() {
    support::run(async |db| {
        let mut server = db.connect().await;
        let ring = "SELECT setval('legwork.doorbell', extract(epoch FROM now())::bigint + 3600)";
        execute(&mut server, ring).await;
        let mut listener = PgListener::connect(&db.url()).await.expect("a listener");
        listener.listen("legwork").await.expect("listening");
        let mut producer = session_as(&db, "legwork_enqueue").await;
        for way in INSERTS {
            execute(&mut producer, &filled(way, "kind", "'k'")).await;
            execute(&mut server, "NOTIFY legwork, 'one ring came'").await;
            assert_eq!(listener.recv().await.expect("a notice").payload(), "", "{way}");
            assert_eq!(listener.recv().await.expect("a notice").payload(), "one ring came");
        }
        copy(&mut producer, "kind", b"k\nk\nk\n".to_vec()).await.expect("it is taken");
        execute(&mut server, "NOTIFY legwork, 'one ring came'").await;
        assert_eq!(listener.recv().await.expect("a notice").payload(), "", "COPY");
        assert_eq!(listener.recv().await.expect("a notice").payload(), "one ring came");
        listener.unlisten_all().await.expect("an end of listening");
        drop(listener);
        end(producer).await;
        end(server).await;
    });
}
