-- Takes history away, days and all; unfinished jobs stay.
DROP FUNCTION legwork.owns_history();
DROP FUNCTION legwork.drop_partition(text);
DROP FUNCTION legwork.droppable_partitions();
DROP FUNCTION legwork.make_partitions(date, date);
DO $down$
DECLARE
    leftover text;
BEGIN
    -- Days that an interrupted pruning detached are no longer dropped with their parent.
    FOR leftover IN
        SELECT c.relname FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'legwork'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
            AND c.relname ~ '^(finished|failed_attempt)_[0-9]{8}$'
    LOOP
        EXECUTE pg_catalog.format('DROP TABLE legwork.%I', leftover);
    END LOOP;
END
$down$;
DROP TABLE legwork.failed_attempt;
DROP TABLE legwork.finished;
DROP TYPE legwork.outcome;
