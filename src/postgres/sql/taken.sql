-- Which jobs of the leases (id $1, token $2, holder $3) didn't end by them: somebody else has them by now, or has ended
-- them. Asked once a connection broke under such an end. What is neither in line nor in history was ended by the lease, as
-- far as can be told: nothing of it is kept. Index: job_pkey, finished_id.
WITH lease AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS l (id, token, holder)
), found AS (
    SELECT id, token, holder FROM legwork.job WHERE id = ANY ($1)
    UNION ALL
    SELECT id, token, holder FROM legwork.finished WHERE id = ANY ($1)
), judged AS (
    SELECT id, bool_or((f.token, f.holder) IS NOT DISTINCT FROM (l.token, l.holder)) AS ours
    FROM found f JOIN lease l USING (id) GROUP BY id
)
SELECT id FROM judged WHERE NOT ours
