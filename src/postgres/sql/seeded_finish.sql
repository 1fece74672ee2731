-- A bug, see src/seeded.rs: finish.sql without its fence, so that a late result finishes whatever attempt
-- is under way. Index: job_pkey.
WITH f AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[],
        $7::smallint[], $8::int[], $9::tid[], $10::int[])
        AS f (id, token, holder, outcome, reason, result, charge, days, place, duration_ms)
), d AS (
    DELETE FROM legwork.job j USING f
    WHERE j.id = f.id
    RETURNING j.*, f.outcome, f.reason, f.result, f.charge, f.days, f.duration_ms
), h AS (
    INSERT INTO legwork.finished (id, token, holder, run_at, created_at, drop_after, outcome, duration_ms,
        priority, attempt, rescues, snoozes, max_attempts, queue, kind, payload, timeout, unique_key, tags,
        metadata, reason, result)
    SELECT id, token, holder, run_at, created_at, (now() AT TIME ZONE 'UTC')::date + days,
        outcome::legwork.outcome, duration_ms, priority, attempt + charge, rescues, snoozes, max_attempts, queue,
        kind, payload, timeout, unique_key, tags, metadata, reason, result::jsonb
    FROM d WHERE days IS NOT NULL
)
SELECT coalesce(array_agg(id), '{}') FROM d
