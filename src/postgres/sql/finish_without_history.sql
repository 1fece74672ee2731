-- Ends jobs of which nothing is kept: the same fence and the same two ways as finish.sql, and no second table.
-- Index: job_pkey, for what has moved.
WITH there AS (
    DELETE FROM legwork.job j
    USING unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS f (id, token, holder)
    WHERE j.ctid = ANY ($4::tid[]) AND j.id + 0 = f.id AND j.token = f.token
        AND j.holder IS NOT DISTINCT FROM f.holder
    RETURNING j.id
), moved AS (
    DELETE FROM legwork.job j
    USING unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS f (id, token, holder)
    WHERE (SELECT count(*) FROM there) < cardinality($1) AND j.id NOT IN (SELECT id FROM there)
        AND j.id = ANY ($1) AND j.id = f.id AND j.token = f.token
        AND j.holder IS NOT DISTINCT FROM f.holder
    RETURNING j.id
)
SELECT coalesce(array_agg(id), '{}') FROM (SELECT id FROM there UNION ALL SELECT id FROM moved) AS d
