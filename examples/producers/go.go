// An order and its job in one transaction, with database/sql and pgx: go get github.com/jackc/pgx/v5.
// The session's trace context follows the job into logs, spans and handlers.
package main

import (
	"database/sql"
	"encoding/json"
	"log"
	"os"

	_ "github.com/jackc/pgx/v5/stdlib"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" // of the request that is served

func placeOrder(db *sql.DB, item string, paid bool) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a Commit; without one: neither order nor job
	// What SET LOCAL does, with a parameter.
	_, err = tx.Exec("SELECT set_config('legwork.traceparent', $1, true)", traceparent)
	if err != nil {
		return err
	}
	var order int64
	if err = tx.QueryRow("INSERT INTO app_order (item) VALUES ($1) RETURNING id", item).Scan(&order); err != nil {
		return err
	}
	payload, err := json.Marshal(map[string]any{"order": order, "item": item})
	if err != nil {
		return err
	}
	_, err = tx.Exec("INSERT INTO legwork.job (kind, payload) VALUES ('send_receipt', $1)", string(payload))
	if err != nil {
		return err
	}
	if !paid {
		return nil
	}
	return tx.Commit()
}

func main() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	if err = placeOrder(db, "book", true); err != nil {
		log.Fatal(err)
	}
	if err = placeOrder(db, "pen", false); err != nil {
		log.Fatal(err)
	}
}
