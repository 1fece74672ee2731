-- Finished jobs and failed attempts, partitioned by the day after which they may be dropped.
--
-- drop_after = finish day (UTC) + the retention of queue and outcome, so one level of partitions
-- serves every retention and pruning drops whole tables. There is no default partition: it would have
-- to be scanned, under ACCESS EXCLUSIVE, at every ATTACH. Days are made ahead; a row for a day that
-- isn't there fails with 23514, and the completer makes that day and tries again.

CREATE TYPE legwork.outcome AS ENUM ('completed', 'cancelled', 'discarded');

CREATE TABLE legwork.finished (
    id           bigint NOT NULL,
    token        bigint NOT NULL,
    holder       bigint,
    run_at       timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    finished_at  timestamptz NOT NULL DEFAULT now(),
    drop_after   date NOT NULL,
    outcome      legwork.outcome NOT NULL,
    duration_ms  integer,
    priority     smallint NOT NULL,
    attempt      smallint NOT NULL,
    rescues      smallint NOT NULL DEFAULT 0,
    snoozes      smallint NOT NULL DEFAULT 0,
    max_attempts smallint,
    queue        text NOT NULL,
    kind         text NOT NULL,
    payload      jsonb NOT NULL,
    timeout      interval,
    unique_key   text,
    tags         text[],
    metadata     jsonb,
    reason       text,
    result       jsonb
) PARTITION BY RANGE (drop_after);
CREATE INDEX finished_id ON legwork.finished (id);
-- A completed job has no reason and no entry here, so it costs the completer nothing that can be measured
-- (1.93 s a million rows, against 1.92): a page of discarded jobs costs 1.3 ms beside nine million completed
-- ones, against 1.3 s.
CREATE INDEX finished_reason ON legwork.finished (id) WHERE reason IS NOT NULL;

CREATE TABLE legwork.failed_attempt (
    job_id      bigint NOT NULL,
    token       bigint NOT NULL,
    holder      bigint,
    failed_at   timestamptz NOT NULL DEFAULT now(),
    duration_ms bigint,
    drop_after  date NOT NULL,
    attempt     smallint NOT NULL,
    cause       text NOT NULL,
    error       text
) PARTITION BY RANGE (drop_after);
CREATE UNIQUE INDEX failed_attempt_key ON legwork.failed_attempt (job_id, token, drop_after);

-- Makes the days first_day … last_day, both included, and returns how many tables it made. A table is
-- made standalone and then attached: ATTACH takes SHARE UPDATE EXCLUSIVE on the parent and so lets
-- inserts through, CREATE … PARTITION OF takes ACCESS EXCLUSIVE. Two at once take turns by a
-- transaction-scoped advisory lock. SECURITY DEFINER: the daemon's role may make days, not tables.
CREATE FUNCTION legwork.make_partitions(first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
SET lock_timeout = '3s'
SET client_min_messages = 'warning'
AS $function$
DECLARE
    days_per_call constant integer := 100;  -- each day takes some ten locks until commit
    made   integer := 0;
    parent text;
    part   text;
    day    date;
BEGIN
    IF first_day IS NULL OR last_day IS NULL OR NOT isfinite(first_day) OR NOT isfinite(last_day)
        OR last_day < first_day OR last_day - first_day >= days_per_call
    THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('make_partitions(%s, %s): give a first and a last day, at most %s days',
                coalesce(first_day::text, 'null'), coalesce(last_day::text, 'null'), days_per_call),
            HINT = 'Call it several times for a longer range.';
    END IF;
    -- Looks before it locks: who finds everything there waits for nobody, and anybody can take that lock.
    IF NOT EXISTS (
        SELECT FROM unnest(ARRAY['finished', 'failed_attempt']) AS p (name)
        CROSS JOIN generate_series(0, last_day - first_day) AS d (ahead)
        WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'legwork'::regnamespace AND c.relispartition
            AND c.relname = p.name || '_' || to_char(first_day + d.ahead, 'YYYYMMDD'))
    ) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('legwork.partitions', 0));
    FOREACH parent IN ARRAY ARRAY['finished', 'failed_attempt'] LOOP
        FOR offset_days IN 0 .. last_day - first_day LOOP
            day := first_day + offset_days;
            part := parent || '_' || to_char(day, 'YYYYMMDD');
            CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = part
                AND relnamespace = 'legwork'::regnamespace AND relispartition);
            IF to_regclass(format('legwork.%I', part)) IS NULL THEN
                EXECUTE format('CREATE TABLE legwork.%I (LIKE legwork.%I INCLUDING ALL)', part, parent);
                EXECUTE format('COMMENT ON TABLE legwork.%I IS %L', part,
                    format('Rows of %s that may be dropped after %s (UTC).', parent, day));
            END IF;
            EXECUTE format('ALTER TABLE legwork.%I ATTACH PARTITION legwork.%I FOR VALUES FROM (%L) TO (%L)',
                parent, part, day, day + 1);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$function$;

-- What pruning may drop now: days before today (UTC), and what an interrupted pruning left over.
CREATE FUNCTION legwork.droppable_partitions()
RETURNS TABLE (name text, parent text, drop_after date, state text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
AS $function$
    SELECT d.name, d.parent, d.drop_after,
        CASE WHEN i.inhrelid IS NULL THEN 'detached' WHEN i.inhdetachpending THEN 'detach_pending' ELSE 'attached' END
    FROM (
        SELECT c.oid, c.relname::text AS name, left(c.relname, -9) AS parent,
            to_date(right(c.relname, 8), 'YYYYMMDD') AS drop_after
        FROM pg_class c
        WHERE c.relnamespace = 'legwork'::regnamespace AND c.relkind = 'r'
            AND c.relname ~ '^(finished|failed_attempt)_[0-9]{8}$'
    ) d
    LEFT JOIN pg_inherits i ON i.inhrelid = d.oid
    WHERE d.drop_after < (statement_timestamp() AT TIME ZONE 'UTC')::date
    ORDER BY d.drop_after, d.name
$function$;

-- Drops one of droppable_partitions(); false when it is gone already. DETACH CONCURRENTLY can't run in a
-- function, so this takes ACCESS EXCLUSIVE on the parent for a moment: it waits 100 ms for that at
-- most and then fails with 55P03, for the caller to try again. An owner (owns_history()) does better
-- with DETACH CONCURRENTLY and DROP TABLE.
CREATE FUNCTION legwork.drop_partition(name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, legwork, pg_temp
SET lock_timeout = '100ms'
AS $function$
BEGIN
    IF to_regclass(format('legwork.%I', drop_partition.name)) IS NULL THEN
        RETURN false;
    END IF;
    IF NOT EXISTS (SELECT FROM legwork.droppable_partitions() p WHERE p.name = drop_partition.name) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%I is no partition of history that may be dropped', drop_partition.name),
            HINT = 'SELECT * FROM legwork.droppable_partitions() lists those that may.';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS legwork.%I', drop_partition.name);
    RETURN true;
END
$function$;

-- Whether the caller may DETACH CONCURRENTLY and VACUUM for itself. Not SECURITY DEFINER: it asks about
-- the caller.
CREATE FUNCTION legwork.owns_history() RETURNS boolean
LANGUAGE sql STABLE
AS $function$
    SELECT pg_catalog.pg_has_role(current_user, c.relowner, 'USAGE')
    FROM pg_catalog.pg_class c WHERE c.oid = 'legwork.finished'::pg_catalog.regclass
$function$;

REVOKE ALL ON FUNCTION legwork.make_partitions(date, date), legwork.droppable_partitions(),
    legwork.drop_partition(text), legwork.owns_history() FROM PUBLIC;

COMMENT ON TYPE legwork.outcome IS 'The three ways a job ends. For history and everyone who reads it.';
COMMENT ON TABLE legwork.finished IS 'Finished jobs, one row each, until drop_after. People read legwork.jobs.';
COMMENT ON COLUMN legwork.finished.id IS 'The job''s id; retry() puts it back under the same one.';
COMMENT ON COLUMN legwork.finished.token IS 'Lease token of its last claim; retry() carries it on, so that late results stay fenced.';
COMMENT ON COLUMN legwork.finished.holder IS 'Boot id of the daemon that finished it; null when it was finished while waiting.';
COMMENT ON COLUMN legwork.finished.run_at IS 'When it was last due, for people and latency.';
COMMENT ON COLUMN legwork.finished.created_at IS 'When it was enqueued, for people.';
COMMENT ON COLUMN legwork.finished.finished_at IS 'When its last transaction began, by the database''s clock; for people.';
COMMENT ON COLUMN legwork.finished.drop_after IS 'Finish day plus retention: its partition may be dropped after this day (UTC). For pruning.';
COMMENT ON COLUMN legwork.finished.outcome IS 'How it ended, for people: the state that legwork.jobs shows.';
COMMENT ON COLUMN legwork.finished.duration_ms IS 'How many milliseconds the attempt that ended it ran, 24 days at most, for people; null where it ended without having started.';
COMMENT ON COLUMN legwork.finished.priority IS 'As enqueued, for people and retry().';
COMMENT ON COLUMN legwork.finished.attempt IS 'Charged executions that ended, the last one included where it was charged; for people.';
COMMENT ON COLUMN legwork.finished.rescues IS 'How many daemons died with it in hand, for people.';
COMMENT ON COLUMN legwork.finished.snoozes IS 'How often it was put off, for people.';
COMMENT ON COLUMN legwork.finished.max_attempts IS 'As enqueued, for retry().';
COMMENT ON COLUMN legwork.finished.queue IS 'As enqueued, for people and retry().';
COMMENT ON COLUMN legwork.finished.kind IS 'As enqueued, for people and retry().';
COMMENT ON COLUMN legwork.finished.payload IS 'As enqueued, for retry(); hidden from legwork_read.';
COMMENT ON COLUMN legwork.finished.timeout IS 'As enqueued, for retry().';
COMMENT ON COLUMN legwork.finished.unique_key IS 'As enqueued; unique among unfinished jobs only, so retry() can meet a conflict.';
COMMENT ON COLUMN legwork.finished.tags IS 'As enqueued, for people and retry().';
COMMENT ON COLUMN legwork.finished.metadata IS 'As enqueued, for people and retry().';
COMMENT ON COLUMN legwork.finished.reason IS 'Machine-readable reason of a discard or cancel, for people and why(); null when completed.';
COMMENT ON COLUMN legwork.finished.result IS 'What the handler returned, if it returned JSON, for people; hidden from legwork_read.';
COMMENT ON INDEX legwork.finished_id IS 'For show, why() and retry(), which name a job by id, and for listings, which are pages by id.';
COMMENT ON INDEX legwork.finished_reason IS 'For listings of cancelled or discarded jobs: a completed job isn''t in it.';
COMMENT ON TABLE legwork.failed_attempt IS 'One row for each attempt that failed, until drop_after; written by COPY, and by the rescue of a dead daemon''s jobs. For people who ask why.';
COMMENT ON COLUMN legwork.failed_attempt.job_id IS 'The job, for show.';
COMMENT ON COLUMN legwork.failed_attempt.token IS 'The attempt: (job_id, token) names it, since an attempt number can come twice. For the completer, which may write it again, and for rescue.';
COMMENT ON COLUMN legwork.failed_attempt.holder IS 'Boot id of the daemon that ran it, or died with it in hand; for people.';
COMMENT ON COLUMN legwork.failed_attempt.failed_at IS 'When it was recorded, by the database''s clock; for show.';
COMMENT ON COLUMN legwork.failed_attempt.duration_ms IS 'How long it ran, in milliseconds, for show; null where its daemon died.';
COMMENT ON COLUMN legwork.failed_attempt.drop_after IS 'Its partition may be dropped after this day (UTC). For pruning.';
COMMENT ON COLUMN legwork.failed_attempt.attempt IS 'The attempt as the handler saw it, from 1; for show.';
COMMENT ON COLUMN legwork.failed_attempt.cause IS 'failed, timed_out, panicked or daemon_died: machine-readable, for show.';
COMMENT ON COLUMN legwork.failed_attempt.error IS 'The error''s text, for show; cut in the middle where it was long.';
COMMENT ON INDEX legwork.failed_attempt_key IS 'For show, by job, and for invariants(); keeps the completer and rescue from recording an attempt twice on one day.';
COMMENT ON FUNCTION legwork.make_partitions(date, date) IS 'Makes history''s days ahead or on demand. For the migrator, maintenance and the completer.';
COMMENT ON FUNCTION legwork.droppable_partitions() IS 'History''s days that are past. For pruning.';
COMMENT ON FUNCTION legwork.drop_partition(text) IS 'Drops one past day for a daemon that doesn''t own the tables. For pruning.';
COMMENT ON FUNCTION legwork.owns_history() IS 'Whether the caller owns history''s tables. For maintenance, which then detaches and vacuums itself.';
