-- The wake hint: a statement trigger that notifies only while an idle daemon listens.
--
-- A NOTIFY takes a lock of the whole database at commit: with 16 clients inserting, ringing at every
-- statement turns 16 k/s into 4 k/s. So the doorbell is a mode. An idle daemon extends `until` every
-- few seconds while few jobs arrive, a busy one sets it to the past; nothing depends on the hint.

CREATE TABLE legwork.doorbell (
    one_row boolean NOT NULL DEFAULT true,
    until   timestamptz NOT NULL,
    CONSTRAINT doorbell_pkey PRIMARY KEY (one_row),
    CONSTRAINT doorbell_has_one_row CHECK (one_row)
)
-- Read by every INSERT statement: one page for ever, its updates HOT and pruned in place.
WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);
INSERT INTO legwork.doorbell (until) VALUES ('2000-01-01 00:00:00+00');

-- Runs as the producer, who may read the doorbell and nothing else: no SECURITY DEFINER to hijack. Every
-- name is qualified because the producer's search_path applies. clock_timestamp(), since a transaction
-- may have been open for long when it inserts.
CREATE FUNCTION legwork.ring() RETURNS trigger
LANGUAGE plpgsql
AS $function$
BEGIN
    IF EXISTS (SELECT FROM legwork.doorbell d WHERE d.until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()) THEN
        PERFORM pg_catalog.pg_notify('legwork', '');
    END IF;
    RETURN NULL;
END
$function$;

CREATE TRIGGER ring AFTER INSERT ON legwork.job FOR EACH STATEMENT EXECUTE FUNCTION legwork.ring();

GRANT SELECT ON legwork.doorbell TO PUBLIC;

COMMENT ON TABLE legwork.doorbell IS 'Whether an INSERT rings. Written by daemons, read by every producer''s statement.';
COMMENT ON COLUMN legwork.doorbell.one_row IS 'Keeps the table at one row, for daemons that UPDATE it without a WHERE.';
COMMENT ON COLUMN legwork.doorbell.until IS 'INSERTs notify until this moment. Set by daemons, read by the trigger.';
COMMENT ON INDEX legwork.doorbell_pkey IS 'Keeps the table at one row, for daemons that UPDATE it without a WHERE.';
COMMENT ON FUNCTION legwork.ring() IS 'Wakes idle daemons. For the trigger of the same name on legwork.job.';
COMMENT ON TRIGGER ring ON legwork.job IS 'Wakes idle daemons, once a statement, while the doorbell is on.';
