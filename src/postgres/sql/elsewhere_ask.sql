-- Whether the lock of elsewhere_hold is free here, in which case this is another database, or another server.
-- Let go with the transaction. No table is looked at.
SELECT pg_catalog.pg_try_advisory_xact_lock(5499001762014312291)
