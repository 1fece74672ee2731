-- What people changed: who, what, why. A note is made in the transaction of its change, by the function
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

-- Deletes the oldest notes that are past their 90 days, at most so many, and returns how many that were. The
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
    RETURN pruned;
END
$function$;

REVOKE ALL ON FUNCTION legwork.note(text, text, text, jsonb),
    legwork.note_job(text, bigint, text, text, text, text), legwork.asked_by(text, text, text),
    legwork.prune_audit(integer)
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
COMMENT ON FUNCTION legwork.prune_audit(integer) IS 'Deletes notes that are older than 90 days, at most so many. For daemons.';

SELECT legwork.apply_grants();
