-- rescue.sql where history doesn't take the records: that must keep no job with a dead daemon. A
-- sequential scan, as there.
UPDATE legwork.job SET holder = NULL, attempt = least(attempt + 1, 32767)::smallint,
    rescues = least(rescues + 1, 32767)::smallint
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM legwork.job WHERE holder = $1 LIMIT 1000 FOR UPDATE SKIP LOCKED
))
RETURNING queue::text
