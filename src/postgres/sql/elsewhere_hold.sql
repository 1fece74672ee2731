-- Holds, for as long as this session lives, a lock that whoever asks the same database finds taken. Shared, so that
-- daemons that start at once don't wait for each other. No table is looked at.
SELECT pg_catalog.pg_advisory_lock_shared(5499001762014312291)
