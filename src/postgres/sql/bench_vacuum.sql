-- bench_vacuum
-- Statistics and visibility as of a table that has been there for a while.
VACUUM ANALYZE
