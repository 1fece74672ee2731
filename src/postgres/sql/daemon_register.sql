-- A daemon's row: its lease on every job that it will hold. $2 is the ttl in seconds, $10 the row that the same process had
-- before: what it was told while that ran out, frozen or cut off, it is told still. Index: daemon_pkey.
INSERT INTO legwork.daemon (id, name, version, hostname, expires_at, queues, kinds, limits, load, wanted)
VALUES ($1, $3, $4, $5, clock_timestamp() + make_interval(secs => $2), $6, $7, $8, $9,
    (SELECT d.wanted FROM legwork.daemon d WHERE d.id = $10))
