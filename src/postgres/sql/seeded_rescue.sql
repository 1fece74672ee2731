-- A bug, see src/seeded.rs: puts listed jobs back in line, whoever holds them now. Index: job_pkey.
UPDATE legwork.job SET holder = NULL, attempt = least(attempt + 1, 32767)::smallint,
    rescues = least(rescues + 1, 32767)::smallint
WHERE id = ANY ($1::bigint[])
RETURNING queue::text
