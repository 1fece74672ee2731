#!/usr/bin/env python3
"""An order and its job in one transaction, with psycopg 3: pip install 'psycopg[binary]'."""
import os

import psycopg
from psycopg.types.json import Jsonb


def place_order(db, item, paid):
    with db.transaction():
        (order,) = db.execute("INSERT INTO app_order (item) VALUES (%s) RETURNING id", [item]).fetchone()
        db.execute(
            "INSERT INTO legwork.job (kind, payload) VALUES ('send_receipt', %s)",
            [Jsonb({"order": order, "item": item})],
        )
        if not paid:
            raise psycopg.Rollback  # as any exception does: neither order nor job


with psycopg.connect(os.environ["DATABASE_URL"]) as db:
    place_order(db, "book", paid=True)
    place_order(db, "pen", paid=False)
