//! A handler that enqueues further jobs in a transaction of its own: what it writes and the jobs that
//! follow from it are there together, or neither is.
//!
//! Starts a private Postgres, runs a daemon on it until nothing is left to do, and prints what became
//! of two orders, of which one can't be split: `cargo run --example children`.

use legwork::{
    CancellationToken, Context, Daemon, HandlerError, Job, KindName, TypedHandler, assert_lease,
    config::{Environment, HandlerSettings, KindSettings, Settings},
    embedded::{Options, Postgres},
    enqueue, migrate,
    operations::{self, JobFilter, JobPage},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::{
    Connection as _, Executor as _, PgConnection,
    postgres::{PgConnectOptions, PgQueryResult},
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The application's own table.
pub const SCHEMA: &str = "CREATE TABLE split_order (id bigint PRIMARY KEY, parcels int NOT NULL)";

/// What comes in.
#[derive(Deserialize)]
pub struct Order {
    order: i64,
    addresses: Vec<String>,
}

/// Splits an order into one job for each of its parcels.
pub struct SplitOrder {
    /// The application's database, in which schema legwork lies as well.
    pub database: PgConnectOptions,
}

impl TypedHandler for SplitOrder {
    type Payload = Order;
    type Result = usize;

    async fn handle(&self, order: Order, context: &Context) -> Result<usize, HandlerError> {
        // A connection for each attempt: a handler can be dropped at any await, at its deadline for
        // one, and then the connection ends with it and everything is rolled back. A pool may hand
        // a connection on whose BEGIN was cut off.
        let mut connection = PgConnection::connect_with(&self.database).await?;
        // Protects: an order counts as split exactly when each of its parcels has a job.
        let mut transaction = connection.begin().await?;
        if mark_as_split(&mut transaction, &order).await?.rows_affected() == 0 {
            // An earlier attempt has committed and its verdict was lost. The work is done.
            return Ok(order.addresses.len());
        }
        for address in &order.addresses {
            if address.is_empty() {
                // The jobs that were enqueued before this one go with the transaction.
                return Err(HandlerError::discard("a parcel has no address"));
            }
            let tag = format!("order-{}", order.order);
            let parcel = Job::new("send_parcel").payload(address).tag(tag).follows(context);
            enqueue(&mut transaction, &parcel).await?;
        }
        // Last: whoever has lost the job meanwhile must not commit, since another attempt will.
        assert_lease(&mut transaction, context.job().lease).await?;
        transaction.commit().await?;
        Ok(order.addresses.len())
    }
}

async fn mark_as_split(
    connection: &mut PgConnection,
    order: &Order,
) -> Result<PgQueryResult, sqlx::Error> {
    let count = i32::try_from(order.addresses.len()).unwrap_or(i32::MAX);
    let insert = "INSERT INTO split_order (id, parcels) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    sqlx::query(insert).bind(order.order).bind(count).execute(connection).await
}

/// Enqueues orders, runs a daemon until nothing is left to do, and gives every job, the newest first.
pub async fn work_off(url: &str, orders: &[&str]) -> Result<JobPage, Error> {
    let mut connection = PgConnection::connect(url).await?;
    for order in orders {
        let order: &RawValue = serde_json::from_str(order)?;
        enqueue(&mut connection, &Job::new("split_order").payload(order)).await?;
    }
    // What sending a parcel takes is another story: a built-in handler completes these jobs at once.
    let parcels = KindSettings::new(KindName::new("send_parcel")?, HandlerSettings::Noop);
    let mut settings = Settings { kinds: vec![parcels], ..Settings::default() };
    settings.admin.listen = None;
    Daemon::builder()
        .settings(settings)
        .database_url(url)
        .handler("split_order", SplitOrder { database: url.parse()? })
        .build()?
        .once()
        .run_until(CancellationToken::new())
        .await?;
    let jobs = operations::list_jobs(&mut connection, &JobFilter::default(), 100).await?;
    connection.close().await?;
    Ok(jobs)
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
    connection.close().await?;

    let orders = [
        r#"{"order": 1, "addresses": ["1 High Street", "2 Low Street"]}"#,
        r#"{"order": 2, "addresses": ["3 Long Street", ""]}"#,
    ];
    for job in work_off(&url, &orders).await?.jobs.iter().rev() {
        let tags: Vec<&str> = job.tags.iter().flatten().map(String::as_str).collect();
        println!("{} {} {} {}", job.id, job.kind, job.state, tags.join(" "));
    }
    postgres.stop()?;
    Ok(())
}
