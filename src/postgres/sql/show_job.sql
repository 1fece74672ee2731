-- Intent: everything about job $1 as one JSON value, with its newest $2 failed attempts, its version and the
-- token of its last claim; no row where there is no such job.
-- Index: job_pkey, or finished_id of each partition; failed_attempt_key of each partition for the
-- attempts; daemon_pkey for the holder's name.
-- Planner: equality on the id reaches both arms of the view; the attempts are aggregated in a subquery
-- run once, so that one statement answers whatever their number. Payload and result are rendered as
-- text by json_build_object and never parsed on the way.
SELECT json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'id', j.id, 'state', j.state, 'queue', j.queue, 'kind', j.kind, 'priority', j.priority,
    'attempt', j.attempt, 'max_attempts', j.max_attempts, 'rescues', j.rescues, 'snoozes', j.snoozes,
    'run_at', to_char(j.run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'created_at', to_char(j.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'finished_at', to_char(j.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'duration_ms', j.duration_ms,
    'expires_at', to_char(j.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'timeout_seconds', extract(epoch FROM j.timeout), 'cancel_requested', j.cancel_requested,
    'daemon', coalesce(d.name, j.holder::text), 'unique_key', j.unique_key,
    'tags', coalesce(j.tags, '{}'), 'metadata', j.metadata, 'reason', j.reason, 'payload', j.payload,
    'result', j.result,
    'failed_attempts', (
        SELECT coalesce(json_agg(json_build_object(
            'attempt', a.attempt,
            'failed_at', to_char(a.failed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'duration_ms', a.duration_ms, 'cause', a.cause, 'error', a.error) ORDER BY a.failed_at, a.token), '[]')
        FROM (
            SELECT f.token, f.attempt, f.failed_at, f.duration_ms, f.cause, f.error
            FROM legwork.failed_attempt f WHERE f.job_id = $1::bigint
            ORDER BY f.failed_at DESC, f.token DESC LIMIT $2::bigint
        ) a))::text, legwork.job_version(j.id), j.token
FROM legwork.jobs j
LEFT JOIN legwork.daemon d ON d.id = j.holder
WHERE j.id = $1::bigint
-- A job that finishes between the two arms' reads can't be seen twice: one statement, one snapshot.
LIMIT 1
