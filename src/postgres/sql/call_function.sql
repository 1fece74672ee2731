-- Intent: call an sql kind's function ({function}, two checked and quoted identifiers from the
-- configuration, for a name can't be a parameter) with the payload ($1), once. A result of more than $2
-- bytes is left out: it would have to be held here. Index: the function's own. Planner: MATERIALIZED, so
-- that it is called once.
WITH called AS MATERIALIZED (SELECT {function}($1::jsonb)::jsonb::text AS result)
SELECT CASE WHEN octet_length(result) <= $2 THEN result END FROM called
