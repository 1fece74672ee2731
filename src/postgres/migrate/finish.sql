-- Run after every `migrate up`, and last in what `legwork migrate sql` prints: grants for roles that
-- came since the last time, and history's days from today to 35 days ahead. Can be run again at any
-- time. 35 days are the longest default retention (30 days) and some; maintenance keeps them ahead.

SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('legwork.prepare', 0));
SELECT legwork.apply_grants();
SELECT legwork.make_partitions(today, today + 35)
FROM (SELECT (pg_catalog.statement_timestamp() AT TIME ZONE 'UTC')::date AS today) t;
