-- A bug, see src/seeded.rs: release.sql that lowers the token. Index: job_pkey.
UPDATE legwork.job j SET holder = NULL, token = j.token - 1
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS f (id, token, holder)
WHERE j.id = f.id AND j.token = f.token AND j.holder IS NOT DISTINCT FROM f.holder
RETURNING j.id
