-- Puts back in line what daemon $1 holds without knowing of it: a claim whose answer was lost may have
-- committed. $2 and $3 are the leases that it knows. Nothing of these ran, so nothing is charged. No
-- index, as in rescue.sql: it runs only after a claim failed in doubt.
UPDATE legwork.job j SET holder = NULL
WHERE j.holder = $1 AND NOT EXISTS (
    SELECT FROM unnest($2::bigint[], $3::bigint[]) AS known (id, token)
    WHERE known.id = j.id AND known.token = j.token
)
