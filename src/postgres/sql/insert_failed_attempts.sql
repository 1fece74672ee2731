-- The records of failed attempts where COPY is refused: row-level security knows no COPY FROM. The same
-- columns as copy_failed_attempts.sql; $8 are days from today. Index: none is read.
INSERT INTO legwork.failed_attempt (job_id, token, holder, attempt, cause, error, duration_ms, drop_after)
SELECT f.job_id, f.token, f.holder, f.attempt, f.cause, f.error, f.duration_ms,
    (now() AT TIME ZONE 'UTC')::date + f.days
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[], $6::text[],
    $7::int[], $8::int[]) AS f (job_id, token, holder, attempt, cause, error, duration_ms, days)
