-- Ends jobs of which nothing is kept: the same fence as finish.sql, and no second table.
-- Index: job_pkey.
DELETE FROM legwork.job j
USING unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS f (id, token, holder)
WHERE j.id = ANY ($1) AND j.id = f.id AND j.token = f.token
    AND j.holder IS NOT DISTINCT FROM f.holder
RETURNING j.id
