-- Intent: the daemons that have a row, the $1 that started last, newest first, as one JSON value: live ones and those
-- that have gone within the last hour.
-- Index: none; a row a daemon, which maintenance forgets an hour after its end.
-- Planner: what runs is what each said of its slots at its last heartbeat, so no job is read.
SELECT json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'daemons', coalesce(json_agg(json_build_object(
        'id', d.id::text, 'name', d.name, 'version', d.version, 'hostname', d.hostname,
        'state', CASE WHEN d.died_at IS NOT NULL THEN 'gone' WHEN d.expires_at <= clock_timestamp() THEN 'overdue'
            WHEN d.load -> 'quiet' = 'true' THEN 'quiet' ELSE 'live' END, 'wanted', d.wanted,
        'started_at', to_char(d.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'heartbeat_age_seconds', greatest(round(date_part('epoch', clock_timestamp() - d.renewed_at)::numeric, 3), 0),
        'expires_at', to_char(d.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'died_at', to_char(d.died_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'running', (SELECT coalesce(sum((q.value ->> 'in_use')::bigint), 0) FROM jsonb_each(d.load -> 'queues') q),
        'queues', d.queues, 'kinds', d.kinds) ORDER BY d.started_at DESC, d.id), '[]'))::text
FROM (SELECT * FROM legwork.daemon ORDER BY started_at DESC, id LIMIT $1::bigint) d
