-- Puts back in line what daemon $1 holds without knowing of it: a claim whose answer was lost may have
-- committed. $2 and $3 are the leases that it knows. Nothing of these ran, so nothing is charged. Gives
-- how many went back, and how many somebody has locked: those are left for another time, since claims
-- wait meanwhile. No index, as in rescue.sql: it runs only after a claim failed in doubt.
WITH unknown AS MATERIALIZED (
    SELECT j.ctid FROM legwork.job j
    WHERE j.holder = $1 AND NOT EXISTS (
        SELECT FROM unnest($2::bigint[], $3::bigint[]) AS known (id, token)
        WHERE known.id = j.id AND known.token = j.token
    )
), released AS (
    UPDATE legwork.job SET holder = NULL WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM legwork.job
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM unknown)) AND holder = $1
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING id
)
SELECT (SELECT count(*) FROM released), (SELECT count(*) FROM unknown) - (SELECT count(*) FROM released)
