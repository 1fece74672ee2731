-- Some of the demo's jobs, by id. Index: job_pkey and each partition's finished_id, once an id.
SELECT id, state, queue, kind, attempt, coalesce(tags, '{}') FROM legwork.jobs WHERE id = ANY ($1::bigint[]) ORDER BY id
