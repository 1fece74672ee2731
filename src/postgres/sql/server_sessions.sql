-- Intent: as one JSON value the sessions of this database that a report is about, at most $1: daemons' own, known by $2, whoever waits
-- for a lock or holds one that is waited for, and transactions of more than a minute, which keep dead rows from being
-- removed. The oldest transactions first.
-- Index: none; a view of the server's memory, a row a session.
-- Planner: MATERIALIZED, so that the view is read once and who blocks is asked once for each that waits.
-- What a session of somebody else's runs isn't shown: it may have a payload in it. Ours have theirs as parameters. An
-- application's name may stand behind ours, in brackets; a producer that calls itself `legwork producer` is none of ours.
WITH session AS MATERIALIZED (
    SELECT a.*, split_part(a.application_name, ' (', 1) = ANY ($2::text[]) AND a.usename = session_user AS is_ours,
        CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE '{}' END AS blocked_by
    FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
), shown AS (
    SELECT * FROM session s
    WHERE s.is_ours OR s.wait_event_type = 'Lock' OR s.xact_start < statement_timestamp() - interval '1 minute'
        OR s.pid IN (SELECT unnest(w.blocked_by) FROM session w)
    ORDER BY s.xact_start, s.pid LIMIT $1::bigint
)
SELECT json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'sessions_of_database', (SELECT count(*) FROM session),
    'sessions', coalesce(json_agg(json_build_object(
        'pid', s.pid, 'role', s.usename, 'application', s.application_name, 'state', s.state,
        'wait_event_type', s.wait_event_type, 'wait_event', s.wait_event, 'blocked_by', to_json(s.blocked_by),
        'session_seconds', round(date_part('epoch', clock_timestamp() - s.backend_start)::numeric, 3),
        'transaction_seconds', round(date_part('epoch', clock_timestamp() - s.xact_start)::numeric, 3),
        'statement_seconds', round(date_part('epoch', clock_timestamp() - s.query_start)::numeric, 3),
        'state_seconds', round(date_part('epoch', clock_timestamp() - s.state_change)::numeric, 3),
        'snapshot_age_transactions', age(s.backend_xmin),
        'query', CASE WHEN s.is_ours THEN left(s.query, 500) END) ORDER BY s.xact_start, s.pid), '[]'))::text
FROM shown s
