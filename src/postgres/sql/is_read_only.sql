-- Whether nothing can be written on this session: a standby, or a server that has been told so. No
-- table is looked at.
SELECT pg_catalog.pg_is_in_recovery()
    OR pg_catalog.current_setting('transaction_read_only')::boolean
