-- Intent: a function whose daemon was killed ends within a second, and not when it is done. The setting
-- came with Postgres 14, and systems that can't look refuse it: then statement_timeout is what is left.
-- Index: none is read. Planner: a view of the server's memory.
SELECT set_config(name, '1s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'
