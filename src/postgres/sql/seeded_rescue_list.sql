-- A bug, see src/seeded.rs: which jobs a dead daemon has, to be put back later. No index, as rescue.sql.
SELECT id FROM legwork.job WHERE holder = $1 LIMIT 1000
