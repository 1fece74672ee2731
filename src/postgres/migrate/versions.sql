-- The table of applied migrations: sqlx's own shape, made here so that it lies in the schema, belongs
-- to its owner, carries comments, and is part of what `legwork migrate sql` prints.

CREATE TABLE IF NOT EXISTS legwork.migration (
    version        bigint PRIMARY KEY,
    description    text NOT NULL,
    installed_on   timestamptz NOT NULL DEFAULT now(),
    success        boolean NOT NULL,
    checksum       bytea NOT NULL,
    execution_time bigint NOT NULL
);
COMMENT ON TABLE legwork.migration IS 'Applied migrations. For the migrator, and for every daemon''s check of the schema at start.';
COMMENT ON COLUMN legwork.migration.version IS 'The migration''s number, for the migrator and for every daemon''s check of the schema.';
COMMENT ON COLUMN legwork.migration.description IS 'The migration''s name, for people.';
COMMENT ON COLUMN legwork.migration.installed_on IS 'When it was applied, for people.';
COMMENT ON COLUMN legwork.migration.success IS 'Always true, since a migration and its row are one transaction; for the migrator, which looks at it.';
COMMENT ON COLUMN legwork.migration.checksum IS 'SHA-384 of its text, so that the migrator notices a changed one.';
COMMENT ON COLUMN legwork.migration.execution_time IS 'How long it took, in nanoseconds, for people; -1 where that isn''t known.';
COMMENT ON INDEX legwork.migration_pkey IS 'One row a migration, for migrators that run at the same time.';
