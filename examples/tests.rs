//! How a program tests what it enqueues and what runs it: an attempt in place, jobs looked at inside a
//! transaction that is then rolled back, and a queue worked off.
//!
//! In a program of yours these are tests; here they run one after the other on a private Postgres:
//! `cargo run --example tests`.

use legwork::{
    Context, Daemon, HandlerError, Job,
    config::Environment,
    embedded::{Options, Postgres},
    enqueue, migrate, testing,
};
use sqlx::{Connection as _, PgConnection};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What is tested: a handler.
async fn sum(numbers: Vec<i64>, context: Context) -> Result<i64, HandlerError> {
    context.report_progress(format!("{} numbers", numbers.len()));
    let add = |sum: i64, number: &i64| sum.checked_add(*number);
    numbers.iter().try_fold(0, add).ok_or_else(|| HandlerError::discard("too large"))
}

/// What is tested: code of the application that enqueues.
async fn ask_for_sum(connection: &mut PgConnection, numbers: &[i64]) -> Result<(), Error> {
    enqueue(connection, &Job::new("sum").payload(numbers).queue("maths")).await?;
    Ok(())
}

async fn a_handler_adds_up() {
    let ran = testing::attempt(sum, &[1, 2, 39]).run().await;
    ran.assert_result(&42);
    assert_eq!(ran.progress(), Some("3 numbers"));
    let ran = testing::attempt(sum, &[i64::MAX, 1]).run().await;
    assert_eq!(ran.assert_discarded().as_str(), "too large");
}

async fn a_sum_is_asked_for(url: &str) -> Result<(), Error> {
    let mut connection = PgConnection::connect(url).await?;
    let mut transaction = connection.begin().await?;
    ask_for_sum(&mut transaction, &[1, 2]).await?;
    let is_right = |numbers: &Vec<i64>| numbers.as_slice() == [1, 2];
    let job = testing::assert_enqueued(&mut transaction, "sum", is_right).await;
    assert_eq!(job.queue, "maths");
    // Nothing of it is left for the next test.
    transaction.rollback().await?;
    testing::assert_not_enqueued(&mut connection, "sum", is_right).await;
    connection.close().await?;
    Ok(())
}

async fn what_is_asked_for_is_added_up(url: &str) -> Result<(), Error> {
    let mut connection = PgConnection::connect(url).await?;
    ask_for_sum(&mut connection, &[20, 22]).await?;
    connection.close().await?;
    let daemon = Daemon::builder()
        .database_url(url)
        .queue("maths", legwork::QueueOptions::default())
        .handler("sum", sum)
        .build()?;
    let drained = testing::drain(daemon).await?;
    assert_eq!(drained.of_kind("sum").count(), 1);
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

    a_handler_adds_up().await;
    a_sum_is_asked_for(&url).await?;
    what_is_asked_for_is_added_up(&url).await?;
    println!("all is as it should be");
    postgres.stop()?;
    Ok(())
}
