#!/bin/sh
# An order and its job in one transaction; the session's request id follows the job into logs and handlers.
exec psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 "${DATABASE_URL:?}" <<'SQL'
BEGIN;
SET LOCAL legwork.request_id = 'req-7f3a';
WITH new_order AS (INSERT INTO app_order (item) VALUES ('book') RETURNING id, item)
INSERT INTO legwork.job (kind, payload)
SELECT 'send_receipt', jsonb_build_object('order', id, 'item', item) FROM new_order;
COMMIT;

BEGIN;   -- the same, thought better of: neither order nor job
WITH new_order AS (INSERT INTO app_order (item) VALUES ('pen') RETURNING id, item)
INSERT INTO legwork.job (kind, payload)
SELECT 'send_receipt', jsonb_build_object('order', id, 'item', item) FROM new_order;
ROLLBACK;
SQL
