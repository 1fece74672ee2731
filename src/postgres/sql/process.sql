-- Which process of the server answers. No table is looked at.
SELECT pg_catalog.pg_backend_pid()
