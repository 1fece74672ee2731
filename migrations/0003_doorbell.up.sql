-- The wake hint: a statement trigger that notifies only while an idle daemon listens.
--
-- A NOTIFY takes a lock of the whole database at commit: with 16 clients inserting, ringing at every
-- statement turns 16 k/s into 4 k/s. So the doorbell is a mode. An idle daemon moves its end on every
-- few seconds while few jobs arrive, a busy one sets it to the past; nothing depends on the hint.

-- A sequence and not a table, because every INSERT statement of every producer reads it: an expression
-- reads a sequence, a table takes a query, which costs a single-row INSERT 3 % more. It leaves nothing to
-- vacuum either. It counts nothing: its value is a moment, in seconds since 1970.
CREATE SEQUENCE legwork.doorbell AS bigint MINVALUE 0;
SELECT pg_catalog.setval('legwork.doorbell', 0);

-- Runs as the producer, who may read the doorbell and nothing else: no SECURITY DEFINER to hijack. Every
-- name is qualified because the producer's search_path applies. clock_timestamp(), since a transaction
-- may have been open for long when it inserts.
CREATE FUNCTION legwork.ring() RETURNS trigger
LANGUAGE plpgsql
AS $function$
BEGIN
    IF pg_catalog.pg_sequence_last_value('legwork.doorbell'::pg_catalog.regclass)
        OPERATOR(pg_catalog.>) pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())
    THEN
        PERFORM pg_catalog.pg_notify('legwork', '');
    END IF;
    RETURN NULL;
END
$function$;

CREATE TRIGGER ring AFTER INSERT ON legwork.job FOR EACH STATEMENT EXECUTE FUNCTION legwork.ring();

GRANT SELECT ON SEQUENCE legwork.doorbell TO PUBLIC;

COMMENT ON SEQUENCE legwork.doorbell IS 'INSERTs notify until this moment, in seconds since 1970. Set by daemons, read by every producer''s statement.';
COMMENT ON FUNCTION legwork.ring() IS 'Wakes idle daemons. For the trigger of the same name on legwork.job.';
COMMENT ON TRIGGER ring ON legwork.job IS 'Wakes idle daemons, once a statement, while the doorbell is on.';
