//! An order and its job in one transaction, with sqlx and nothing of Legwork's: `cargo run --example producer`.

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

async fn place_order(db: &mut PgConnection, item: &str, paid: bool) -> Result<(), sqlx::Error> {
    // Protects: an order is there exactly when its job is.
    let mut transaction = db.begin().await?;
    let order: i64 = sqlx::query_scalar("INSERT INTO app_order (item) VALUES ($1) RETURNING id")
        .bind(item)
        .fetch_one(&mut *transaction)
        .await?;
    sqlx::query("INSERT INTO legwork.job (kind, payload) VALUES ('send_receipt', $1)")
        .bind(json!({ "order": order, "item": item }))
        .execute(&mut *transaction)
        .await?;
    // Dropping a transaction does the same: neither order nor job.
    if paid { transaction.commit().await } else { transaction.rollback().await }
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::disallowed_methods, reason = "an application's own way to its settings")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut db = PgConnection::connect(&std::env::var("DATABASE_URL")?).await?;
    place_order(&mut db, "book", true).await?;
    place_order(&mut db, "pen", false).await?;
    Ok(db.close().await?)
}
