-- Which jobs of the leases (id $1, token $2, holder $3) didn't end by them: somebody else has them by now, or has ended
-- them. Asked once a connection broke under such an end. What is neither in line nor in history was ended by the lease, as
-- far as can be told: nothing of it is kept. So was what lies there anew under the lease's token and was never rescued:
-- somebody has had it retried from history, which leaves it so. Index: job_pkey, finished_id.
WITH lease AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS l (id, token, holder)
), found AS (
    SELECT id, token, holder, holder IS NULL AND rescues = 0 AND attempt = 0 AS retried FROM legwork.job WHERE id = ANY ($1)
    UNION ALL
    SELECT id, token, holder, false FROM legwork.finished WHERE id = ANY ($1)
), judged AS (
    SELECT id, bool_or(f.token = l.token AND (f.holder IS NOT DISTINCT FROM l.holder OR f.retried)) AS ours
    FROM found f JOIN lease l USING (id) GROUP BY id
)
SELECT id FROM judged WHERE NOT ours
