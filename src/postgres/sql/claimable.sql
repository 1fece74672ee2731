-- Ids of up to $5 jobs that claim.sql would take next, without taking them: after the database refused a
-- claim, for finding the row that is to blame. Index: job_ready, as in claim.sql.
SELECT x.id
FROM unnest($2::smallint[], $3::bigint[]) AS p (priority, mark)
CROSS JOIN LATERAL (
    SELECT j.id FROM legwork.job j
    WHERE j.queue = $1 AND j.priority = p.priority AND j.seq >= p.mark
        AND j.holder IS NULL AND j.run_at <= j.ready_at AND j.kind = ANY ($4)
    ORDER BY j.seq LIMIT $5
) x
LIMIT $5
