-- A daemon's row: its lease on every job that it will hold. $2 is the ttl in seconds.
INSERT INTO legwork.daemon (id, name, version, hostname, expires_at, queues, kinds, limits, load)
VALUES ($1, $3, $4, $5, clock_timestamp() + make_interval(secs => $2), $6, $7, $8, $9)
