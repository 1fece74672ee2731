-- Gives jobs back as they were: same place in line, nothing charged, token not lowered. Fence and index
-- as finish.sql.
UPDATE legwork.job j SET holder = NULL
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS f (id, token, holder)
WHERE j.id = ANY ($1) AND j.id = f.id AND j.token = f.token
    AND j.holder IS NOT DISTINCT FROM f.holder
RETURNING j.id
