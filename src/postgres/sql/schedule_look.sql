-- Intent: what time it is (epoch) and how far the schedules $1 are, with whose they are: of a daemon that lives
-- (held), of one that is gone for less than $2 seconds (left), or of nobody that comes back (free). A row for each
-- that is known, or one of nulls behind the time where none is.
-- Index: schedule_pkey; daemon_pkey for whose they are. Planner: at most 256 names.
SELECT date_part('epoch', clock_timestamp()), s.name, s.rule, date_part('epoch', s.done_until),
    date_part('epoch', s.last_fire), s.last_job, s.daemon,
    CASE WHEN s.rule = '' OR d.id IS NULL OR d.died_at <= statement_timestamp() - make_interval(secs => $2::float8)
        THEN 'free' WHEN d.died_at IS NOT NULL THEN 'left' ELSE 'held' END
FROM (VALUES (true)) AS once (at)
LEFT JOIN legwork.schedule s ON s.name = ANY ($1::text[])
LEFT JOIN legwork.daemon d ON d.id = s.daemon
ORDER BY s.name
