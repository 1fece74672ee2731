-- Ends jobs: out of the live table and into history, in one statement and one round trip (139 k jobs/s
-- against 113 k with DELETE and COPY in a transaction). Fence: (id, token, holder). `IS NOT DISTINCT
-- FROM`, since `=` would let the planner take an index on holder, which decays under a pinned horizon.
-- A row lies where its claim put it ($9) unless something changed it since, and going there costs 0.9 µs a job
-- less than the way through the index. So `there` takes what lies there, and only where that isn't all, `moved`
-- looks for the rest by id, which follows a row that is being moved at this moment. `id + 0` keeps `there` from
-- job_pkey, all of which it would walk for the rows' places where the planner believes in no rows.
-- Index: job_pkey, by `id = ANY`: a join alone leaves the planner the choice to walk the whole index
-- first, which it takes where it believes in no rows (600 blocks a job after 100,000 under a held
-- snapshot, against 8). Rows without days keep no history. No count grows
-- beyond its type, or the verdict would be refused. Gives the ids that were ours.
WITH f AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[],
        $7::smallint[], $8::int[], $10::int[])
        AS f (id, token, holder, outcome, reason, result, charge, days, duration_ms)
), there AS (
    DELETE FROM legwork.job j USING f
    WHERE j.ctid = ANY ($9::tid[]) AND j.id + 0 = f.id AND j.token = f.token
        AND j.holder IS NOT DISTINCT FROM f.holder
    RETURNING j.*, f.outcome, f.reason, f.result, f.charge, f.days, f.duration_ms
), moved AS (
    DELETE FROM legwork.job j USING f
    WHERE (SELECT count(*) FROM there) < cardinality($1) AND j.id NOT IN (SELECT id FROM there)
        AND j.id = ANY ($1) AND j.id = f.id AND j.token = f.token
        AND j.holder IS NOT DISTINCT FROM f.holder
    RETURNING j.*, f.outcome, f.reason, f.result, f.charge, f.days, f.duration_ms
), d AS NOT MATERIALIZED (
    SELECT * FROM there UNION ALL SELECT * FROM moved
), h AS (
    INSERT INTO legwork.finished (id, token, holder, run_at, created_at, drop_after, outcome, duration_ms,
        priority, attempt, rescues, snoozes, max_attempts, queue, kind, payload, timeout, unique_key, tags,
        metadata, reason, result)
    SELECT id, token, holder, run_at, created_at, (now() AT TIME ZONE 'UTC')::date + days,
        outcome::legwork.outcome, duration_ms, priority, least(attempt::int + charge, 32767)::smallint, rescues,
        snoozes, max_attempts, queue, kind, payload, timeout, unique_key, tags, metadata, reason,
        result::jsonb
    FROM d WHERE days IS NOT NULL
)
-- One row: a thousand cost us more to take in than to put together.
SELECT coalesce(array_agg(id), '{}') FROM d
