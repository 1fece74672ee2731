-- Intent: what was answered to the request with this key ($1).
-- Index: request_pkey, of which it reads one entry.
-- Planner: equality on a primary key.
SELECT fingerprint, status, location, answer FROM legwork.request WHERE key = $1::text
