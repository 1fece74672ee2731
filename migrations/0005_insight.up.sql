-- What people and autoscalers read: one view over live and finished jobs, why a job isn't running, how
-- much waits, and which invariants don't hold.

-- State is never stored. This is its one derivation in SQL; `job/state` has the same in Rust.
CREATE VIEW legwork.jobs AS
    SELECT j.id,
        CASE
            WHEN j.holder IS NOT NULL THEN 'running'
            WHEN j.run_at <= now() THEN 'available'
            WHEN j.attempt > 0 THEN 'retryable'
            ELSE 'scheduled'
        END AS state,
        j.queue::text AS queue, j.kind::text AS kind, j.priority::smallint AS priority, j.attempt,
        j.max_attempts::smallint AS max_attempts, j.rescues, j.snoozes, j.run_at::timestamptz AS run_at, j.created_at,
        NULL::timestamptz AS finished_at, NULL::integer AS duration_ms, j.expires_at::timestamptz AS expires_at, j.timeout::interval AS timeout,
        j.cancel_requested, j.holder, j.token, j.unique_key::text AS unique_key, j.tags::text[] AS tags,
        j.metadata::jsonb AS metadata, NULL::text AS reason, j.payload::jsonb AS payload, NULL::jsonb AS result
    FROM legwork.job j
UNION ALL
    SELECT f.id, f.outcome::text, f.queue, f.kind, f.priority, f.attempt, f.max_attempts, f.rescues, f.snoozes,
        f.run_at, f.created_at, f.finished_at, f.duration_ms, NULL, f.timeout, false, f.holder, f.token, f.unique_key, f.tags,
        f.metadata, f.reason, f.payload, f.result
    FROM legwork.finished f;

-- The same for those who may not see what jobs are about.
CREATE VIEW legwork.jobs_public AS
    SELECT id, state, queue, kind, priority, attempt, max_attempts, rescues, snoozes, run_at, created_at,
        finished_at, duration_ms, expires_at, timeout, cancel_requested, holder, token, unique_key, tags, reason
    FROM legwork.jobs;

-- Each live daemon that could run a job of this queue and kind, with what it last said of itself. `known`
-- is false where it said nothing, and where more than half of a lease has passed since: a renewal is
-- missing then, and the figures are history.
CREATE FUNCTION legwork.serving(queue text, kind text)
RETURNS TABLE (id bigint, daemon text, known boolean, seconds bigint, slots integer, in_use integer, queue_limit text,
    queue_waiting integer, kind_limit text, kind_waiting integer, quiet boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT d.id, coalesce(d.name, d.id::text),
        d.load IS NOT NULL AND d.limits IS NOT NULL
            AND clock_timestamp() < d.renewed_at + (d.expires_at - d.renewed_at) / 2,
        greatest(0, extract(epoch FROM clock_timestamp() - d.renewed_at))::bigint,
        (of_queue.most ->> 'slots')::integer, (of_queue.now ->> 'in_use')::integer,
        (of_queue.most ->> 'rate') || format(' (burst %s)', of_queue.most ->> 'burst'),
        (of_queue.now ->> 'waiting')::integer,
        (of_kind.most ->> 'rate') || format(' (burst %s)', of_kind.most ->> 'burst'),
        (of_kind.now ->> 'waiting')::integer, coalesce((d.load ->> 'quiet')::boolean, false)
    FROM legwork.daemon d,
        LATERAL (SELECT d.limits #> ARRAY['queues', serving.queue], d.load #> ARRAY['queues', serving.queue])
            AS of_queue (most, now),
        LATERAL (SELECT d.limits #> ARRAY['kinds', serving.kind], d.load #> ARRAY['kinds', serving.kind])
            AS of_kind (most, now)
    WHERE d.died_at IS NULL AND d.expires_at > clock_timestamp()
        AND serving.queue = ANY (d.queues) AND serving.kind = ANY (d.kinds)
$function$;

-- The gate of daemons that claim nothing more, no row where all claim. It blocks where every daemon that
-- serves the job said just now that it doesn't.
CREATE FUNCTION legwork.quiet_gate(queue text, kind text)
RETURNS TABLE (gate text, blocking boolean, detail text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT 'quiet', bool_and(d.known AND d.quiet),
        format('told to claim nothing more, or stopping: %s%s%s',
            string_agg(format('%s (%s s ago)', d.daemon, d.seconds), ', ' ORDER BY d.place)
                FILTER (WHERE d.quiet AND d.place <= 5),
            CASE WHEN count(*) FILTER (WHERE d.quiet) > 5
                THEN format(' and %s more', count(*) FILTER (WHERE d.quiet) - 5) ELSE '' END,
            CASE WHEN bool_and(d.quiet) THEN '; a restart claims again'
                ELSE format('; %s more claim', count(*) FILTER (WHERE NOT d.quiet)) END)
    FROM (SELECT o.*, row_number() OVER (PARTITION BY o.quiet ORDER BY o.daemon) AS place
        FROM legwork.serving(quiet_gate.queue, quiet_gate.kind) o) d
    HAVING bool_or(d.quiet)
$function$;

-- The gate of slots, no row where nobody serves the job or who serves it claims nothing more. It blocks where
-- every daemon that claims says, and said just now, that its slots are taken.
CREATE FUNCTION legwork.slots_gate(queue text, kind text)
RETURNS TABLE (gate text, blocking boolean, detail text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT 'slots', s.all_taken, CASE
            WHEN s.all_taken THEN format('all %s slots of queue %s are taken on every daemon that serves it (%s%s)',
                s.slots, slots_gate.queue, s.named, s.more)
            WHEN s.free > 0 THEN format('queue %s has %s free of %s slots (%s%s)', slots_gate.queue, s.free, s.slots,
                s.named, s.more)
            ELSE format('whether queue %s has free slots isn''t known (%s%s)', slots_gate.queue, s.named, s.more) END
    FROM (
        SELECT count(*) AS daemons, bool_and(coalesce(d.known AND d.in_use >= d.slots, false)) AS all_taken,
            sum(d.slots) FILTER (WHERE d.known) AS slots,
            sum(greatest(0, d.slots - d.in_use)) FILTER (WHERE d.known) AS free,
            string_agg(d.daemon || CASE
                WHEN d.slots IS NULL OR d.in_use IS NULL THEN ' doesn''t say'
                ELSE format(': %s of %s, %s s ago%s', d.in_use, d.slots, d.seconds,
                    CASE WHEN d.known THEN '' ELSE ' and no word since' END) END, '; ' ORDER BY d.place)
                FILTER (WHERE d.place <= 5) AS named,
            CASE WHEN count(*) > 5 THEN format('; and %s more', count(*) - 5) ELSE '' END AS more
        FROM (SELECT o.*, row_number() OVER (ORDER BY o.daemon) AS place
            FROM legwork.serving(slots_gate.queue, slots_gate.kind) o WHERE NOT (o.known AND o.quiet)) d
    ) s
    WHERE s.daemons > 0
$function$;

-- The gate of each rate limit, the kind's and then the queue's; no row where nobody limits. `ahead` and
-- `ahead_of_kind` count the line before the job. It blocks where every daemon that claims limits and either said just
-- now that jobs wait for the limit, or jobs that need it are ahead. A job that waits for its limit inside
-- a daemon goes back to its place in line after 5 s, so one that is in line may just have waited.
CREATE FUNCTION legwork.rate_limit_gates(queue text, kind text, ahead bigint, ahead_of_kind bigint)
RETURNS TABLE (gate text, blocking boolean, detail text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT 'rate limit',
        bool_and(d.most IS NOT NULL) AND (d.ahead > 0 OR bool_and(coalesce(d.known AND d.waiting > 0, false))),
        format('%s starts %s%s%s', d.whose,
            string_agg(CASE
                WHEN d.most IS NULL THEN format('without a limit on %s', d.daemon)
                WHEN d.waiting IS NULL THEN format('at most %s on %s, which doesn''t say how many wait for it', d.most, d.daemon)
                WHEN NOT d.known THEN format('at most %s on %s, where %s waited for it %s s ago and no word since', d.most,
                    d.daemon, d.waiting, d.seconds)
                ELSE format('at most %s on %s, where %s wait%s for it (%s s ago)', d.most, d.daemon, d.waiting,
                    CASE d.waiting WHEN 1 THEN 's' ELSE '' END, d.seconds)
                END, '; ' ORDER BY d.place) FILTER (WHERE d.place <= 5),
            CASE WHEN count(*) > 5 THEN format('; and on %s more', count(*) - 5) ELSE '' END,
            CASE WHEN d.ahead > 0 THEN format('; ahead of it in line: %s', d.ahead) ELSE '' END)
    FROM (
        SELECT l.*, o.daemon, o.known, o.seconds, row_number() OVER (PARTITION BY l.rank ORDER BY o.daemon) AS place
        FROM legwork.serving(rate_limit_gates.queue, rate_limit_gates.kind) o,
            LATERAL (VALUES
                (1, 'kind ' || rate_limit_gates.kind, o.kind_limit, o.kind_waiting, rate_limit_gates.ahead_of_kind),
                (2, 'queue ' || rate_limit_gates.queue, o.queue_limit, o.queue_waiting, rate_limit_gates.ahead)
            ) AS l (rank, whose, most, waiting, ahead)
        WHERE NOT (o.known AND o.quiet)
    ) d
    GROUP BY d.rank, d.whose, d.ahead
    HAVING count(d.most) > 0
    ORDER BY d.rank
$function$;

-- Every gate between a job and its handler, one row each, in the order in which they are passed. The ones
-- with `blocking` keep it from running now.
CREATE FUNCTION legwork.why(id bigint) RETURNS TABLE (gate text, blocking boolean, detail text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
-- A bitmap would be made of all of the line before the LIMIT ends the count.
SET enable_bitmapscan = off
SET enable_seqscan = off
-- Which the price of the small tables that are read all the same would call for each time: 100 ms for 2.
SET jit = off
AS $function$
DECLARE
    line_limit constant integer := 10000;  -- counts this far and stops: 3 ms
    j legwork.job;
    f record;
    n bigint;
    living bigint;
    of_queue bigint;
    last_xid bigint;
    locker xid;
    is_locked boolean := false;
    ahead bigint := 0;
    ahead_of_kind bigint := 0;
    moment constant timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO j FROM legwork.job l WHERE l.id = why.id;
    IF NOT FOUND THEN
        SELECT h.outcome, h.finished_at, h.reason, h.attempt INTO f FROM legwork.finished h WHERE h.id = why.id;
        IF FOUND THEN
            RETURN QUERY SELECT 'finished', true, format('%s at %s%s, attempts charged: %s; legwork.retry(%s) runs it again',
                f.outcome, date_trunc('second', f.finished_at), coalesce(', reason ' || f.reason, ''), f.attempt, why.id);
        ELSE
            RETURN QUERY SELECT 'exists', true, format('no job %s, unfinished or in history: it never committed, or its retention has ended', why.id);
        END IF;
        RETURN;
    END IF;

    IF j.cancel_requested THEN
        RETURN QUERY SELECT 'cancel', j.holder IS NULL, 'cancel is requested; its handler decides the outcome';
    END IF;
    IF j.holder IS NOT NULL THEN
        SELECT d.name, d.hostname, d.died_at, d.expires_at INTO f FROM legwork.daemon d WHERE d.id = j.holder;
        RETURN QUERY SELECT 'running', NOT FOUND OR f.died_at IS NOT NULL OR f.expires_at < moment,
            CASE
                WHEN NOT FOUND THEN format('held by unknown daemon %s, attempt %s; any live daemon puts it back in line within the hour', j.holder, j.attempt + 1)
                WHEN f.died_at IS NOT NULL THEN format('held by daemon %s, dead since %s; waits for rescue', coalesce(f.name, j.holder::text), date_trunc('second', f.died_at))
                WHEN f.expires_at < moment THEN format('held by daemon %s, whose heartbeat is overdue since %s', coalesce(f.name, j.holder::text), date_trunc('second', f.expires_at))
                ELSE format('running on daemon %s%s, attempt %s', coalesce(f.name, j.holder::text), coalesce(' at ' || f.hostname, ''), j.attempt + 1)
            END;
        -- What waits inside a daemon for a rate limit is held like what runs, and the daemon tells only how many.
        RETURN QUERY SELECT 'rate limit', false,
            format('%s starts at most %s on %s, where %s waited %s s ago; a job that waits there is held, so this may be one of them',
                l.whose, l.most, o.daemon, coalesce(l.waiting::text, 'an unknown number'), o.seconds)
        FROM legwork.serving(j.queue, j.kind) o,
            LATERAL (VALUES ('kind ' || j.kind, o.kind_limit, o.kind_waiting),
                ('queue ' || j.queue, o.queue_limit, o.queue_waiting)) AS l (whose, most, waiting)
        WHERE o.id = j.holder AND l.most IS NOT NULL AND l.waiting IS DISTINCT FROM 0;
        RETURN;
    END IF;

    SELECT q.paused, q.paused_at, q.paused_until, q.reason INTO f FROM legwork.queue q WHERE q.name = j.queue;
    RETURN QUERY SELECT 'pause', coalesce(f.paused, false), CASE WHEN f.paused
        THEN format('queue %s is paused since %s%s%s; legwork.resume(%L) lets it run', j.queue, date_trunc('second', f.paused_at),
            coalesce(' until ' || date_trunc('second', f.paused_until), ''), coalesce(': ' || f.reason, ''), j.queue)
        ELSE format('queue %s isn''t paused', j.queue) END;

    SELECT count(*), count(*) FILTER (WHERE j.queue = ANY (d.queues)),
        count(*) FILTER (WHERE j.queue = ANY (d.queues) AND j.kind = ANY (d.kinds)) INTO living, of_queue, n
    FROM legwork.daemon d WHERE d.died_at IS NULL AND d.expires_at > moment;
    RETURN QUERY SELECT 'queue', of_queue = 0, CASE
        WHEN living = 0 THEN 'no daemon lives'
        WHEN of_queue = 0 THEN format('no live daemon serves queue %s: its [[queue]] is missing', j.queue)
        WHEN of_queue = 1 THEN format('1 live daemon serves queue %s', j.queue)
        ELSE format('%s live daemons serve queue %s', of_queue, j.queue) END;
    RETURN QUERY SELECT 'kind', n = 0, CASE
        WHEN of_queue = 0 THEN format('nobody serves kind %s where nobody serves its queue', j.kind)
        WHEN n = 0 THEN format('no live daemon of queue %s has a [[kind]] or a handler %s', j.queue, j.kind)
        WHEN n = 1 THEN format('1 live daemon of queue %s serves kind %s', j.queue, j.kind)
        ELSE format('%s live daemons of queue %s serve kind %s', n, j.queue, j.kind) END;

    RETURN QUERY SELECT * FROM legwork.quiet_gate(j.queue, j.kind);

    RETURN QUERY SELECT 'run_at', j.run_at > moment OR j.run_at > j.ready_at, CASE
        WHEN j.run_at > moment AND j.attempt > 0 THEN format('waits until %s for its backoff after attempt %s', date_trunc('second', j.run_at::timestamptz), j.attempt)
        WHEN j.run_at > moment THEN format('is scheduled for %s', date_trunc('second', j.run_at::timestamptz))
        WHEN j.run_at > j.ready_at THEN 'is due, and waits for a daemon to put it in line'
        ELSE format('is due since %s', date_trunc('second', j.run_at::timestamptz)) END;

    IF j.expires_at IS NOT NULL THEN
        RETURN QUERY SELECT 'expiry', j.expires_at <= moment, CASE WHEN j.expires_at <= moment
            THEN format('expired at %s and will be discarded', date_trunc('second', j.expires_at::timestamptz))
            ELSE format('expires at %s if not started by then', date_trunc('second', j.expires_at::timestamptz)) END;
    END IF;

    -- A claim passes over a row that is locked. Who locked it is in the row: a transaction, or a part of one, which shows no
    -- process once it is released. Several that share a lock have another number there, and aren't seen.
    SELECT pg_snapshot_xmax(s.now)::text::bigint, l.xmax, l.xmax::text::bigint INTO last_xid, locker, n
    FROM legwork.job l, pg_current_snapshot() AS s (now) WHERE l.id = why.id;
    IF n > 0 THEN
        -- The row has 32 bits of it: those nearest to the last one.
        n := n + (last_xid >> 32 << 32);
        n := n + CASE WHEN n > last_xid + (1::bigint << 31) THEN -1 WHEN n < last_xid - (1::bigint << 31) THEN 1 ELSE 0 END * (1::bigint << 32);
        BEGIN
            is_locked := pg_xact_status(greatest(n, 0)::text::xid8) = 'in progress';
        EXCEPTION WHEN invalid_parameter_value THEN
            -- No transaction has that number yet.
            is_locked := false;
        END;
    END IF;
    IF is_locked THEN
        SELECT k.pid INTO f FROM pg_locks k WHERE k.locktype = 'transactionid' AND k.transactionid = locker AND k.granted LIMIT 1;
        RETURN QUERY SELECT 'lock', true, CASE
            WHEN FOUND AND f.pid IS NULL THEN 'a prepared transaction holds its row: pg_prepared_xacts has it'
            WHEN FOUND THEN format('an open transaction of process %s of the server holds its row; '
                'SELECT * FROM pg_stat_activity WHERE pid = %s says whose it is', f.pid, f.pid)
            WHEN pg_is_in_recovery() THEN 'an open transaction of the primary holds its row'
            ELSE 'an open transaction holds its row: one of those in pg_stat_activity whose xact_start is set' END;
    END IF;

    IF j.run_at <= j.ready_at THEN
        SELECT count(*), count(*) FILTER (WHERE o.kind = j.kind) INTO ahead, ahead_of_kind FROM (
            SELECT l.kind FROM legwork.job l WHERE l.queue = j.queue AND l.holder IS NULL AND l.run_at <= l.ready_at
                AND (l.priority, l.seq) < (j.priority, j.seq) LIMIT line_limit) o;
        RETURN QUERY SELECT 'line', false, format('%s%s jobs of queue %s are ahead of it',
            CASE WHEN ahead = line_limit THEN 'at least ' ELSE '' END, ahead, j.queue);
    END IF;

    RETURN QUERY SELECT * FROM legwork.slots_gate(j.queue, j.kind);
    RETURN QUERY SELECT * FROM legwork.rate_limit_gates(j.queue, j.kind, ahead, ahead_of_kind);
END
$function$;

-- Jobs in line of a queue, counted to 10,000 and no further: an autoscaler needs no more, and the cost
-- is bounded at 3 ms.
CREATE FUNCTION legwork.backlog(queue text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
SET enable_bitmapscan = off
SET enable_seqscan = off
SET jit = off
AS $function$
    SELECT count(*) FROM (
        SELECT FROM legwork.job j
        WHERE j.queue = backlog.queue AND j.holder IS NULL AND j.run_at <= j.ready_at LIMIT 10000) waiting
$function$;

-- Invariants that don't hold now, at most 100 rows of each; empty when all is well. `tolerance` is for what heals
-- by itself: an overdue heartbeat, a dead daemon's jobs. Runs with the caller's rights and reads whole
-- tables: for people, not for a monitor.
CREATE FUNCTION legwork.invariants(tolerance interval DEFAULT '2 minutes')
RETURNS TABLE (invariant text, id bigint, detail text)
LANGUAGE sql STABLE
AS $function$
    (SELECT 'live_daemon_is_not_overdue', d.id, pg_catalog.format('expires_at %s, not declared dead', d.expires_at)
    FROM legwork.daemon d
    WHERE d.died_at IS NULL AND d.expires_at < pg_catalog.clock_timestamp() - tolerance LIMIT 100)
UNION ALL
    (SELECT 'job_is_held_by_a_live_daemon', j.id, CASE WHEN d.id IS NULL
        THEN pg_catalog.format('held by unknown daemon %s', j.holder)
        ELSE pg_catalog.format('held by daemon %s, dead since %s', d.id, d.died_at) END
    FROM legwork.job j LEFT JOIN legwork.daemon d ON d.id = j.holder
    WHERE j.holder IS NOT NULL
        AND (d.id IS NULL OR d.died_at < pg_catalog.clock_timestamp() - tolerance) LIMIT 100)
UNION ALL
    (SELECT 'unique_key_is_unique', pg_catalog.min(j.id), pg_catalog.format('%s unfinished jobs of queue %s have key %L',
        pg_catalog.count(*), j.queue, j.unique_key)
    FROM legwork.job j WHERE j.unique_key IS NOT NULL
    GROUP BY j.queue, j.unique_key HAVING pg_catalog.count(*) > 1 LIMIT 100)
UNION ALL
    (SELECT 'id_is_live_or_finished', j.id, pg_catalog.format('also in history as %s', f.outcome)
    FROM legwork.job j JOIN legwork.finished f ON f.id = j.id LIMIT 100)
UNION ALL
    (SELECT 'token_rises', j.id, pg_catalog.format('token %s, and a recorded attempt has %s', j.token, a.token)
    FROM legwork.job j JOIN legwork.failed_attempt a ON a.job_id = j.id AND a.token > j.token LIMIT 100)
UNION ALL
    (SELECT 'token_rises', f.id, pg_catalog.format('finished with token %s, and a recorded attempt has %s', f.token, a.token)
    FROM legwork.finished f JOIN legwork.failed_attempt a ON a.job_id = f.id AND a.token > f.token LIMIT 100)
UNION ALL
    (SELECT 'lease_columns_are_ours_alone', j.id, pg_catalog.format('token %s, attempt %s, rescues %s, snoozes %s, %s',
        j.token, j.attempt, j.rescues, j.snoozes, CASE WHEN j.holder IS NULL THEN 'not held' ELSE 'held' END)
    FROM legwork.job j
    WHERE j.token < 0 OR j.attempt < 0 OR j.rescues < 0 OR j.snoozes < 0
        OR (j.holder IS NOT NULL AND j.token < 1) LIMIT 100)
UNION ALL
    (SELECT 'session_is_not_idle_in_transaction', s.pid::bigint, pg_catalog.format('%s since %s',
        s.application_name, s.state_change)
    FROM pg_catalog.pg_stat_activity s
    WHERE s.datname = pg_catalog.current_database() AND s.application_name LIKE 'legwork%'
        AND s.state LIKE 'idle in transaction%'
        AND s.state_change < pg_catalog.clock_timestamp() - interval '5 seconds' LIMIT 100)
UNION ALL
    (SELECT 'advisory_lock_is_in_use', s.pid::bigint, pg_catalog.format('%s holds one, %s since %s',
        s.application_name, s.state, s.state_change)
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity s ON s.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND s.datname = pg_catalog.current_database()
        AND s.application_name LIKE 'legwork%' AND s.state LIKE 'idle%'
        AND s.state_change < pg_catalog.clock_timestamp() - interval '5 seconds' LIMIT 100)
$function$;

REVOKE ALL ON FUNCTION legwork.serving(text, text), legwork.quiet_gate(text, text), legwork.slots_gate(text, text),
    legwork.rate_limit_gates(text, text, bigint, bigint), legwork.why(bigint), legwork.backlog(text),
    legwork.invariants(interval)
FROM PUBLIC;

COMMENT ON VIEW legwork.jobs IS 'Live and finished jobs with their state. For people and the admin API.';
COMMENT ON VIEW legwork.jobs_public IS 'legwork.jobs without payload, metadata and result. For legwork_read.';
COMMENT ON FUNCTION legwork.serving(text, text) IS 'What the daemons that could run a job last said of their slots and rate limits. For why() alone.';
COMMENT ON FUNCTION legwork.quiet_gate(text, text) IS 'The gate of daemons that claim nothing more. For why() alone.';
COMMENT ON FUNCTION legwork.slots_gate(text, text) IS 'The gate of slots. For why() alone.';
COMMENT ON FUNCTION legwork.rate_limit_gates(text, text, bigint, bigint) IS 'The gates of rate limits. For why() alone.';
COMMENT ON FUNCTION legwork.why(bigint) IS 'Every gate that keeps a job from running. For people.';
COMMENT ON FUNCTION legwork.backlog(text) IS 'Jobs in line of a queue, counted to 10,000. For autoscalers.';
COMMENT ON FUNCTION legwork.invariants(interval) IS 'Invariants that don''t hold. For people.';
DO $comments$
DECLARE
    col record;
BEGIN
    -- The views' columns mean what the tables' mean, so they say the same.
    FOR col IN
        SELECT v.attrelid::regclass AS view, v.attname,
            coalesce(pg_catalog.col_description('legwork.finished'::regclass, f.attnum),
                pg_catalog.col_description('legwork.job'::regclass, j.attnum),
                'scheduled, available, running, retryable, completed, cancelled or discarded; derived, never stored.') AS said
        FROM pg_catalog.pg_attribute v
        LEFT JOIN pg_catalog.pg_attribute j ON j.attrelid = 'legwork.job'::regclass AND j.attname = v.attname
        LEFT JOIN pg_catalog.pg_attribute f ON f.attrelid = 'legwork.finished'::regclass AND f.attname = v.attname
        WHERE v.attrelid IN ('legwork.jobs'::regclass, 'legwork.jobs_public'::regclass) AND v.attnum > 0
    LOOP
        EXECUTE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', col.view, col.attname, col.said);
    END LOOP;
END
$comments$;
