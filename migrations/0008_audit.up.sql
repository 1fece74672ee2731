-- What people changed: who, what, why; and changes of many jobs at once. A note is made in the transaction of its change, by the function
-- that makes the change, so that it is the same whether SQL, the command line or HTTP asked for it.

CREATE TABLE legwork.audit (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_pkey PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text NOT NULL CONSTRAINT audit_actor_is_1_to_256_bytes CHECK (octet_length(actor) BETWEEN 1 AND 256),
    login      text NOT NULL DEFAULT session_user,
    action     text NOT NULL CONSTRAINT audit_action_is_1_to_64_bytes CHECK (octet_length(action) BETWEEN 1 AND 64),
    target     text NOT NULL CONSTRAINT audit_target_is_1_to_256_bytes CHECK (octet_length(target) BETWEEN 1 AND 256),
    reason     text CONSTRAINT audit_reason_is_1_to_500_bytes CHECK (octet_length(reason) BETWEEN 1 AND 500),
    request_id text CONSTRAINT audit_request_id_is_at_most_256_bytes CHECK (octet_length(request_id) <= 256),
    detail     jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT audit_detail_is_an_object_of_at_most_16_kib_rendered
            CHECK (jsonb_typeof(detail) = 'object' AND octet_length(detail::text) <= 16384)
);
CREATE INDEX audit_target ON legwork.audit (target, id);

-- Makes a note. Who asks is known by asked_by(), or is the login; a reason that is given goes before the
-- setting's. Security definer, since nobody may write the table. Returns the note's id.
CREATE FUNCTION legwork.note(action text, target text, reason text DEFAULT NULL, detail jsonb DEFAULT '{}')
RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    INSERT INTO legwork.audit (actor, action, target, reason, request_id, detail)
    VALUES (coalesce(nullif(current_setting('legwork.actor', true), ''), session_user), note.action, note.target,
        coalesce(nullif(note.reason, ''), nullif(current_setting('legwork.reason', true), '')),
        nullif(current_setting('legwork.request_id', true), ''), coalesce(note.detail, '{}'))
    RETURNING id
$function$;

-- The same of a job, which may be gone when somebody reads it: what it was stands beside what became of it.
CREATE FUNCTION legwork.note_job(action text, job bigint, reason text, result text, queue text, kind text)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT legwork.note(note_job.action, 'job/' || note_job.job, note_job.reason,
        jsonb_build_object('result', note_job.result, 'queue', note_job.queue, 'kind', note_job.kind))
$function$;

-- Says for the rest of the transaction who asks, why, and by which request; null is nothing. A statement that
-- has it in FROM says so before its select list changes anything, since there is no row before: that is why
-- it returns one, and why the language is one that the planner can't look into.
CREATE FUNCTION legwork.asked_by(actor text, reason text, request_id text) RETURNS boolean
LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM pg_catalog.set_config('legwork.actor', coalesce(asked_by.actor, ''), true),
        pg_catalog.set_config('legwork.reason', coalesce(asked_by.reason, ''), true),
        pg_catalog.set_config('legwork.request_id', coalesce(asked_by.request_id, ''), true);
    RETURN true;
END
$function$;

-- Deletes the oldest notes that are past their 90 days, at most so many, and returns how many that were; and
-- operations that have ended as long ago. The
-- time stands here, so that who may call this can't take away a younger one.
CREATE FUNCTION legwork.prune_audit(most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    kept constant interval := '90 days';
    pruned integer;
BEGIN
    -- By id, which is the order in which they were made but for a moment: no index by time is needed, and what
    -- is looked at has a bound when nothing is past.
    DELETE FROM legwork.audit a
    USING (SELECT o.id FROM legwork.audit o ORDER BY o.id LIMIT prune_audit.most) oldest
    WHERE a.id = oldest.id AND a.at < statement_timestamp() - kept;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    DELETE FROM legwork.operation p
    USING (SELECT o.id FROM legwork.operation o ORDER BY o.id LIMIT prune_audit.most) oldest
    WHERE p.id = oldest.id AND p.ended_at < statement_timestamp() - kept;
    RETURN pruned;
END
$function$;

-- One change of many jobs, as far as it has come. It is done in batches, each a transaction of its own that
-- writes here how far it is: whoever does the next one goes on from there, after whatever death.
CREATE TABLE legwork.operation (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT operation_pkey PRIMARY KEY,
    action     text NOT NULL
        CONSTRAINT operation_action_is_cancel_retry_discard_or_snooze
            CHECK (action IN ('cancel', 'retry', 'discard', 'snooze')),
    filter     jsonb NOT NULL,
    delay      interval,
    state      text NOT NULL DEFAULT 'running'
        CONSTRAINT operation_state_is_running_done_cancelled_or_failed
            CHECK (state IN ('running', 'done', 'cancelled', 'failed')),
    begun_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at   timestamptz,
    below      bigint NOT NULL,
    looked_at  bigint NOT NULL DEFAULT 0,
    changed    bigint NOT NULL DEFAULT 0,
    refused    jsonb NOT NULL DEFAULT '{}',
    error      text,
    holder     bigint,
    renewed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    note       bigint NOT NULL
);
CREATE INDEX operation_running ON legwork.operation (id) WHERE state = 'running';

-- The jobs below an id that an action with this filter is about, newest first: at most so many, of as many as are
-- looked at; and how far that came. Cancel, discard and snooze are about unfinished jobs. Retry is about all but
-- completed ones, which only who names that state runs again.
CREATE FUNCTION legwork.match_jobs(
    action text, filter jsonb, below bigint, looks integer, most integer,
    OUT ids bigint[], OUT looked_at bigint, OUT last bigint, OUT ended boolean
)
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    state constant text := filter ->> 'state';
    -- Each walks an index backwards to its LIMIT: finished_reason leaves completed jobs out.
    arm constant text := '(SELECT j.id, j.state, j.queue, j.kind, j.tags, j.created_at, j.payload
        FROM legwork.jobs j WHERE j.id < $1 AND %s ORDER BY j.id DESC LIMIT $2)';
    unfinished constant text := format(arm, 'j.finished_at IS NULL');
    ended_early constant text := format(arm, 'j.finished_at IS NOT NULL AND j.reason IS NOT NULL');
    source constant text := CASE
        WHEN state = 'completed' THEN format(arm, 'j.finished_at IS NOT NULL')
        WHEN state IN ('cancelled', 'discarded') THEN ended_early
        WHEN action <> 'retry' OR state IS NOT NULL THEN unfinished
        ELSE unfinished || ' UNION ALL ' || ended_early END;
BEGIN
    EXECUTE format($query$
        WITH looked AS MATERIALIZED (
            SELECT s.id, ($4 IS NULL OR s.queue = $4) AND ($5 IS NULL OR s.kind = $5) AND ($6 IS NULL OR s.state = $6)
                AND ($7 IS NULL OR $7 = ANY (s.tags))
                AND ($8 IS NULL OR s.created_at > $8) AND ($9 IS NULL OR s.created_at < $9)
                AND ($10 IS NULL OR NOT EXISTS (SELECT FROM jsonb_each_text($10) AS asked (keys, value)
                    WHERE (s.payload #>> string_to_array(asked.keys, '.')) IS DISTINCT FROM asked.value)) AS hit
            FROM (SELECT * FROM (%s) u ORDER BY u.id DESC LIMIT $2) s
        ), hits AS MATERIALIZED (
            SELECT l.id FROM looked l WHERE l.hit ORDER BY l.id DESC LIMIT $3
        ), came AS (
            SELECT CASE WHEN (SELECT count(*) FROM hits) = $3 THEN (SELECT min(h.id) FROM hits h)
                ELSE (SELECT min(l.id) FROM looked l) END AS last
        )
        SELECT coalesce((SELECT array_agg(h.id ORDER BY h.id) FROM hits h), '{}'),
            (SELECT count(*) FROM looked l WHERE l.id >= came.last), came.last,
            (SELECT count(*) FROM looked) < $2 AND (SELECT count(*) FROM hits) < $3
        FROM came $query$, source)
    INTO ids, looked_at, last, ended
    USING below, looks, most, filter ->> 'queue', filter ->> 'kind', state, filter ->> 'tag',
        (filter ->> 'created_after')::timestamptz, (filter ->> 'created_before')::timestamptz, filter -> 'payload';
END
$function$;

-- A filter as it is kept: held to what there is, moments instead of ages. Raises where it can't be meant.
CREATE FUNCTION legwork.check_bulk(action text, filter jsonb, delay interval, everything boolean) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    known constant text[] := '{queue,kind,state,tag,created_after,created_before,created_after_ago,created_before_ago,payload}';
    kept jsonb := coalesce(filter, '{}');
    age text;
    wrong text[]; -- which argument, or member of the filter, and why
BEGIN
    wrong := CASE
        WHEN action IS NULL OR action NOT IN ('cancel', 'retry', 'discard', 'snooze')
            THEN ARRAY['action', 'the actions are cancel, retry, discard and snooze']
        WHEN jsonb_typeof(kept) <> 'object' OR kept - known <> '{}'
            THEN ARRAY['filter', 'a filter is an object of ' || array_to_string(known, ', ')]
        WHEN octet_length(kept::text) > 8192 THEN ARRAY['filter', 'a filter has at most 8 KiB']
        WHEN EXISTS (SELECT FROM jsonb_each(kept) AS m WHERE m.value = 'null')
            THEN ARRAY['filter', 'a member of a filter that is null narrows nothing: leave it out']
        WHEN kept ? 'payload' AND (jsonb_typeof(kept -> 'payload') <> 'object' OR kept -> 'payload' = '{}')
            THEN ARRAY['payload', 'payload is an object of places and texts']
        WHEN kept ->> 'state' NOT IN
                ('scheduled', 'available', 'running', 'retryable', 'completed', 'cancelled', 'discarded')
            THEN ARRAY['state',
                'the states are scheduled, available, running, retryable, completed, cancelled and discarded']
        WHEN kept = '{}' AND everything IS NOT TRUE
            THEN ARRAY['everything', 'an empty filter is about every job, and all has to be said']
        WHEN (action = 'snooze') <> (delay IS NOT NULL) OR delay <= interval '0'
            THEN ARRAY['delay', 'snooze takes a time above zero, and nothing else takes one']
        WHEN action <> 'retry' AND kept ->> 'state' IN ('completed', 'cancelled', 'discarded')
            THEN ARRAY['state', format('%s is about unfinished jobs, and not about those that are %s',
                action, kept ->> 'state')]
        WHEN action IN ('discard', 'snooze', 'retry') AND kept ->> 'state' = 'running'
            THEN ARRAY['state', format('%s is not about running jobs', action)]
        END;
    IF wrong IS NOT NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = wrong[2], COLUMN = wrong[1], HINT = 'Nothing was changed.';
    END IF;
    -- To compare what is in a payload is to find out what is in it.
    IF kept ? 'payload' AND NOT has_column_privilege(session_user, 'legwork.jobs', 'payload', 'SELECT') THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('%I may not read payloads, and so not filter by them', session_user),
            HINT = 'Filter by something else, or as a role that may read legwork.jobs.';
    END IF;
    FOREACH age IN ARRAY ARRAY['created_after', 'created_before'] LOOP
        IF kept ? (age || '_ago') THEN
            kept := kept - (age || '_ago') || jsonb_build_object(age,
                statement_timestamp() - make_interval(secs => (kept ->> (age || '_ago'))::float8));
        ELSIF kept ? age THEN
            kept := kept || jsonb_build_object(age, (kept ->> age)::timestamptz);
        END IF;
    END LOOP;
    RETURN kept;
END
$function$;

-- An operation, as people see it. Who may not read payloads sees the places that its filter compares, and not with what.
CREATE FUNCTION legwork.shown_operation(o legwork.operation) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT jsonb_build_object('id', o.id, 'action', o.action, 'filter',
        CASE WHEN o.filter ? 'payload' AND NOT has_column_privilege(session_user, 'legwork.jobs', 'payload', 'SELECT')
            THEN o.filter || jsonb_build_object('payload', (
                SELECT jsonb_object_agg(p, NULL) FROM jsonb_object_keys(o.filter -> 'payload') AS p))
            ELSE o.filter END,
        'for_seconds', extract(epoch FROM o.delay), 'state', o.state,
        'begun_at', to_char(o.begun_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'ended_at', to_char(o.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'position', o.below, 'looked_at', o.looked_at, 'changed', o.changed, 'refused', o.refused, 'error', o.error)
$function$;

-- How many jobs such an operation would be about, and the newest of them. Counts to 10,000, among the 100,000 that are
-- looked at first; `more` says that there may be more than that. Changes nothing.
CREATE FUNCTION legwork.try_bulk(
    action text, filter jsonb, delay interval DEFAULT NULL, everything boolean DEFAULT false
) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    kept constant jsonb := legwork.check_bulk(action, filter, delay, everything);
    seen record;
BEGIN
    SELECT * INTO seen FROM legwork.match_jobs(action, kept, 9223372036854775807, 100000, 10000);
    RETURN jsonb_build_object('matched', cardinality(seen.ids), 'more', NOT seen.ended,
        'sample', to_jsonb(ARRAY(SELECT i FROM unnest(seen.ids) AS i ORDER BY i DESC LIMIT 10)));
END
$function$;

-- Begins an operation on the jobs that there are now. `holder` is who means to step it, a number of its own; where
-- that is nobody, or nobody does for 15 seconds, the first daemon that looks goes on with it.
CREATE FUNCTION legwork.begin_bulk(
    action text, filter jsonb, delay interval DEFAULT NULL, everything boolean DEFAULT false,
    reason text DEFAULT NULL, holder bigint DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    kept constant jsonb := legwork.check_bulk(action, filter, delay, everything);
    number constant bigint := nextval('legwork.operation_id_seq');
    o legwork.operation;
BEGIN
    -- The note may be read by who may not see payloads: it has the places that are compared, and not with what.
    INSERT INTO legwork.operation (id, action, filter, delay, below, holder, renewed_at, note) OVERRIDING SYSTEM VALUE
    SELECT number, begin_bulk.action, kept, begin_bulk.delay, s.last_value + s.is_called::int, begin_bulk.holder,
        CASE WHEN begin_bulk.holder IS NULL THEN '-infinity' ELSE clock_timestamp() END,
        legwork.note(begin_bulk.action, 'operation/' || number, begin_bulk.reason,
            jsonb_build_object('filter', kept - 'payload' || CASE WHEN kept ? 'payload' THEN jsonb_build_object('payload',
                ARRAY(SELECT p FROM jsonb_object_keys(kept -> 'payload') AS p)) ELSE '{}' END))
    FROM legwork.job_id_seq s
    RETURNING * INTO o;
    RETURN legwork.shown_operation(o);
END
$function$;

-- The operation in that state now, for good, and its note with the counts.
CREATE FUNCTION legwork.end_bulk(operation bigint, state text, error text) RETURNS legwork.operation
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    o legwork.operation;
BEGIN
    UPDATE legwork.operation p SET state = end_bulk.state, error = end_bulk.error, ended_at = clock_timestamp()
    WHERE p.id = end_bulk.operation RETURNING * INTO o;
    UPDATE legwork.audit a SET detail = a.detail || jsonb_build_object('state', o.state, 'looked_at', o.looked_at,
        'changed', o.changed, 'refused', o.refused)
    WHERE a.id = o.note;
    RETURN o;
END
$function$;

-- Does it to one job whose row is locked, leaving no note; gives the word for what became of it, and whether that is a
-- change. For what else somebody holds, a batch of them is not to wait for longer than a statement may.
CREATE FUNCTION legwork.change_in_bulk(o legwork.operation, job bigint, OUT result text, OUT changed boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
SET lock_timeout = '10ms'
AS $function$
DECLARE
    seen record;
BEGIN
    SELECT j.state, j.finished_at IS NULL AS live INTO seen FROM legwork.jobs_public j WHERE j.id = change_in_bulk.job;
    changed := false;
    result := CASE
        WHEN seen.state IS NULL THEN 'not_found'
        -- Since it was matched.
        WHEN seen.state IS DISTINCT FROM coalesce(o.filter ->> 'state', seen.state) THEN 'state_changed'
        WHEN seen.state = 'completed' AND o.filter ->> 'state' IS NULL AND o.action = 'retry' THEN 'state_changed'
        WHEN NOT seen.live AND o.action <> 'retry' THEN 'already_finished'
        WHEN seen.state = 'running' AND o.action <> 'cancel' THEN 'running'
        END;
    IF result IS NOT NULL THEN
        RETURN;
    END IF;
    CASE o.action
        WHEN 'cancel' THEN result := legwork.cancel_one(change_in_bulk.job, NULL, false);
        WHEN 'discard' THEN result := legwork.discard_one(change_in_bulk.job, NULL, false);
        WHEN 'snooze' THEN
            PERFORM legwork.snooze_one(change_in_bulk.job, o.delay, NULL, false);
            result := 'snoozed';
        ELSE
            -- A finished job isn't locked before, and a producer may be about to commit one with its key.
            BEGIN
                result := legwork.retry_one(change_in_bulk.job, NULL, false);
            EXCEPTION
                WHEN unique_violation THEN result := 'unique_key_taken';
                WHEN no_data_found THEN result := 'not_found';
                WHEN lock_not_available THEN result := 'locked';
                WHEN object_not_in_prerequisite_state THEN result := 'running';
            END;
    END CASE;
    changed := result NOT IN ('already_in_line', 'unique_key_taken', 'not_found', 'locked', 'running');
END
$function$;

-- The next batch of an operation: at most 500 jobs, among the 5,000 that are looked at. One transaction, together with
-- how far it came, so that a batch that wasn't written down wasn't done. Of one that has ended, nothing.
CREATE FUNCTION legwork.step_bulk(operation bigint, holder bigint) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    o legwork.operation;
    batch record;
    free bigint[];
    one bigint;
    became record;
    done bigint := 0;
    counts jsonb;
    patience text := current_setting('lock_timeout');
BEGIN
    SELECT * INTO o FROM legwork.operation p WHERE p.id = step_bulk.operation FOR UPDATE;
    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('there is no operation %s', step_bulk.operation),
            HINT = 'Operations are kept for 90 days after their end.';
    ELSIF o.state <> 'running' THEN
        RETURN legwork.shown_operation(o);
    END IF;
    counts := o.refused;
    SELECT * INTO batch FROM legwork.match_jobs(o.action, o.filter, o.below, 5000, 500);
    -- All at once and in the order in which everybody locks jobs. Who holds one for longer than a moment, a handler
    -- after assert_lease() say, keeps that one from being changed, and none behind it.
    PERFORM set_config('lock_timeout', '1s', true);
    BEGIN
        free := ARRAY(SELECT j.id FROM legwork.job j WHERE j.id = ANY (batch.ids) ORDER BY j.id FOR UPDATE);
    EXCEPTION WHEN lock_not_available THEN
        free := ARRAY(SELECT j.id FROM legwork.job j WHERE j.id = ANY (batch.ids) ORDER BY j.id FOR UPDATE SKIP LOCKED);
    END;
    -- The caller's transaction may go on.
    PERFORM set_config('lock_timeout', patience, true);
    FOR one IN SELECT i FROM unnest(batch.ids) AS i ORDER BY i LOOP
        IF one = ANY (free) OR NOT EXISTS (SELECT FROM legwork.job j WHERE j.id = one) THEN
            SELECT * INTO became FROM legwork.change_in_bulk(o, one);
        ELSE
            SELECT 'locked' AS result, false AS changed INTO became;
        END IF;
        IF became.changed THEN
            done := done + 1;
        ELSE
            counts := counts || jsonb_build_object(became.result, coalesce((counts ->> became.result)::bigint, 0) + 1);
        END IF;
    END LOOP;
    UPDATE legwork.operation p SET below = coalesce(batch.last, p.below), looked_at = p.looked_at + batch.looked_at,
        changed = p.changed + done, refused = counts, holder = step_bulk.holder, renewed_at = clock_timestamp()
    WHERE p.id = o.id RETURNING * INTO o;
    IF batch.ended THEN
        o := legwork.end_bulk(o.id, 'done', NULL);
    END IF;
    RETURN legwork.shown_operation(o);
END
$function$;

-- Ends an operation after the batch that is under way; what is done stays done. Of one that has ended, nothing.
CREATE FUNCTION legwork.cancel_bulk(operation bigint, reason text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    o legwork.operation;
BEGIN
    SELECT * INTO o FROM legwork.operation p WHERE p.id = cancel_bulk.operation FOR UPDATE;
    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('there is no operation %s', cancel_bulk.operation),
            HINT = 'Operations are kept for 90 days after their end.';
    ELSIF o.state = 'running' THEN
        PERFORM legwork.note('end', 'operation/' || o.id, cancel_bulk.reason);
        o := legwork.end_bulk(o.id, 'cancelled', NULL);
    END IF;
    RETURN legwork.shown_operation(o);
END
$function$;

-- Ends an operation whose next batch the database refuses, and would again.
CREATE FUNCTION legwork.fail_bulk(operation bigint, why text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
BEGIN
    PERFORM FROM legwork.operation p WHERE p.id = fail_bulk.operation AND p.state = 'running' FOR UPDATE;
    IF FOUND THEN
        PERFORM legwork.end_bulk(fail_bulk.operation, 'failed', left(fail_bulk.why, 1000));
    END IF;
END
$function$;

-- The version of what can be changed of a job; nothing where there is no such job.
CREATE FUNCTION legwork.job_version(id bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT left(md5(ROW(j.token, j.holder, j.attempt, j.rescues, j.snoozes, extract(epoch FROM j.run_at),
        j.cancel_requested, extract(epoch FROM j.finished_at))::text), 16)
    FROM legwork.jobs_public j WHERE j.id = job_version.id LIMIT 1
$function$;

-- Whether a job has one of these versions. It stays so until the end of the transaction: its row is locked before it is
-- looked at. Of no job nothing is said, since a change says that better.
CREATE FUNCTION legwork.unchanged_job(id bigint, versions text[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
BEGIN
    PERFORM FROM legwork.job j WHERE j.id = unchanged_job.id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM FROM legwork.finished f WHERE f.id = unchanged_job.id FOR UPDATE;
    END IF;
    RETURN coalesce(legwork.job_version(unchanged_job.id) = ANY (versions), true);
END
$function$;

REVOKE ALL ON FUNCTION legwork.note(text, text, text, jsonb),
    legwork.note_job(text, bigint, text, text, text, text), legwork.asked_by(text, text, text),
    legwork.prune_audit(integer), legwork.match_jobs(text, jsonb, bigint, integer, integer),
    legwork.check_bulk(text, jsonb, interval, boolean), legwork.shown_operation(legwork.operation),
    legwork.try_bulk(text, jsonb, interval, boolean),
    legwork.begin_bulk(text, jsonb, interval, boolean, text, bigint), legwork.end_bulk(bigint, text, text),
    legwork.change_in_bulk(legwork.operation, bigint), legwork.step_bulk(bigint, bigint),
    legwork.cancel_bulk(bigint, text), legwork.fail_bulk(bigint, text), legwork.job_version(bigint),
    legwork.unchanged_job(bigint, text[])
FROM PUBLIC;

COMMENT ON TABLE legwork.audit IS 'What people changed, kept for 90 days. For readers; written by legwork.note() alone.';
COMMENT ON COLUMN legwork.audit.id IS 'Its number, for people''s pages, newest first.';
COMMENT ON COLUMN legwork.audit.at IS 'When, for people and for pruning.';
COMMENT ON COLUMN legwork.audit.actor IS 'For people: who, as the session said by the setting legwork.actor: role and token of HTTP, account and command of the shell; else the login.';
COMMENT ON COLUMN legwork.audit.login IS 'The session''s login in the database, which nobody can say otherwise; for people.';
COMMENT ON COLUMN legwork.audit.action IS 'What was done: cancel, retry, discard, snooze, pause, resume, run, and others.';
COMMENT ON COLUMN legwork.audit.target IS 'To what, for people and filters of readers: job/4711, queue/default, schedule/nightly, and others.';
COMMENT ON COLUMN legwork.audit.reason IS 'Why, for people who come after.';
COMMENT ON COLUMN legwork.audit.request_id IS 'By which request, for people who look it up in the log; the setting legwork.request_id.';
COMMENT ON COLUMN legwork.audit.detail IS 'What became of it and what it was, for people.';
COMMENT ON SEQUENCE legwork.audit_id_seq IS 'Feeds audit.id.';
COMMENT ON INDEX legwork.audit_pkey IS 'For pages by id, and for pruning the oldest.';
COMMENT ON INDEX legwork.audit_target IS 'For people who ask what happened to one job or queue.';
COMMENT ON FUNCTION legwork.note(text, text, text, jsonb) IS 'Notes what a person changed, in the transaction of the change. For the functions that change something, and daemons.';
COMMENT ON FUNCTION legwork.note_job(text, bigint, text, text, text, text) IS 'The same of one job. For the functions that change jobs.';
COMMENT ON FUNCTION legwork.asked_by(text, text, text) IS 'Says for the rest of the transaction who asks for its changes, why, and by which request. For the command line and the admin port.';
COMMENT ON FUNCTION legwork.prune_audit(integer) IS 'Deletes notes and ended operations that are older than 90 days, at most so many of each. For daemons.';

COMMENT ON TABLE legwork.operation IS 'Changes of many jobs and how far each has come, kept for 90 days after their end. For people and daemons; written by the functions of their names.';
COMMENT ON COLUMN legwork.operation.id IS 'Its number, for people.';
COMMENT ON COLUMN legwork.operation.action IS 'What is done to each job: as cancel(), retry(), discard() or snooze() do.';
COMMENT ON COLUMN legwork.operation.filter IS 'Which jobs, as people said, moments instead of ages.';
COMMENT ON COLUMN legwork.operation.delay IS 'For how long snooze puts a job off.';
COMMENT ON COLUMN legwork.operation.state IS 'For people and daemons: running until every job has been looked at, or it was cancelled, or a batch refused.';
COMMENT ON COLUMN legwork.operation.begun_at IS 'When, for people.';
COMMENT ON COLUMN legwork.operation.ended_at IS 'When it ended, for people and for pruning.';
COMMENT ON COLUMN legwork.operation.below IS 'The next batch looks at jobs below this id; the daemon that does it moves it on. At first the newest job there was.';
COMMENT ON COLUMN legwork.operation.looked_at IS 'How many jobs have been looked at, for people.';
COMMENT ON COLUMN legwork.operation.changed IS 'How many have been changed, for people.';
COMMENT ON COLUMN legwork.operation.refused IS 'How many were matched and couldn''t be changed, by reason, for people.';
COMMENT ON COLUMN legwork.operation.error IS 'Why it failed, for people.';
COMMENT ON COLUMN legwork.operation.holder IS 'Whoever did the last batch: a daemon''s boot id, or a number of a command''s; null is nobody yet.';
COMMENT ON COLUMN legwork.operation.renewed_at IS 'When that was. After 15 seconds any daemon goes on with it.';
COMMENT ON COLUMN legwork.operation.note IS 'Its note in the audit, which gets the counts at its end; for people.';
COMMENT ON SEQUENCE legwork.operation_id_seq IS 'Feeds operation.id.';
COMMENT ON INDEX legwork.operation_pkey IS 'For people and daemons, by id.';
COMMENT ON INDEX legwork.operation_running IS 'For daemons, which look for one that nobody goes on with.';
COMMENT ON FUNCTION legwork.match_jobs(text, jsonb, bigint, integer, integer) IS 'The next jobs that an operation is about. For try_bulk() and step_bulk().';
COMMENT ON FUNCTION legwork.check_bulk(text, jsonb, interval, boolean) IS 'Raises unless an operation can be meant. For try_bulk() and begin_bulk().';
COMMENT ON FUNCTION legwork.shown_operation(legwork.operation) IS 'An operation as JSON. For the functions of operations.';
COMMENT ON FUNCTION legwork.try_bulk(text, jsonb, interval, boolean) IS 'Counts the jobs that an operation would be about. For operators.';
COMMENT ON FUNCTION legwork.begin_bulk(text, jsonb, interval, boolean, text, bigint) IS 'Begins an operation on all jobs that meet a filter. For operators.';
COMMENT ON FUNCTION legwork.end_bulk(bigint, text, text) IS 'Ends an operation, and completes its note. For the functions of operations.';
COMMENT ON FUNCTION legwork.change_in_bulk(legwork.operation, bigint) IS 'Changes one job of an operation. For step_bulk().';
COMMENT ON FUNCTION legwork.step_bulk(bigint, bigint) IS 'Does the next batch of an operation. For daemons, and whoever began it.';
COMMENT ON FUNCTION legwork.cancel_bulk(bigint, text) IS 'Ends an operation before its time. For operators.';
COMMENT ON FUNCTION legwork.fail_bulk(bigint, text) IS 'Ends an operation that the database refuses to go on with. For daemons.';
COMMENT ON FUNCTION legwork.job_version(bigint) IS 'What changes when a job does. For the API''s entity tags.';
COMMENT ON FUNCTION legwork.unchanged_job(bigint, text[]) IS 'Locks a job and says whether it has one of these versions. For changes by If-Match.';

SELECT legwork.apply_grants();
