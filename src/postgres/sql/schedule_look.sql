-- Intent: what time it is (epoch) and how far the schedules $1 are; a row for each that is known, or one of
-- nulls behind the time where none is.
-- Index: schedule_pkey. Planner: at most 256 names.
SELECT date_part('epoch', clock_timestamp()), s.name, s.rule, date_part('epoch', s.done_until),
    date_part('epoch', s.last_fire), s.last_job
FROM (VALUES (true)) AS once (at)
LEFT JOIN legwork.schedule s ON s.name = ANY ($1::text[])
ORDER BY s.name
