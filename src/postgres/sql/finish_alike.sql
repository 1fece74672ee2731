-- finish.sql for jobs that all end alike but for how long they ran ($9), with outcome $5 and reason $6, after $7 charged
-- attempts, to be kept for $8 days, and without a result: what nearly every flush consists of. A column that is the same for all costs as
-- much as one that isn't (a quarter of the statement, for the five), and so does what history doesn't keep.
-- Index: job_pkey, for what has moved.
WITH there AS (
    DELETE FROM legwork.job j
    USING unnest($1::bigint[], $2::bigint[], $3::bigint[], $9::int[]) AS f (id, token, holder, duration_ms)
    WHERE j.ctid = ANY ($4::tid[]) AND j.id + 0 = f.id AND j.token = f.token
        AND j.holder IS NOT DISTINCT FROM f.holder
    RETURNING j.id, j.token, j.holder, run_at, created_at, priority, attempt, rescues, snoozes, max_attempts, queue,
        kind, payload, timeout, unique_key, tags, metadata, duration_ms
), moved AS (
    DELETE FROM legwork.job j
    USING unnest($1::bigint[], $2::bigint[], $3::bigint[], $9::int[]) AS f (id, token, holder, duration_ms)
    WHERE (SELECT count(*) FROM there) < cardinality($1) AND j.id NOT IN (SELECT id FROM there)
        AND j.id = ANY ($1) AND j.id = f.id AND j.token = f.token
        AND j.holder IS NOT DISTINCT FROM f.holder
    RETURNING j.id, j.token, j.holder, run_at, created_at, priority, attempt, rescues, snoozes, max_attempts, queue,
        kind, payload, timeout, unique_key, tags, metadata, duration_ms
), d AS NOT MATERIALIZED (
    SELECT * FROM there UNION ALL SELECT * FROM moved
), h AS (
    INSERT INTO legwork.finished (id, token, holder, run_at, created_at, drop_after, outcome, duration_ms,
        priority, attempt, rescues, snoozes, max_attempts, queue, kind, payload, timeout, unique_key, tags,
        metadata, reason)
    SELECT id, token, holder, run_at, created_at, (now() AT TIME ZONE 'UTC')::date + $8::int,
        $5::legwork.outcome, duration_ms, priority, least(attempt::int + $7::smallint, 32767)::smallint, rescues,
        snoozes, max_attempts, queue, kind, payload, timeout, unique_key, tags, metadata, $6::text
    FROM d
)
SELECT coalesce(array_agg(id), '{}') FROM d
