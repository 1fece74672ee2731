//! What ADR 0018 says of `PgBouncer` and of the driver, seen.

use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use super::run;
use crate::statements::value;
use crate::support::{Bouncer, eventually};

/// As the driver connects by itself, but for what a pooler refuses.
fn options(bouncer: &Bouncer) -> PgConnectOptions {
    let options = PgConnectOptions::from_str(&bouncer.url()).expect("the address is right");
    options.extra_float_digits(None)
}

async fn process(connection: &mut PgConnection) -> i32 {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await;
    row.expect("it answers").get(0)
}

#[test]
fn what_a_driver_and_a_url_ask_for_at_the_start_of_a_session_is_refused() {
    run(async |_, bouncer| {
        let digits = PgConnectOptions::from_str(&bouncer.url()).expect("the address is right");
        let asked = options(&bouncer).options([("lock_timeout", "1s")]);
        for (options, parameter) in [(digits, "extra_float_digits"), (asked, "options")] {
            let refused = PgConnection::connect_with(&options).await.expect_err("it is refused");
            let said = refused.to_string();
            assert!(
                said.contains("unsupported startup parameter") && said.contains(parameter),
                "{said}"
            );
        }
    });
}

#[test]
fn the_session_that_was_used_last_is_given_to_whoever_asks_next() {
    run(async |_, bouncer| {
        let (mut one, mut other) = (bouncer.connect().await, bouncer.connect().await);
        let first = process(&mut one).await;
        assert_eq!((process(&mut other).await, process(&mut one).await), (first, first));
        // Two at once need two.
        one.execute("BEGIN").await.expect("it begins");
        let taken = process(&mut one).await;
        assert_ne!(process(&mut other).await, taken);
    });
}

#[test]
fn a_named_statement_meets_that_of_another_client() {
    run(async |_, bouncer| {
        let mut one = PgConnection::connect_with(&options(&bouncer)).await.expect("it is let in");
        let mut other = PgConnection::connect_with(&options(&bouncer)).await.expect("it is let in");
        let ask = "SELECT $1::int + 1";
        sqlx::query(ask).bind(1).fetch_one(&mut one).await.expect("the first prepares it");
        let met = sqlx::query(ask).bind(1).fetch_one(&mut other).await.expect_err("it is there");
        assert!(met.to_string().contains("\"sqlx_s_1\" already exists"), "{met}");
        let unnamed = sqlx::query(ask).bind(1).persistent(false).fetch_one(&mut other).await;
        unnamed.expect("where nobody comes between, one without a name is found");
    });
}

#[test]
fn a_session_whose_client_left_in_the_middle_of_a_transaction_is_closed() {
    run(async |db, bouncer| {
        let mut leaves = bouncer.connect().await;
        leaves.execute("BEGIN").await.expect("it begins");
        let left = process(&mut leaves).await;
        drop(leaves);
        let mut session = db.connect().await;
        let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {left}");
        eventually("the session is gone", async || value(&mut session, &there).await == "0").await;
        session.close().await.expect("it closes");
    });
}
