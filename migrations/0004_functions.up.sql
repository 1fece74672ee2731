-- What is more than an INSERT: enqueue with named options, and what operators do to jobs and queues.
--
-- Operators' functions are SECURITY DEFINER, so that the operator's role needs no right on any table:
-- fixed search_path with pg_temp last, every name qualified, nobody's by default. Each decides under
-- one row lock. Waiting jobs are theirs to move; a running one belongs to its holder, and all they may
-- do is ask (cancel). Whoever changes something leaves a note of it (migration 0008), in the same transaction. The
-- functions that end in _one do it to one job, noted or not: an operation on many has one note for all.

-- Runs as the producer, under the same column grants as a bare INSERT. Integers, where the column is a
-- smallint, because a literal doesn't fit a smallint parameter.
CREATE FUNCTION legwork.enqueue(
    kind text, payload jsonb DEFAULT '{}', queue text DEFAULT NULL, run_at timestamptz DEFAULT NULL,
    priority integer DEFAULT 0, max_attempts integer DEFAULT NULL, unique_key text DEFAULT NULL,
    timeout interval DEFAULT NULL, expires_at timestamptz DEFAULT NULL, tags text[] DEFAULT NULL,
    metadata jsonb DEFAULT NULL
) RETURNS bigint
LANGUAGE sql
AS $function$
    INSERT INTO legwork.job
        (kind, payload, queue, run_at, priority, max_attempts, unique_key, timeout, expires_at, tags, metadata)
    VALUES (enqueue.kind, enqueue.payload, coalesce(enqueue.queue, 'default'),
        coalesce(enqueue.run_at, pg_catalog.now()), coalesce(enqueue.priority, 0)::pg_catalog.int2,
        enqueue.max_attempts::pg_catalog.int2, enqueue.unique_key, enqueue.timeout, enqueue.expires_at,
        enqueue.tags,
        -- The session's trace and request, under what the caller gives. A tracestate belongs to its traceparent.
        nullif(pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
            'traceparent', nullif(pg_catalog.left(pg_catalog.current_setting('legwork.traceparent', true), 257), ''),
            'tracestate', CASE WHEN coalesce(pg_catalog.current_setting('legwork.traceparent', true), '') OPERATOR(pg_catalog.<>) ''
                    AND NOT coalesce(enqueue.metadata OPERATOR(pg_catalog.?) 'traceparent', false)
                THEN nullif(pg_catalog.left(pg_catalog.current_setting('legwork.tracestate', true), 513), '') END,
            'request_id', nullif(pg_catalog.left(pg_catalog.current_setting('legwork.request_id', true), 257), '')))
            OPERATOR(pg_catalog.||) coalesce(enqueue.metadata, '{}'), '{}'))
    RETURNING id
$function$;

-- Moves one waiting job, whose row the caller has locked, into history for as long as `keep`; not at
-- all when that is nothing.
CREATE FUNCTION legwork.finish_waiting(job_id bigint, how legwork.outcome, why text, keep interval)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    last_day constant date := ((statement_timestamp() + keep) AT TIME ZONE 'UTC')::date;
BEGIN
    IF keep <= interval '0' THEN
        DELETE FROM legwork.job j WHERE j.id = job_id AND j.holder IS NULL;
        RETURN;
    END IF;
    IF to_regclass('legwork.finished_' || to_char(last_day, 'YYYYMMDD')) IS NULL THEN
        PERFORM legwork.make_partitions(last_day, last_day);
    END IF;
    WITH d AS (DELETE FROM legwork.job j WHERE j.id = job_id AND j.holder IS NULL RETURNING j.*)
    INSERT INTO legwork.finished (id, token, run_at, created_at, drop_after, outcome, priority, attempt,
        rescues, snoozes, max_attempts, queue, kind, payload, timeout, unique_key, tags, metadata, reason)
    SELECT d.id, d.token, d.run_at, d.created_at, last_day, how, d.priority, d.attempt, d.rescues, d.snoozes,
        d.max_attempts, d.queue, d.kind, d.payload, d.timeout, d.unique_key, d.tags, d.metadata, why
    FROM d;
END
$function$;

-- Locks the row of an unfinished job. Of one that has ended it says so, without a lock; of none, `finished` is null.
--
-- What the lock didn't find is looked for in both tables by one statement, so at one moment: in two, a job that somebody
-- retries between them is past both looks. Each look after the first takes another's commit right then.
CREATE FUNCTION legwork.lock_job(
    id bigint, OUT queue text, OUT kind text, OUT unique_key text, OUT holder bigint, OUT in_line boolean,
    OUT cancel_requested boolean, OUT finished boolean
)
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
BEGIN
    FOR look IN 1 .. 8 LOOP
        SELECT j.queue, j.kind, j.unique_key, j.holder, j.run_at <= j.ready_at, j.cancel_requested, false
        INTO queue, kind, unique_key, holder, in_line, cancel_requested, finished
        FROM legwork.job j WHERE j.id = lock_job.id FOR UPDATE;
        IF FOUND THEN
            RETURN;
        END IF;
        SELECT j.queue, j.kind, j.unique_key, j.finished_at IS NOT NULL INTO queue, kind, unique_key, finished
        FROM legwork.jobs j WHERE j.id = lock_job.id;
        IF finished IS DISTINCT FROM false THEN
            RETURN;
        END IF;
    END LOOP;
    RAISE lock_not_available USING
        MESSAGE = format('job %s is cancelled and retried all the time', lock_job.id),
        HINT = 'Nothing was changed; try again.';
END
$function$;

-- cancelled: it was waiting and is in history now. requested: it is running, and its holder has been
-- asked to stop it; the outcome is the handler's. Never an error, so that it can be called over many.
CREATE FUNCTION legwork.cancel_one(id bigint, reason text, noted boolean) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    job record;
BEGIN
    SELECT * INTO job FROM legwork.lock_job(cancel_one.id);
    IF job.finished IS NULL THEN
        RETURN 'not_found';
    ELSIF job.finished THEN
        RETURN 'already_finished';
    END IF;
    IF job.holder IS NOT NULL THEN
        UPDATE legwork.job j SET cancel_requested = true WHERE j.id = cancel_one.id AND j.holder IS NOT NULL;
        PERFORM pg_notify('legwork_cancel', '');
        IF NOT job.cancel_requested THEN
            PERFORM legwork.note_job('cancel', cancel_one.id, cancel_one.reason, 'requested', job.queue, job.kind) WHERE noted;
        END IF;
        RETURN 'requested';
    END IF;
    PERFORM legwork.finish_waiting(cancel_one.id, 'cancelled', 'cancelled_while_waiting',
        coalesce((SELECT q.retention_cancelled FROM legwork.queue q WHERE q.name = job.queue),
            interval '7 days'));
    PERFORM legwork.note_job('cancel', cancel_one.id, cancel_one.reason, 'cancelled', job.queue, job.kind) WHERE noted;
    RETURN 'cancelled';
END
$function$;
CREATE FUNCTION legwork.cancel(id bigint, reason text DEFAULT NULL) RETURNS text
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT legwork.cancel_one(cancel.id, cancel.reason, true)
$function$;

-- retried: it was finished and waits again, same id, token carried on so that late results of its
-- former life stay fenced. due_now: it was waiting for its time. already_in_line: nothing to do.
-- What it has behind it is forgotten (attempts, rescues, snoozes, and expires_at, which may be past).
CREATE FUNCTION legwork.retry_one(id bigint, reason text, noted boolean) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    job record;
BEGIN
    IF retry_one.id IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'retry needs the id of a job, and was given null',
            HINT = 'SELECT id FROM legwork.jobs lists them.';
    END IF;
    -- Again, because a second retry() at the same moment finds the job live only after the first has
    -- committed; and it may have ended anew by then.
    FOR look IN 1 .. 8 LOOP
        SELECT * INTO job FROM legwork.lock_job(retry_one.id);
        IF job.finished IS NULL THEN
            RAISE no_data_found USING
                MESSAGE = format('there is no job %s, unfinished or in history', retry_one.id),
                HINT = 'It may have been dropped when its retention ended.';
        ELSIF job.holder IS NOT NULL THEN
            RAISE object_not_in_prerequisite_state USING
                MESSAGE = format('job %s is running and can''t be retried now', retry_one.id),
                HINT = format('Wait for its end, or SELECT legwork.cancel(%s) first.', retry_one.id);
        ELSIF job.in_line THEN
            RETURN 'already_in_line';
        ELSIF NOT job.finished THEN
            UPDATE legwork.job j SET run_at = now(), ready_at = now(), seq = DEFAULT
            WHERE j.id = retry_one.id AND j.holder IS NULL;
            PERFORM legwork.note_job('retry', retry_one.id, retry_one.reason, 'due_now', job.queue, job.kind) WHERE noted;
            RETURN 'due_now';
        END IF;

        BEGIN
            WITH d AS (DELETE FROM legwork.finished f WHERE f.id = retry_one.id RETURNING f.*)
            INSERT INTO legwork.job (id, token, run_at, ready_at, created_at, priority, max_attempts, queue, kind,
                payload, timeout, unique_key, tags, metadata)
            OVERRIDING SYSTEM VALUE
            SELECT d.id, d.token, now(), now(), d.created_at, d.priority, d.max_attempts, d.queue, d.kind,
                d.payload, d.timeout, d.unique_key, d.tags, d.metadata
            FROM d;
            IF FOUND THEN
                PERFORM pg_notify('legwork', '');
                PERFORM legwork.note_job('retry', retry_one.id, retry_one.reason, 'retried', job.queue, job.kind) WHERE noted;
                RETURN 'retried';
            END IF;
        EXCEPTION WHEN unique_violation THEN
            RAISE unique_violation USING
                MESSAGE = format('job %s can''t be retried: an unfinished job has its unique key %L in queue %s',
                    retry_one.id, job.unique_key, job.queue),
                CONSTRAINT = 'job_unique', SCHEMA = 'legwork', TABLE = 'job',
                HINT = 'Let that job finish or cancel it, then retry.';
        END;
    END LOOP;
    RAISE lock_not_available USING
        MESSAGE = format('job %s is cancelled and retried all the time', retry_one.id),
        HINT = 'Nothing was changed; try again.';
END
$function$;
CREATE FUNCTION legwork.retry(id bigint, reason text DEFAULT NULL) RETURNS text
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT legwork.retry_one(retry.id, retry.reason, true)
$function$;

-- Puts a waiting job off by `delay` from now, attempt not counted, and returns the new run_at.
CREATE FUNCTION legwork.snooze_one(id bigint, delay interval, reason text, noted boolean) RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    job record;
    due timestamptz;
BEGIN
    IF snooze_one.id IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'snooze needs the id of a job, and was given null',
            HINT = 'SELECT id FROM legwork.jobs lists them.';
    END IF;
    IF delay IS NULL OR delay <= interval '0' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('can''t snooze job %s by %s', snooze_one.id, coalesce(delay::text, 'null')),
            HINT = 'Give an interval above zero; retry(id) makes a waiting job due now.';
    END IF;
    SELECT * INTO job FROM legwork.lock_job(snooze_one.id);
    IF job.finished IS NULL THEN
        RAISE no_data_found USING
            MESSAGE = format('there is no job %s, unfinished or in history', snooze_one.id),
            HINT = 'It may have been dropped when its retention ended.';
    ELSIF job.finished THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('job %s has finished and can''t be snoozed', snooze_one.id),
            HINT = format('SELECT legwork.retry(%s) makes it run again.', snooze_one.id);
    ELSIF job.holder IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('job %s is running and can''t be snoozed', snooze_one.id),
            HINT = 'Only its handler can snooze it now.';
    END IF;
    UPDATE legwork.job j SET run_at = now() + delay, ready_at = now(), seq = DEFAULT,
        snoozes = least(j.snoozes::integer + 1, 32767)
    WHERE j.id = snooze_one.id AND j.holder IS NULL RETURNING j.run_at INTO due;
    PERFORM legwork.note_job('snooze', snooze_one.id, snooze_one.reason,
        to_char(due AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), job.queue, job.kind) WHERE noted;
    RETURN due;
END
$function$;
CREATE FUNCTION legwork.snooze(id bigint, delay interval, reason text DEFAULT NULL) RETURNS timestamptz
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT legwork.snooze_one(snooze.id, snooze.delay, snooze.reason, true)
$function$;

-- discarded: it was waiting and will not run. already_finished: nothing to do.
CREATE FUNCTION legwork.discard_one(id bigint, reason text, noted boolean) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    job record;
BEGIN
    IF discard_one.id IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'discard needs the id of a job, and was given null',
            HINT = 'SELECT id FROM legwork.jobs lists them.';
    END IF;
    SELECT * INTO job FROM legwork.lock_job(discard_one.id);
    IF job.finished IS NULL THEN
        RAISE no_data_found USING
            MESSAGE = format('there is no job %s, unfinished or in history', discard_one.id),
            HINT = 'It may have been dropped when its retention ended.';
    ELSIF job.finished THEN
        RETURN 'already_finished';
    ELSIF job.holder IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('job %s is running and can''t be discarded', discard_one.id),
            HINT = format('SELECT legwork.cancel(%s) asks its handler to stop.', discard_one.id);
    END IF;
    PERFORM legwork.finish_waiting(discard_one.id, 'discarded', 'discarded_by_operator',
        coalesce((SELECT q.retention_discarded FROM legwork.queue q WHERE q.name = job.queue),
            interval '30 days'));
    PERFORM legwork.note_job('discard', discard_one.id, discard_one.reason, 'discarded', job.queue, job.kind) WHERE noted;
    RETURN 'discarded';
END
$function$;
CREATE FUNCTION legwork.discard(id bigint, reason text DEFAULT NULL) RETURNS text
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT legwork.discard_one(discard.id, discard.reason, true)
$function$;

-- Stops claims from a queue, so that nothing of it runs any more where `drain` is true. What is said of a queue that is
-- stopped already goes in the place of what was said before. For pause() and drain() alone.
CREATE FUNCTION legwork.halt(queue text, reason text, until timestamptz, drain boolean) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    was     record;
    changed boolean;
BEGIN
    IF halt.until <= clock_timestamp() THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('until: %s is past', halt.until), COLUMN = 'until',
            HINT = 'Give a moment to come, or none.';
    END IF;
    INSERT INTO legwork.queue (name) VALUES (halt.queue) ON CONFLICT (name) DO NOTHING;
    -- One whose end is past is none, also where no daemon has seen to that yet.
    SELECT q.paused AND coalesce(q.paused_until > clock_timestamp(), true) AS paused, q.draining, q.paused_until AS until
    INTO was FROM legwork.queue q WHERE q.name = halt.queue FOR UPDATE;
    was.draining := was.paused AND was.draining;
    -- Who says no end means none, and doesn't know of the one that somebody else may have given.
    changed := NOT was.paused OR (halt.drain AND NOT was.draining) OR was.until IS DISTINCT FROM halt.until;
    -- By the clock, not by the transaction's beginning: what daemons say from then on shows whether anything runs.
    UPDATE legwork.queue q SET paused = true, draining = was.draining OR halt.drain,
        paused_at = CASE WHEN was.paused THEN q.paused_at ELSE clock_timestamp() END,
        paused_until = halt.until,
        reason = CASE WHEN was.paused THEN coalesce(halt.reason, q.reason) ELSE halt.reason END
    WHERE q.name = halt.queue AND (changed OR halt.reason <> coalesce(q.reason, ''));
    IF FOUND THEN
        PERFORM pg_notify('legwork_control', '');
        PERFORM legwork.note(CASE WHEN halt.drain THEN 'drain' ELSE 'pause' END, 'queue/' || halt.queue, halt.reason,
            jsonb_strip_nulls(jsonb_build_object('changed', changed, 'until', halt.until)));
    END IF;
    RETURN changed;
END
$function$;

-- True when this call paused it, or gave it another end. It ends then, by the database's clock, or where none is given by
-- resume() alone, whatever end a pause before had. A reason that is given replaces the one it has, which is noted; a call
-- that changes nothing isn't.
CREATE FUNCTION legwork.pause(queue text, reason text DEFAULT NULL, until timestamptz DEFAULT NULL) RETURNS boolean
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT legwork.halt(pause.queue, pause.reason, pause.until, false)
$function$;

-- A pause by which somebody waits until nothing of the queue runs any more; who looks at the queue is told. True when
-- it wasn't drained or drained before, or had another end.
CREATE FUNCTION legwork.drain(queue text, reason text DEFAULT NULL, until timestamptz DEFAULT NULL) RETURNS boolean
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT legwork.halt(drain.queue, drain.reason, drain.until, true)
$function$;

-- True when the queue was paused. Rings, since there may be work that nobody was told of.
CREATE FUNCTION legwork.resume(queue text, reason text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
BEGIN
    UPDATE legwork.queue q SET paused = false, draining = false, paused_at = NULL, paused_until = NULL, reason = NULL
    WHERE q.name = resume.queue AND q.paused;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('legwork', '');
    PERFORM pg_notify('legwork_control', '');
    PERFORM legwork.note('resume', 'queue/' || resume.queue, resume.reason);
    RETURN true;
END
$function$;

-- For a handler's own transaction: raises LW001 unless the caller's attempt still owns the job. Call it last,
-- before COMMIT: it keeps a share lock on the row, so no other attempt can start until that commit,
-- and cancel() waits for it too.
CREATE FUNCTION legwork.assert_lease(id bigint, token bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
BEGIN
    PERFORM FROM legwork.job j
    WHERE j.id = assert_lease.id AND j.token = assert_lease.token AND j.holder IS NOT NULL FOR SHARE;
    IF FOUND THEN
        PERFORM FROM legwork.job j JOIN legwork.daemon d ON d.id = j.holder
        WHERE j.id = assert_lease.id AND d.died_at IS NULL;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LW001',
            MESSAGE = format('the attempt with lease token %s no longer owns job %s',
                assert_lease.token, assert_lease.id),
            HINT = 'Roll back: the job was rescued, finished or claimed anew, and another attempt does the work.';
    END IF;
END
$function$;

REVOKE ALL ON FUNCTION
    legwork.enqueue(text, jsonb, text, timestamptz, integer, integer, text, interval, timestamptz, text[], jsonb),
    legwork.finish_waiting(bigint, legwork.outcome, text, interval), legwork.lock_job(bigint), legwork.cancel(bigint, text),
    legwork.retry(bigint, text), legwork.snooze(bigint, interval, text), legwork.discard(bigint, text),
    legwork.cancel_one(bigint, text, boolean), legwork.retry_one(bigint, text, boolean),
    legwork.snooze_one(bigint, interval, text, boolean), legwork.discard_one(bigint, text, boolean),
    legwork.halt(text, text, timestamptz, boolean), legwork.pause(text, text, timestamptz),
    legwork.drain(text, text, timestamptz), legwork.resume(text, text), legwork.assert_lease(bigint, bigint)
FROM PUBLIC;

COMMENT ON FUNCTION legwork.enqueue(text, jsonb, text, timestamptz, integer, integer, text, interval, timestamptz, text[], jsonb)
    IS 'Inserts one job and returns its id. For producers who prefer named options to an INSERT.';
COMMENT ON FUNCTION legwork.finish_waiting(bigint, legwork.outcome, text, interval) IS 'Moves a waiting job into history. For cancel() and discard() alone.';
COMMENT ON FUNCTION legwork.lock_job(bigint) IS 'Locks an unfinished job, or says that it has ended. For cancel(), retry(), snooze() and discard() alone.';
COMMENT ON FUNCTION legwork.cancel_one(bigint, text, boolean) IS 'What cancel() does, noted or not. For cancel() and operations on many jobs.';
COMMENT ON FUNCTION legwork.cancel(bigint, text) IS 'Stops a job: at once if it waits, by asking its handler if it runs. For operators.';
COMMENT ON FUNCTION legwork.retry_one(bigint, text, boolean) IS 'What retry() does, noted or not. For retry() and operations on many jobs.';
COMMENT ON FUNCTION legwork.retry(bigint, text) IS 'Runs a finished job again, or a waiting one now. For operators.';
COMMENT ON FUNCTION legwork.snooze_one(bigint, interval, text, boolean) IS 'What snooze() does, noted or not. For snooze() and operations on many jobs.';
COMMENT ON FUNCTION legwork.snooze(bigint, interval, text) IS 'Puts a waiting job off. For operators.';
COMMENT ON FUNCTION legwork.discard_one(bigint, text, boolean) IS 'What discard() does, noted or not. For discard() and operations on many jobs.';
COMMENT ON FUNCTION legwork.discard(bigint, text) IS 'Ends a waiting job for good. For operators.';
COMMENT ON FUNCTION legwork.halt(text, text, timestamptz, boolean) IS 'Stops claims from a queue. For pause() and drain() alone.';
COMMENT ON FUNCTION legwork.drain(text, text, timestamptz) IS 'Stops claims from a queue, so that nothing of it runs any more. For operators.';
COMMENT ON FUNCTION legwork.pause(text, text, timestamptz) IS 'Stops claims from a queue, fleet-wide. For operators.';
COMMENT ON FUNCTION legwork.resume(text, text) IS 'Lets a paused queue run again. For operators.';
COMMENT ON FUNCTION legwork.assert_lease(bigint, bigint) IS 'Raises unless the attempt still owns the job. For handlers'' own transactions.';
