-- bench_drop_database
-- The statement that drops a benchmark's database, whoever is still connected to it.
SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', $1::text)
