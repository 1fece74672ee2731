-- The heartbeat, and with it the daemon's load at this moment, $3, and what a reload may have changed: its
-- limits, $4, and what it serves, $5 and $6. No row = declared dead: whoever did
-- that may already have given our jobs away. Index: daemon_pkey.
UPDATE legwork.daemon
SET expires_at = clock_timestamp() + make_interval(secs => $2), renewed_at = clock_timestamp(), load = $3,
    limits = $4, queues = $5, kinds = $6
WHERE id = $1 AND died_at IS NULL
RETURNING id
