-- Run after `migrate down` to 0: takes away the table of applied migrations and the schema. Roles stay:
-- they are the cluster's, and other databases may use them. So does a schema that holds something
-- else by now, since it isn't ours to drop.

DROP TABLE IF EXISTS legwork.migration;
DO $remove$
BEGIN
    DROP SCHEMA IF EXISTS legwork;
EXCEPTION
    WHEN dependent_objects_still_exist THEN
        RAISE NOTICE 'schema legwork is kept: it holds objects that no migration made';
END
$remove$;
