-- Intent: keep what is answered ($3 status, $4 Location, $5 body) to the request with this key ($1) and fingerprint ($2).
-- Index: the row enters request_pkey and request_answered_at.
-- Planner: an insert of one row of constants.
INSERT INTO legwork.request (key, fingerprint, status, location, answer)
VALUES ($1::text, $2::bytea, $3::smallint, $4::text, $5::text)
