-- The heartbeat, and with it the daemon's load at this moment, $3, and its limits, $4, which a reload may
-- have changed. No row = declared dead: whoever did
-- that may already have given our jobs away. Index: daemon_pkey.
UPDATE legwork.daemon
SET expires_at = clock_timestamp() + make_interval(secs => $2), renewed_at = clock_timestamp(), load = $3,
    limits = $4
WHERE id = $1 AND died_at IS NULL
RETURNING id
