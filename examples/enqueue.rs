//! A program that enqueues in its own transactions, and runs what it enqueued: a payment and its receipt
//! are there together, or neither is.
//!
//! Starts a private Postgres and works off what is left by the payments, of which one is called off:
//! `cargo run --example enqueue`.

use legwork::{
    CancellationToken, Context, Daemon, HandlerError, Job, KindOptions, QueueOptions,
    config::Environment,
    embedded::{Options, Postgres},
    enqueue, enqueue_many, migrate,
};
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::time::Duration;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The application's own table.
const SCHEMA: &str = "CREATE TABLE payment (order_id bigint PRIMARY KEY)";

/// What a receipt is written from.
#[derive(Serialize, Deserialize)]
struct Receipt {
    order: i64,
}

/// Pays an order and enqueues its receipt. Whoever repeats it finds the receipt's key taken.
async fn pay(connection: &mut PgConnection, order: i64, is_covered: bool) -> Result<(), Error> {
    // Protects: a payment has a receipt's job exactly if it was made.
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO payment VALUES ($1)").bind(order).execute(&mut *transaction).await?;
    let receipt = Job::new("send_receipt")
        .payload(&Receipt { order })
        .queue("mail")
        .unique_key(format!("receipt-{order}"));
    enqueue(&mut transaction, &receipt).await?;
    if is_covered {
        transaction.commit().await?;
    } else {
        // The job goes with the payment.
        transaction.rollback().await?;
    }
    Ok(())
}

/// Runs the jobs of kind `send_receipt`.
#[expect(clippy::print_stdout, reason = "an example shows what it did")]
async fn send_receipt(receipt: Receipt, context: Context) -> Result<(), HandlerError> {
    println!("job {}: the receipt of order {}", context.job().lease.job, receipt.order);
    Ok(())
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it did")]
async fn main() -> Result<(), Error> {
    let mut options = Options::default();
    options.search.splice(0..0, Environment::of_process().search_path());
    let postgres = Postgres::start(&options)?;
    let url = postgres.url("postgres");
    migrate::up(&url).await?;

    let mut connection = PgConnection::connect(&url).await?;
    connection.execute(SCHEMA).await?;
    pay(&mut connection, 1, true).await?;
    pay(&mut connection, 2, false).await?;
    // Protects: everybody is invited, or nobody.
    let mut transaction = connection.begin().await?;
    let invitations: Vec<Job> = (0..1000).map(|user| Job::new("invite").payload(&user)).collect();
    let invited = enqueue_many(&mut transaction, &invitations).await?;
    transaction.commit().await?;
    connection.close().await?;

    let invite = |_user: i64, _: Context| async { Ok::<_, HandlerError>(()) };
    let daemon = Daemon::builder()
        .database_url(url)
        .queue("default", QueueOptions::default())
        .queue("mail", QueueOptions::concurrency(2))
        .handler("send_receipt", send_receipt)
        .kind("send_receipt", KindOptions::new().max_attempts(5).timeout(Duration::from_secs(30)))
        .handler("invite", invite)
        .build()?;
    // Until nothing is left to do; a service calls `run` instead.
    let ended = daemon.once().run_until(CancellationToken::new()).await?;
    println!("{invited} invitations; ended cleanly: {}", ended.is_clean());
    postgres.stop()?;
    Ok(())
}
