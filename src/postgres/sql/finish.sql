-- Ends jobs: out of the live table and into history, in one statement and one round trip (139 k jobs/s
-- against 113 k with DELETE and COPY in a transaction). Fence: (id, token, holder). `IS NOT DISTINCT
-- FROM`, since `=` would let the planner take an index on holder, which decays under a pinned horizon.
-- Index: job_pkey, by `id = ANY`: a join alone leaves the planner the choice to walk the whole index
-- first, which it takes where it believes in no rows (600 blocks a job after 100,000 under a held
-- snapshot, against 8). Rows without days keep no history. Gives the ids that were ours.
WITH f AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[],
        $7::smallint[], $8::int[]) AS f (id, token, holder, outcome, reason, result, charge, days)
), d AS (
    DELETE FROM legwork.job j USING f
    WHERE j.id = ANY ($1) AND j.id = f.id AND j.token = f.token
        AND j.holder IS NOT DISTINCT FROM f.holder
    RETURNING j.*, f.outcome, f.reason, f.result, f.charge, f.days
), h AS (
    INSERT INTO legwork.finished (id, token, holder, run_at, created_at, drop_after, outcome, priority,
        attempt, rescues, snoozes, max_attempts, queue, kind, payload, timeout, unique_key, tags,
        metadata, reason, result)
    SELECT id, token, holder, run_at, created_at, (now() AT TIME ZONE 'UTC')::date + days,
        outcome::legwork.outcome, priority, attempt + charge, rescues, snoozes, max_attempts, queue,
        kind, payload, timeout, unique_key, tags, metadata, reason, result::jsonb
    FROM d WHERE days IS NOT NULL
)
SELECT id FROM d
