-- How far each schedule is: the one thing about it that daemons have to agree on.
--
-- What a schedule does stands in the daemons' files. Here is the instant until which everything is dealt
-- with; whoever enqueues for an instant moves it on in the same statement, under the row's lock, so that
-- any number of daemons and restarts enqueue once for each.

CREATE TABLE legwork.schedule (
    name       text CONSTRAINT schedule_pkey PRIMARY KEY
        CONSTRAINT schedule_name_is_1_to_128_of_letters_digits_dot_colon_dash
            CHECK (octet_length(name) BETWEEN 1 AND 128 AND name COLLATE "C" !~ '[^A-Za-z0-9_.:-]'),
    rule       text NOT NULL,
    daemon     bigint,
    done_until timestamptz NOT NULL,
    last_fire  timestamptz,
    last_job   bigint
)
-- One row a schedule, rewritten at each instant: free space keeps those updates HOT.
WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

COMMENT ON TABLE legwork.schedule IS 'How far each schedule is. Written by daemons; a row that is deleted is made anew and its schedule goes on from then.';
COMMENT ON COLUMN legwork.schedule.name IS 'The schedule, as the daemons'' files name it.';
COMMENT ON COLUMN legwork.schedule.rule IS 'Cron pattern and zone of the daemon that started last; a daemon with another rule lets it be. Empty: no daemon has had it.';
COMMENT ON COLUMN legwork.schedule.daemon IS 'Boot id of the daemon whose rule it is; once that is gone, another that has the schedule takes it.';
COMMENT ON COLUMN legwork.schedule.done_until IS 'Every instant until then is dealt with, by the database''s clock. The guard of the daemon that enqueues.';
COMMENT ON COLUMN legwork.schedule.last_fire IS 'The last instant that enqueued a job, for people.';
COMMENT ON COLUMN legwork.schedule.last_job IS 'The job that was enqueued last: while it is unfinished, daemons whose overlap is skip enqueue no other.';
COMMENT ON INDEX legwork.schedule_pkey IS 'For daemons, which look at and advance a schedule by its name.';

SELECT legwork.apply_grants();
