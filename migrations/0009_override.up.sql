-- What operators decide at run time for a queue beyond a pause, and for a daemon. It stands in the database, so that it
-- holds for the whole fleet, outlives whoever decided it, and ends by the database's clock. Daemons read it each three
-- heartbeats, and at once when they are notified.

CREATE TABLE legwork.override (
    queue   legwork.queue_name NOT NULL,
    setting text NOT NULL CONSTRAINT override_setting_is_concurrency_or_rate_limit
        CHECK (setting IN ('concurrency', 'rate_limit')),
    value   text NOT NULL,
    until   timestamptz,
    reason  text CONSTRAINT override_reason_is_1_to_500_bytes CHECK (octet_length(reason) BETWEEN 1 AND 500),
    set_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT override_pkey PRIMARY KEY (queue, setting)
);

-- Whether an override of a queue can be meant; raises where it can't. For override_queue() alone.
CREATE FUNCTION legwork.check_override(queue text, concurrency integer, rate_limit text, until timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
BEGIN
    IF concurrency IS NULL AND rate_limit IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = format('override_queue of queue %s needs a concurrency, a rate limit, or both', queue),
            HINT = 'reset_queue(queue) takes overrides away.';
    END IF;
    IF concurrency NOT BETWEEN 1 AND 10000 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('concurrency: %s isn''t 1 to 10000', concurrency), COLUMN = 'concurrency',
            HINT = 'pause(queue) has nothing claimed at all.';
    END IF;
    IF rate_limit !~ '^[1-9][0-9]{0,8}/[smh]( burst [1-9][0-9]{0,8})?$' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('rate_limit: %L isn''t a rate limit', rate_limit), COLUMN = 'rate_limit',
            HINT = 'Write 100/s, 30/m or 5/h, with burst N if needed.';
    END IF;
    -- Daemons read so many and no more.
    IF (SELECT count(*) FROM legwork.override o WHERE o.queue <> check_override.queue) >= 998 THEN
        RAISE program_limit_exceeded USING
            MESSAGE = 'there are a thousand overrides already',
            HINT = 'reset_queue(queue) takes one away; what holds for good belongs to the daemons'' files.';
    END IF;
    IF until <= clock_timestamp() THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('until: %s is past', until), COLUMN = 'until',
            HINT = 'Give a moment to come, or none.';
    END IF;
END
$function$;

-- Has every daemon that serves the queue run so many of its jobs at once, start so many in a time, or both, whatever its
-- file says; until then, or until reset_queue(). A setting that isn't named stays as it is. True where anything changed.
CREATE FUNCTION legwork.override_queue(queue text, concurrency integer DEFAULT NULL, rate_limit text DEFAULT NULL,
    until timestamptz DEFAULT NULL, reason text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    changed boolean;
BEGIN
    PERFORM legwork.check_override(override_queue.queue, override_queue.concurrency, override_queue.rate_limit,
        override_queue.until);
    -- Before it is looked at whether it is still what somebody saw of it, or after that was decided: not in between.
    PERFORM FROM legwork.queue q WHERE q.name = override_queue.queue FOR UPDATE;
    WITH given AS (
        SELECT g.setting, g.value
        FROM (VALUES ('concurrency', override_queue.concurrency::text), ('rate_limit', override_queue.rate_limit))
            AS g (setting, value)
        WHERE g.value IS NOT NULL
    ), written AS (
        INSERT INTO legwork.override AS o (queue, setting, value, until, reason)
        SELECT override_queue.queue, g.setting, g.value, override_queue.until, override_queue.reason FROM given g
        ON CONFLICT ON CONSTRAINT override_pkey DO UPDATE
        SET value = excluded.value, until = excluded.until, reason = excluded.reason, set_at = excluded.set_at
        WHERE (o.value, o.until, o.reason) IS DISTINCT FROM (excluded.value, excluded.until, excluded.reason)
        RETURNING o.setting
    )
    SELECT count(*) > 0 INTO changed FROM written;
    IF changed THEN
        PERFORM pg_notify('legwork_control', '');
        PERFORM legwork.note('override', 'queue/' || override_queue.queue, override_queue.reason,
            jsonb_strip_nulls(jsonb_build_object('concurrency', override_queue.concurrency,
                'rate_limit', override_queue.rate_limit, 'until', override_queue.until)));
    END IF;
    RETURN changed;
END
$function$;

-- Takes away what override_queue() decided, all of it or one setting: what the daemons' files say holds again. True
-- where there was any.
CREATE FUNCTION legwork.reset_queue(queue text, setting text DEFAULT NULL, reason text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    was jsonb;
BEGIN
    IF reset_queue.setting NOT IN ('concurrency', 'rate_limit') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('setting: %L is neither concurrency nor rate_limit', reset_queue.setting), COLUMN = 'setting',
            HINT = 'Leave it out to take away both.';
    END IF;
    PERFORM FROM legwork.queue q WHERE q.name = reset_queue.queue FOR UPDATE;
    WITH gone AS (
        DELETE FROM legwork.override o
        WHERE o.queue = reset_queue.queue AND (reset_queue.setting IS NULL OR o.setting = reset_queue.setting)
        RETURNING o.setting, o.value
    )
    SELECT jsonb_object_agg(g.setting, g.value) INTO was FROM gone g;
    IF was IS NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('legwork_control', '');
    PERFORM legwork.note('reset', 'queue/' || reset_queue.queue, reset_queue.reason, jsonb_build_object('was', was));
    RETURN true;
END
$function$;

-- Ends what is past by the database's clock: overrides go, and queues that were paused until then run again. Any daemon
-- calls it, any number at once. It leaves no note: when it ends stands in the note of the decision.
CREATE FUNCTION legwork.end_overrides() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    overrides integer;
    pauses    integer;
BEGIN
    WITH past AS (
        SELECT o.queue, o.setting FROM legwork.override o WHERE o.until <= clock_timestamp()
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM legwork.override o USING past p WHERE o.queue = p.queue AND o.setting = p.setting;
    GET DIAGNOSTICS overrides = ROW_COUNT;
    WITH past AS (
        SELECT q.name FROM legwork.queue q WHERE q.paused AND q.paused_until <= clock_timestamp()
        FOR UPDATE SKIP LOCKED
    )
    UPDATE legwork.queue q SET paused = false, draining = false, paused_at = NULL, paused_until = NULL, reason = NULL
    FROM past p WHERE q.name = p.name;
    GET DIAGNOSTICS pauses = ROW_COUNT;
    IF pauses > 0 THEN
        PERFORM pg_notify('legwork', '');
    END IF;
    IF overrides + pauses > 0 THEN
        PERFORM pg_notify('legwork_control', '');
    END IF;
    RETURN overrides + pauses;
END
$function$;

-- Tells a daemon to be quiet (claim nothing more), to drain (as TERM has it) or to shut down (at once, as a second TERM has
-- it). It can be told more and never less. True where it wasn't told before.
CREATE FUNCTION legwork.tell_daemon(id bigint, wanted text, reason text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
DECLARE
    ranks constant text[] := ARRAY['quiet', 'drain', 'shutdown'];
    daemon record;
BEGIN
    IF array_position(ranks, tell_daemon.wanted) IS NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('a daemon can be told quiet, drain or shutdown, and not %L', tell_daemon.wanted),
            HINT = 'quiet claims nothing more, drain ends once what runs has ended, shutdown ends at once.';
    END IF;
    SELECT d.wanted, d.died_at INTO daemon FROM legwork.daemon d WHERE d.id = tell_daemon.id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('there is no daemon %s', tell_daemon.id),
            HINT = 'SELECT id, name FROM legwork.daemon lists them.';
    END IF;
    IF daemon.died_at IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('daemon %s has ended at %s', tell_daemon.id, date_trunc('second', daemon.died_at)),
            HINT = 'SELECT id, name FROM legwork.daemon WHERE died_at IS NULL lists those that run.';
    END IF;
    IF array_position(ranks, daemon.wanted) >= array_position(ranks, tell_daemon.wanted) THEN
        RETURN false;
    END IF;
    UPDATE legwork.daemon d SET wanted = tell_daemon.wanted WHERE d.id = tell_daemon.id;
    PERFORM pg_notify('legwork_control', '');
    PERFORM legwork.note(tell_daemon.wanted, 'daemon/' || tell_daemon.id, tell_daemon.reason);
    RETURN true;
END
$function$;

-- The version of what can be changed of a queue: its pause, its drain, and what was decided for it. A queue that no row is
-- about isn't paused, and has the version of one that isn't.
CREATE FUNCTION legwork.queue_version(queue text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT left(md5(ROW(coalesce(q.paused, false), extract(epoch FROM q.paused_at), extract(epoch FROM q.paused_until),
        coalesce(q.draining, false), q.reason, decided.each)::text), 16)
    FROM (VALUES (queue_version.queue)) AS asked (name) LEFT JOIN legwork.queue q ON q.name = asked.name,
        (SELECT array_agg(ROW(o.setting, o.value, extract(epoch FROM o.until), o.reason)::text ORDER BY o.setting) AS each
         FROM legwork.override o
         WHERE o.queue = queue_version.queue AND coalesce(o.until > clock_timestamp(), true)) AS decided
$function$;

-- Whether a queue has one of these versions. It stays so until the end of the transaction: there is a row to lock from then
-- on, which whatever changes it locks as well.
CREATE FUNCTION legwork.unchanged_queue(queue text, versions text[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
BEGIN
    INSERT INTO legwork.queue (name) VALUES (unchanged_queue.queue) ON CONFLICT (name) DO NOTHING;
    PERFORM FROM legwork.queue q WHERE q.name = unchanged_queue.queue FOR UPDATE;
    RETURN legwork.queue_version(unchanged_queue.queue) = ANY (versions);
END
$function$;

REVOKE ALL ON FUNCTION legwork.queue_version(text), legwork.unchanged_queue(text, text[]), legwork.check_override(text, integer, text, timestamptz),
    legwork.override_queue(text, integer, text, timestamptz, text), legwork.reset_queue(text, text, text),
    legwork.end_overrides(), legwork.tell_daemon(bigint, text, text)
FROM PUBLIC;

COMMENT ON TABLE legwork.override IS 'What operators decided for queues in the place of the daemons'' files. Written by override_queue() and reset_queue(), read by daemons and people.';
COMMENT ON COLUMN legwork.override.queue IS 'The queue, for daemons and people; nobody has to serve it yet.';
COMMENT ON COLUMN legwork.override.setting IS 'What of it, for daemons and people: concurrency or rate_limit.';
COMMENT ON COLUMN legwork.override.value IS 'As the file has it, for daemons: 5, 30/m burst 2.';
COMMENT ON COLUMN legwork.override.until IS 'Until when, by the database''s clock; null is until reset_queue(). What is past holds no longer, whether or not a daemon has taken the row away.';
COMMENT ON COLUMN legwork.override.reason IS 'Why, for the people who come after.';
COMMENT ON COLUMN legwork.override.set_at IS 'Since when, for people.';
COMMENT ON INDEX legwork.override_pkey IS 'One decision a setting; a row a decision, which daemons read whole.';
COMMENT ON FUNCTION legwork.check_override(text, integer, text, timestamptz) IS 'Refuses what can''t be meant. For override_queue() alone.';
COMMENT ON FUNCTION legwork.override_queue(text, integer, text, timestamptz, text) IS 'Decides a queue''s concurrency and rate limit for all daemons, for a time. For operators.';
COMMENT ON FUNCTION legwork.reset_queue(text, text, text) IS 'Takes away what was decided for a queue. For operators.';
COMMENT ON FUNCTION legwork.end_overrides() IS 'Ends overrides and pauses whose time is over. For daemons.';
COMMENT ON FUNCTION legwork.tell_daemon(bigint, text, text) IS 'Tells a daemon to be quiet, to drain or to shut down. For operators.';
COMMENT ON FUNCTION legwork.queue_version(text) IS 'The version of what can be changed of a queue: its pause, its drain, and what was decided for it. For ETags.';
COMMENT ON FUNCTION legwork.unchanged_queue(text, text[]) IS 'Locks a queue and says whether it has one of these versions. For changes by If-Match.';

SELECT legwork.apply_grants();
