-- Retries and snoozes: back to waiting, with a fresh place in line for when they are due. now() twice,
-- so that a delay of nothing is in line at once. Fence and index as finish.sql.
UPDATE legwork.job j SET holder = NULL, run_at = now() + make_interval(secs => f.delay), ready_at = now(),
    seq = DEFAULT, attempt = j.attempt + f.charge, snoozes = j.snoozes + f.snoozed,
    cancel_requested = false
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::float8[], $5::smallint[], $6::smallint[])
    AS f (id, token, holder, delay, charge, snoozed)
WHERE j.id = ANY ($1) AND j.id = f.id AND j.token = f.token
    AND j.holder IS NOT DISTINCT FROM f.holder
RETURNING j.id
