-- Intent: move a schedule $1 of rule $2 on from $3 to $4 (epoch), and enqueue the job of $4 in the same
-- statement if $5 says so, due within $11 seconds. Nothing is returned where another daemon was first, where
-- the rule is another, where the job before isn't $13 any more, so that this statement might not see it yet,
-- or while $4 is ahead of the database's clock; else the job's id, or null where there
-- is none, and whether that was because the job before is unfinished, which counts where $6 is true.
-- Index: schedule_pkey; job_pkey for the job before. The row's lock decides between daemons: who waited for
-- it sees the row as the first one left it, and done_until no longer is $3.
WITH mine AS MATERIALIZED (
    SELECT s.name, $5 AND $6 AND EXISTS (SELECT FROM legwork.job j WHERE j.id = s.last_job) AS busy
    FROM legwork.schedule s
    WHERE s.name = $1::text AND s.rule = $2::text AND s.done_until = to_timestamp($3::float8)
        AND s.last_job IS NOT DISTINCT FROM $13::bigint AND to_timestamp($4::float8) <= clock_timestamp()
    FOR UPDATE
), fired AS (
    INSERT INTO legwork.job (kind, payload, queue, priority, run_at, metadata)
    SELECT $7::text, $8::text::jsonb, $9::text, $10::smallint,
        now() + random() * $11::float8 * interval '1 second', $12::text::jsonb
    FROM mine WHERE $5::boolean AND NOT mine.busy
    RETURNING id
)
UPDATE legwork.schedule s SET
    done_until = to_timestamp($4::float8),
    last_fire = CASE WHEN EXISTS (SELECT FROM fired) THEN to_timestamp($4::float8) ELSE s.last_fire END,
    last_job = coalesce((SELECT f.id FROM fired f), s.last_job)
FROM mine
WHERE s.name = mine.name
RETURNING (SELECT f.id FROM fired f), mine.busy
