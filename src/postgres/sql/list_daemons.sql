-- Intent: the daemons that have a row, live ones and those that have gone within the last hour: $1 of them as one JSON
-- value, those that work first and the newest of each state first, and how many more there are. So a daemon that starts
-- again and again takes the place of none that works.
-- Index: none; a row a daemon, which maintenance forgets an hour after its end.
-- Planner: what runs is what each said of its slots at its last heartbeat, so no job is read; one that has
-- gone runs none, whatever it said last.
SELECT json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'omitted', greatest((SELECT count(*) FROM legwork.daemon) - $1::bigint, 0),
    'daemons', coalesce(json_agg(json_build_object(
        'id', d.id::text, 'name', d.name, 'version', d.version, 'hostname', d.hostname,
        'state', d.state, 'wanted', d.wanted,
        'started_at', to_char(d.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'heartbeat_age_seconds', greatest(round(date_part('epoch', clock_timestamp() - d.renewed_at)::numeric, 3), 0),
        'expires_at', to_char(d.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'died_at', to_char(d.died_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'running', CASE WHEN d.died_at IS NULL
            THEN (SELECT coalesce(sum((q.value ->> 'in_use')::bigint), 0) FROM jsonb_each(d.load -> 'queues') q) ELSE 0 END,
        'queues', d.queues, 'kinds', d.kinds) ORDER BY d.place, d.started_at DESC, d.id), '[]'))::text
FROM (
    SELECT s.*, array_position(ARRAY['live', 'quiet', 'overdue', 'gone'], s.state) AS place
    FROM (
        SELECT r.*, CASE WHEN r.died_at IS NOT NULL THEN 'gone' WHEN r.expires_at <= statement_timestamp() THEN 'overdue'
            WHEN r.load -> 'quiet' = 'true' THEN 'quiet' ELSE 'live' END AS state
        FROM legwork.daemon r
    ) s
    ORDER BY place, s.started_at DESC, s.id LIMIT $1::bigint
) d
