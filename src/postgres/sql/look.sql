-- Which claim groups have something in line: the first job of each group and level, for all idle claimers
-- at once. $1 names the group, $2 its queue, $3 its level, $4 the mark, $5 its kinds, joined by commas
-- (which no name holds), since arrays of arrays of different lengths don't exist.
-- Index: job_ready, one descent a group and level; the LIMIT inside LATERAL keeps the planner from
-- turning this into a join that reads every row in line. A paused queue has nothing to claim.
SELECT p.look, p.priority, x.seq
FROM unnest($1::int[], $2::text[], $3::smallint[], $4::bigint[], $5::text[]) AS p (look, queue, priority, mark, kinds)
CROSS JOIN LATERAL (
    SELECT j.seq FROM legwork.job j
    WHERE j.queue = p.queue AND j.priority = p.priority AND j.seq >= p.mark
        AND j.holder IS NULL AND j.run_at <= j.ready_at AND j.kind = ANY (string_to_array(p.kinds, ','))
    ORDER BY j.seq LIMIT 1
) x
WHERE NOT EXISTS (SELECT FROM legwork.queue q WHERE q.name = p.queue AND q.paused)
