-- The first of the demo's jobs of the kind $1, if there is one: that which a schedule enqueues. A demo has few rows
-- when it asks: a sequential scan.
SELECT id FROM legwork.jobs WHERE kind = $1 ORDER BY id LIMIT 1
