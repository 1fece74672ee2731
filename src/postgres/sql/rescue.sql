-- Puts the jobs of a dead daemon back in line, 1,000 at a time; they keep their place. A sequential scan
-- by design: an index on holder would cost every job 72 B of WAL and 2 µs, a scan costs 0.11 s per
-- million rows, once per death. Whoever claims the job next decides whether it may run again.
UPDATE legwork.job SET holder = NULL, attempt = least(attempt + 1, 32767)::smallint,
    rescues = least(rescues + 1, 32767)::smallint
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM legwork.job WHERE holder = $1 LIMIT 1000 FOR UPDATE SKIP LOCKED
))
RETURNING queue::text
