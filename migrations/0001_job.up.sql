-- The live table, and the tables that decide whether a row of it may run.
--
-- `job` holds exactly the unfinished jobs. Its rules are domains, because a domain is checked when a
-- value enters, while a table CHECK is evaluated by every UPDATE as well: claiming and completing
-- costs 8.4 µs a job with domains and 18.4 µs with the same rules as CHECKs. So: no table CHECK, no row
-- trigger and no volatile default on `job` (the last two would turn COPY's multi-insert off).

-- One domain a column, so that the constraint's name is the message the producer reads. The pattern
-- is in the cheap form: 0.19 µs against 4.2 µs for a quantified regular expression.
CREATE DOMAIN legwork.kind_name AS text
    CONSTRAINT kind_is_1_to_128_of_letters_digits_dot_colon_dash_underscore
    CHECK (octet_length(value) BETWEEN 1 AND 128 AND value COLLATE "C" !~ '[^A-Za-z0-9_.:-]');
CREATE DOMAIN legwork.queue_name AS text
    CONSTRAINT queue_is_1_to_128_of_letters_digits_dot_colon_dash_underscore
    CHECK (octet_length(value) BETWEEN 1 AND 128 AND value COLLATE "C" !~ '[^A-Za-z0-9_.:-]');
CREATE DOMAIN legwork.payload AS jsonb
    CONSTRAINT payload_is_at_most_1_mib_rendered CHECK (octet_length(value::text) <= 1048576);
CREATE DOMAIN legwork.run_time AS timestamptz
    CONSTRAINT run_at_is_between_2000_and_2200
    CHECK (value >= '2000-01-01 00:00:00+00' AND value < '2200-01-01 00:00:00+00');
CREATE DOMAIN legwork.expiry_time AS timestamptz
    CONSTRAINT expires_at_is_between_2000_and_2200
    CHECK (value >= '2000-01-01 00:00:00+00' AND value < '2200-01-01 00:00:00+00');
CREATE DOMAIN legwork.priority AS smallint
    CONSTRAINT priority_is_minus_2_to_2 CHECK (value BETWEEN -2 AND 2);
CREATE DOMAIN legwork.max_attempts AS smallint
    CONSTRAINT max_attempts_is_1_to_1000 CHECK (value BETWEEN 1 AND 1000);
CREATE DOMAIN legwork.attempt_timeout AS interval
    CONSTRAINT timeout_is_above_0_and_at_most_30_days
    CHECK (value > interval '0' AND value <= interval '30 days');
CREATE DOMAIN legwork.key AS text
    CONSTRAINT unique_key_is_1_to_512_bytes CHECK (octet_length(value) BETWEEN 1 AND 512);
CREATE DOMAIN legwork.tags AS text[]
    CONSTRAINT tags_are_at_most_4_kib_rendered CHECK (octet_length(value::text) <= 4096)
    CONSTRAINT tags_are_a_list_without_lists_in_it CHECK (coalesce(array_ndims(value), 1) = 1);
CREATE DOMAIN legwork.metadata AS jsonb
    CONSTRAINT metadata_is_an_object_of_at_most_16_kib_rendered
    CHECK (jsonb_typeof(value) = 'object' AND octet_length(value::text) <= 16384);

CREATE TABLE legwork.job (
    id               bigint GENERATED ALWAYS AS IDENTITY,
    seq              bigint GENERATED ALWAYS AS IDENTITY,
    token            bigint NOT NULL DEFAULT 0,
    holder           bigint,
    run_at           legwork.run_time NOT NULL DEFAULT now(),
    ready_at         timestamptz NOT NULL DEFAULT now(),
    created_at       timestamptz NOT NULL DEFAULT now(),
    expires_at       legwork.expiry_time,
    priority         legwork.priority NOT NULL DEFAULT 0,
    attempt          smallint NOT NULL DEFAULT 0,
    rescues          smallint NOT NULL DEFAULT 0,
    snoozes          smallint NOT NULL DEFAULT 0,
    max_attempts     legwork.max_attempts,
    cancel_requested boolean NOT NULL DEFAULT false,
    queue            legwork.queue_name NOT NULL DEFAULT 'default',
    kind             legwork.kind_name NOT NULL,
    payload          legwork.payload NOT NULL DEFAULT '{}',
    timeout          legwork.attempt_timeout,
    unique_key       legwork.key,
    tags             legwork.tags,
    -- Where the row brings none, the session's trace and request follow the work. Stable, not volatile. Cut to what is
    -- still too long, so that a session's setting costs no producer its job. A tracestate belongs to its traceparent.
    metadata         legwork.metadata DEFAULT CASE
        WHEN coalesce(current_setting('legwork.traceparent', true), '') <> ''
            OR coalesce(current_setting('legwork.request_id', true), '') <> ''
        THEN jsonb_strip_nulls(jsonb_build_object(
            'traceparent', nullif(left(current_setting('legwork.traceparent', true), 257), ''),
            'tracestate', CASE WHEN coalesce(current_setting('legwork.traceparent', true), '') <> ''
                THEN nullif(left(current_setting('legwork.tracestate', true), 513), '') END,
            'request_id', nullif(left(current_setting('legwork.request_id', true), 257), '')))
    END,
    CONSTRAINT job_pkey PRIMARY KEY (id) WITH (fillfactor = 45)
)
-- Every row is inserted, claimed and deleted within moments, so the table is almost all dead rows
-- whatever its size: a share of it says nothing, a fixed number does. 20,000 dead rows are about
-- 10 MB of heap; at 100 k jobs/s that is reached at each round of the launcher, whose naptime then
-- is the real limit, and at 10 jobs/s it is one vacuum a quarter of an hour. The cost delay is 0
-- because a vacuum that falls behind here costs every claim more than its own I/O does.
WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 100000,
    autovacuum_vacuum_cost_delay = 0
);

-- "In line" is `run_at <= ready_at`: two columns of the row, so it is immutable and may stand in an
-- index predicate, which now() may not. An INSERT with the defaults is in line, one with a run_at in
-- the future isn't until promotion raises its ready_at.
CREATE INDEX job_ready ON legwork.job (queue, priority, seq) WHERE holder IS NULL AND run_at <= ready_at;
CREATE INDEX job_waiting ON legwork.job (run_at) WHERE holder IS NULL AND run_at > ready_at;
CREATE UNIQUE INDEX job_unique ON legwork.job (queue, unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX job_cancel ON legwork.job (holder) WHERE cancel_requested;
CREATE INDEX job_expiry ON legwork.job (expires_at) WHERE expires_at IS NOT NULL AND holder IS NULL;

CREATE TABLE legwork.daemon (
    id         bigint CONSTRAINT daemon_pkey PRIMARY KEY,
    name       text,
    version    text,
    hostname   text,
    started_at timestamptz NOT NULL DEFAULT now(),
    renewed_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    died_at    timestamptz,
    queues     text[] NOT NULL DEFAULT '{}',
    kinds      text[] NOT NULL DEFAULT '{}',
    limits     jsonb,
    load       jsonb,
    wanted     text CONSTRAINT daemon_wanted_is_quiet_drain_or_shutdown
        CHECK (wanted IN ('quiet', 'drain', 'shutdown'))
)
-- One row a daemon, rewritten at each heartbeat: free space keeps those updates HOT.
WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE TABLE legwork.queue (
    name                legwork.queue_name CONSTRAINT queue_pkey PRIMARY KEY,
    paused              boolean NOT NULL DEFAULT false,
    paused_at           timestamptz,
    paused_until        timestamptz,
    draining            boolean NOT NULL DEFAULT false,
    reason              text,
    retention_completed interval,
    retention_cancelled interval,
    retention_discarded interval
);

-- Domains: who is spoken to by each.
COMMENT ON DOMAIN legwork.kind_name IS 'Refuses, at INSERT, a kind that could not be a metric label, a configuration key or a log field as it stands.';
COMMENT ON DOMAIN legwork.queue_name IS 'Refuses, at INSERT, a queue name that could not be a metric label, a configuration key or a log field as it stands.';
COMMENT ON DOMAIN legwork.payload IS 'Caps the payload as rendered: 901 bytes of jsonb can render to 13 MB, and the daemon and handlers hold the rendered text.';
COMMENT ON DOMAIN legwork.run_time IS 'Refuses infinity and years that clients can''t decode.';
COMMENT ON DOMAIN legwork.expiry_time IS 'Refuses infinity and years that clients can''t decode.';
COMMENT ON DOMAIN legwork.priority IS 'Five levels, because the claim probes each level it has seen in use.';
COMMENT ON DOMAIN legwork.max_attempts IS 'Refuses a job that could never run and one that would retry without end.';
COMMENT ON DOMAIN legwork.attempt_timeout IS 'Refuses a limit of nothing and a limit that is none.';
COMMENT ON DOMAIN legwork.key IS 'Keeps the unique key within what an index row can hold.';
COMMENT ON DOMAIN legwork.tags IS 'Caps what rides along with every claim and every history row.';
COMMENT ON DOMAIN legwork.metadata IS 'Caps what rides along with every claim and every history row; an object, since tracing reads keys of it.';

COMMENT ON TABLE legwork.job IS 'Unfinished jobs, running ones included. Producers insert here; finishing deletes the row. People read legwork.jobs.';
COMMENT ON COLUMN legwork.job.id IS 'The job''s identity for everyone, kept over attempts and over retry(); never reused.';
COMMENT ON COLUMN legwork.job.seq IS 'Place in line for the claim; SET seq = DEFAULT takes a fresh one. No producer writes it.';
COMMENT ON COLUMN legwork.job.token IS 'Lease token for the completer and handlers: + 1 at each claim, never lowered.';
COMMENT ON COLUMN legwork.job.holder IS 'Boot id of the daemon that runs the job; null when not running. For claim, completer, rescue.';
COMMENT ON COLUMN legwork.job.run_at IS 'Not before this moment. Set by producers, and by retry and snooze.';
COMMENT ON COLUMN legwork.job.ready_at IS 'In line when run_at <= ready_at; raised by promotion. For the claim.';
COMMENT ON COLUMN legwork.job.created_at IS 'When the producer''s transaction began, for people and latency metrics.';
COMMENT ON COLUMN legwork.job.expires_at IS 'A job not started by then is discarded with reason expired, or unknown_kind_expired where no live daemon serves it. Set by producers.';
COMMENT ON COLUMN legwork.job.priority IS '-2 to 2, lower runs first. Set by producers.';
COMMENT ON COLUMN legwork.job.attempt IS 'Charged executions that ended; a handler sees attempt + 1. For the verdict.';
COMMENT ON COLUMN legwork.job.rescues IS 'How many daemons died with this job in hand. For the next claimer, which caps it.';
COMMENT ON COLUMN legwork.job.snoozes IS 'How often it was put off without charge. For people and the snooze cap.';
COMMENT ON COLUMN legwork.job.max_attempts IS 'Overrides the kind''s limit; null = the kind''s. Set by producers.';
COMMENT ON COLUMN legwork.job.cancel_requested IS 'Asks the holder to stop this attempt. Set by cancel().';
COMMENT ON COLUMN legwork.job.queue IS 'The lane whose limits apply. Set by producers.';
COMMENT ON COLUMN legwork.job.kind IS 'Which handler runs it. Set by producers; the one required column.';
COMMENT ON COLUMN legwork.job.payload IS 'The handler''s input, any JSON, handed on as it is. Set by producers.';
COMMENT ON COLUMN legwork.job.timeout IS 'Overrides the kind''s limit on one attempt; null = the kind''s. Set by producers.';
COMMENT ON COLUMN legwork.job.unique_key IS 'At most one unfinished job per (queue, unique_key). Set by producers.';
COMMENT ON COLUMN legwork.job.tags IS 'For people to filter by. Set by producers.';
COMMENT ON COLUMN legwork.job.metadata IS 'traceparent, request_id and user_id follow the work into logs and spans. Set by producers; by default from the session''s legwork.traceparent, legwork.tracestate and legwork.request_id.';
COMMENT ON INDEX legwork.job_pkey IS 'For completion, cancel, retry, snooze and why, which name a job by id, and for listings, which are pages by id.';
COMMENT ON INDEX legwork.job_ready IS 'For the claim: equality on queue and priority, then in order of seq; holds only rows in line.';
COMMENT ON INDEX legwork.job_waiting IS 'For promotion: rows whose run_at is ahead, in order of run_at.';
COMMENT ON INDEX legwork.job_unique IS 'Enforces the unique key among unfinished jobs, for producers: the arbiter of their ON CONFLICT DO NOTHING.';
COMMENT ON INDEX legwork.job_cancel IS 'For each daemon''s look, once a second, for its own cancelled jobs; almost always empty.';
COMMENT ON INDEX legwork.job_expiry IS 'For maintenance, which discards waiting jobs that have expired; most jobs have no expires_at.';

COMMENT ON TABLE legwork.daemon IS 'One row a running daemon: its heartbeat is the lease of every job it holds. Read by claim, rescue and why().';
COMMENT ON COLUMN legwork.daemon.id IS 'Random 64-bit boot id, new at every start; job.holder points here. For the claim, the heartbeat and rescue.';
COMMENT ON COLUMN legwork.daemon.name IS 'Instance name from the configuration, for people.';
COMMENT ON COLUMN legwork.daemon.version IS 'Version of the binary, for people who roll out.';
COMMENT ON COLUMN legwork.daemon.hostname IS 'Where it runs, for people; never an identity.';
COMMENT ON COLUMN legwork.daemon.started_at IS 'When it registered, for people.';
COMMENT ON COLUMN legwork.daemon.renewed_at IS 'Last heartbeat, by the database''s clock; for people.';
COMMENT ON COLUMN legwork.daemon.expires_at IS 'The daemon is alive until then unless it renews. For rescue.';
COMMENT ON COLUMN legwork.daemon.died_at IS 'Set once, by stop or by rescue; fences every claim and verdict of this daemon from then on.';
COMMENT ON COLUMN legwork.daemon.queues IS 'Queues it serves, for why().';
COMMENT ON COLUMN legwork.daemon.kinds IS 'Kinds it serves, for why().';
COMMENT ON COLUMN legwork.daemon.limits IS 'What it starts at most, for why() and people: {"queues": {"default": {"slots": 10, "rate": "100/s", "burst": 20}}, "kinds": {"send_email": {"rate": "5/s", "burst": 1}}}; a queue without rate and a kind that isn''t there have no rate limit. Null: not published.';
COMMENT ON COLUMN legwork.daemon.load IS 'At renewed_at, for why() and people: slots in use of each queue, and claimed jobs that wait for a rate limit of their queue or kind: {"queues": {"default": {"in_use": 10, "waiting": 3}}, "kinds": {"send_email": {"waiting": 3}}}. Slots that are reserved for a claim in flight count as in use. Null: not published.';
COMMENT ON COLUMN legwork.daemon.wanted IS 'What it was told by tell_daemon(): quiet, drain or shutdown. Read by the daemon; null where nothing.';
COMMENT ON INDEX legwork.daemon_pkey IS 'For heartbeat and for the claim''s proof that its daemon is alive.';

COMMENT ON TABLE legwork.queue IS 'What is decided for a queue at run time or published by daemons; a queue needs no row here.';
COMMENT ON COLUMN legwork.queue.name IS 'The queue, as job.queue has it; for the claim and for people.';
COMMENT ON COLUMN legwork.queue.paused IS 'No daemon claims from a paused queue. Set by pause() and resume(), read by the claim.';
COMMENT ON COLUMN legwork.queue.paused_at IS 'Since when, for people.';
COMMENT ON COLUMN legwork.queue.paused_until IS 'Until when, by the database''s clock; daemons end it by end_overrides(). Null is until resume().';
COMMENT ON COLUMN legwork.queue.draining IS 'It is paused so that nothing of it runs any more; for the people who wait for that. Set by drain().';
COMMENT ON COLUMN legwork.queue.reason IS 'Why, for the people who find it paused.';
COMMENT ON COLUMN legwork.queue.retention_completed IS 'Published by daemons from their configuration, for people; zero keeps nothing, null is not published.';
COMMENT ON COLUMN legwork.queue.retention_cancelled IS 'Published by daemons likewise; cancel() keeps a waiting job in history this long (7 days when null).';
COMMENT ON COLUMN legwork.queue.retention_discarded IS 'Published by daemons likewise; discard() keeps a job in history this long (30 days when null).';
COMMENT ON INDEX legwork.queue_pkey IS 'For the claim''s look at paused.';
COMMENT ON SEQUENCE legwork.job_id_seq IS 'Feeds job.id; cache 1.';
COMMENT ON SEQUENCE legwork.job_seq_seq IS 'Feeds job.seq; cache 1, because the claim''s low-water mark trusts last_value.';
