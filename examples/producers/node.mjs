#!/usr/bin/env node
// An order and its job in one transaction, with pg: npm install pg. A unique key makes it safe to say twice.
import pg from "pg";

async function placeOrder(db, item, paid) {
  await db.query("BEGIN"); // on one client; pool.query() may take another connection each time
  try {
    const { rows } = await db.query("INSERT INTO app_order (item) VALUES ($1) RETURNING id", [item]);
    const order = Number(rows[0].id);
    const job = ["send_receipt", JSON.stringify({ order, item }), `receipt-${order}`];
    const enqueue = "INSERT INTO legwork.job (kind, payload, unique_key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    await db.query(enqueue, job);
    await db.query(enqueue, job); // the key is taken: nothing is enqueued, and it is no error
    if (!paid) throw new Error("not paid");
    await db.query("COMMIT");
  } catch (error) {
    await db.query("ROLLBACK"); // neither order nor job
    throw error;
  }
}

const db = new pg.Client({ connectionString: process.env.DATABASE_URL });
await db.connect();
try {
  await placeOrder(db, "book", true);
  await placeOrder(db, "pen", false).catch((error) => {
    if (error.message !== "not paid") throw error;
  });
} finally {
  await db.end();
}
