-- Intent: let go of the schedules $1 of the daemon $2, whose file has them no more: whoever else has them takes them.
-- Index: schedule_pkey. In the order of names, as whoever takes several locks here.
UPDATE legwork.schedule s SET daemon = NULL
FROM (SELECT name FROM legwork.schedule WHERE name = ANY ($1::text[]) ORDER BY name FOR UPDATE) AS g
WHERE s.name = g.name AND s.daemon = $2::bigint
