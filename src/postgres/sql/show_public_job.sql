-- Intent: job $1 as show_job.sql has it, without what legwork_read may not see: what the job is about and
-- what went wrong with it, which may quote the former. No row where there is no such job.
-- Index: job_pkey, or finished_id of each partition; daemon_pkey for the holder's name.
-- Planner: equality on the id reaches both arms of the view.
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
    'tags', coalesce(j.tags, '{}'), 'reason', j.reason, 'failed_attempts', '[]'::json,
    'hidden', json_build_array('payload', 'metadata', 'result', 'failed_attempts'))::text, legwork.job_version(j.id), j.token
FROM legwork.jobs_public j
LEFT JOIN legwork.daemon d ON d.id = j.holder
WHERE j.id = $1::bigint
-- A job that finishes between the two arms' reads can't be seen twice: one statement, one snapshot.
LIMIT 1
