-- Intent: enqueue the job of a schedule $1 now, without moving the schedule on. Where $2 is true, not while
-- the job before, $8, is unfinished; then the id is null and that job's is the second. Nothing is returned
-- where the job before is another by now, which this statement might not see. What was enqueued is noted.
-- Index: schedule_pkey; job_pkey for the job before. The row's lock decides between this and a daemon.
WITH mine AS MATERIALIZED (
    SELECT s.name, s.last_job, $2::boolean AND EXISTS (SELECT FROM legwork.job j WHERE j.id = s.last_job) AS busy
    FROM legwork.schedule s
    WHERE s.name = $1::text AND s.last_job IS NOT DISTINCT FROM $8::bigint
    FOR UPDATE
), fired AS (
    INSERT INTO legwork.job (kind, payload, queue, priority, metadata)
    SELECT $3::text, $4::text::jsonb, $5::text, $6::smallint, $7::text::jsonb
    FROM mine WHERE NOT mine.busy
    RETURNING id
)
UPDATE legwork.schedule s SET last_job = coalesce((SELECT f.id FROM fired f), s.last_job)
FROM mine
WHERE s.name = mine.name
RETURNING (SELECT f.id FROM fired f), mine.last_job,
    (SELECT legwork.note('run', 'schedule/' || $1::text, NULL,
        jsonb_build_object('job', f.id, 'queue', $5::text, 'kind', $3::text)) FROM fired f)
