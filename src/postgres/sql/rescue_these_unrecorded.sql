-- rescue_these.sql where history doesn't take the record. Index: job_pkey.
UPDATE legwork.job SET holder = NULL, attempt = least(attempt + 1, 32767)::smallint,
    rescues = least(rescues + 1, 32767)::smallint
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM legwork.job WHERE id = ANY ($2::bigint[]) AND holder = $1 FOR UPDATE SKIP LOCKED
))
RETURNING queue::text
