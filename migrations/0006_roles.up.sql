-- Who may do what, for those of the six roles that exist.
--
-- A function, because it runs again at the end of every `migrate up`: an installation that began with one
-- role gets its grants when the roles are made. In a single-role installation it grants nothing.

CREATE FUNCTION legwork.apply_grants() RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    -- What product.md gives to producers, and no column more.
    producer_columns constant text := 'kind, payload, queue, priority, run_at, max_attempts, unique_key, '
        'timeout, expires_at, tags, metadata';
    granted text[] := '{}';
    role    text;
    grants  text[];
    one     text;
BEGIN
    FOR role, grants IN
        -- With the table that the last of these objects comes with, since each migration calls this.
        SELECT g.role, g.grants FROM (VALUES
            ('legwork_enqueue', 'legwork.job', ARRAY[
                format('INSERT (%s) ON legwork.job', producer_columns),
                'SELECT (id) ON legwork.job',
                'EXECUTE ON FUNCTION legwork.enqueue, legwork.assert_lease']),
            ('legwork_daemon', 'legwork.job', ARRAY[
                format('SELECT, DELETE, INSERT (%s), UPDATE (holder, token, seq, run_at, ready_at, attempt, rescues, snoozes, '
                    'cancel_requested) ON legwork.job', producer_columns),
                'SELECT ON SEQUENCE legwork.job_seq_seq',
                'SELECT, INSERT, DELETE, UPDATE (name, version, hostname, renewed_at, expires_at, died_at, queues, kinds, limits, load) '
                    'ON legwork.daemon',
                'SELECT, INSERT, DELETE, UPDATE (paused, paused_at, reason, retention_completed, retention_cancelled, '
                    'retention_discarded) ON legwork.queue',
                'SELECT, UPDATE ON SEQUENCE legwork.doorbell',
                'SELECT, INSERT ON legwork.finished',
                'SELECT, INSERT ON legwork.failed_attempt',
                'SELECT ON legwork.migration, legwork.jobs, legwork.jobs_public',
                'EXECUTE ON FUNCTION legwork.enqueue, legwork.assert_lease, legwork.cancel, legwork.retry, legwork.snooze, '
                    'legwork.discard, legwork.pause, legwork.drain, legwork.resume, legwork.why, legwork.backlog, legwork.invariants, '
                    'legwork.make_partitions, legwork.droppable_partitions, legwork.drop_partition, legwork.owns_history']),
            ('legwork_read', 'legwork.job', ARRAY[
                -- What the list of queues, and the look at one, walk job_ready and job_waiting by.
                'SELECT (queue, holder, run_at, ready_at, priority, seq, attempt) ON legwork.job',
                'SELECT ON legwork.jobs_public, legwork.daemon, legwork.queue, legwork.migration',
                'EXECUTE ON FUNCTION legwork.why, legwork.backlog']),
            ('legwork_operator', 'legwork.job', ARRAY[
                'EXECUTE ON FUNCTION legwork.cancel, legwork.retry, legwork.snooze, legwork.discard, legwork.pause, '
                    'legwork.drain, legwork.resume, legwork.why, legwork.backlog']),
            ('legwork_daemon', 'legwork.schedule', ARRAY[
                'SELECT, INSERT, UPDATE (rule, daemon, done_until, last_fire, last_job) ON legwork.schedule']),
            ('legwork_daemon', 'legwork.request', ARRAY[
                'SELECT, INSERT, DELETE ON legwork.request',
                -- Which jobs a batch of its own inserted.
                'SELECT ON SEQUENCE legwork.job_id_seq']),
            ('legwork_read', 'legwork.schedule', ARRAY['SELECT ON legwork.schedule']),
            -- Notes are made by the functions that change something, and by no one else's INSERT.
            ('legwork_daemon', 'legwork.audit', ARRAY[
                'SELECT ON legwork.audit, legwork.operation',
                'EXECUTE ON FUNCTION legwork.note, legwork.asked_by, legwork.prune_audit, legwork.shown_operation, '
                    'legwork.try_bulk, legwork.begin_bulk, legwork.step_bulk, legwork.cancel_bulk, legwork.fail_bulk, '
                    'legwork.job_version, legwork.unchanged_job']),
            ('legwork_read', 'legwork.audit', ARRAY[
                'SELECT ON legwork.audit',
                -- A filter may have in it what is in payloads.
                'SELECT (id, action, delay, state, begun_at, ended_at, below, looked_at, changed, refused, error, holder, '
                    'renewed_at, note) ON legwork.operation',
                'EXECUTE ON FUNCTION legwork.job_version']),
            ('legwork_operator', 'legwork.audit', ARRAY[
                'EXECUTE ON FUNCTION legwork.asked_by, legwork.try_bulk, legwork.begin_bulk, legwork.step_bulk, '
                    'legwork.cancel_bulk, legwork.unchanged_job']),
            ('legwork_daemon', 'legwork.override', ARRAY[
                'SELECT ON legwork.override',
                'EXECUTE ON FUNCTION legwork.override_queue, legwork.reset_queue, legwork.end_overrides, legwork.tell_daemon, '
                    'legwork.queue_version, legwork.unchanged_queue']),
            ('legwork_read', 'legwork.override', ARRAY['SELECT ON legwork.override', 'EXECUTE ON FUNCTION legwork.queue_version']),
            ('legwork_operator', 'legwork.override', ARRAY[
                'EXECUTE ON FUNCTION legwork.override_queue, legwork.reset_queue, legwork.tell_daemon, legwork.unchanged_queue'])
        ) AS g (role, needs, grants)
        WHERE EXISTS (SELECT FROM pg_roles r WHERE r.rolname = g.role) AND to_regclass(g.needs) IS NOT NULL
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA legwork TO %I', role);
        FOREACH one IN ARRAY grants LOOP
            EXECUTE format('GRANT %s TO %I', one, role);
        END LOOP;
        granted := array_remove(granted, role) || role;
    END LOOP;
    RETURN granted;
END
$function$;
REVOKE ALL ON FUNCTION legwork.apply_grants(), legwork.ring() FROM PUBLIC;
COMMENT ON FUNCTION legwork.apply_grants() IS 'Grants to each role that exists what is its own, and returns those roles. For the migrator.';

SELECT legwork.apply_grants();
