-- A daemon that ends of itself: what it still holds may be rescued at once. Index: daemon_pkey.
UPDATE legwork.daemon SET died_at = clock_timestamp() WHERE id = $1 AND died_at IS NULL
