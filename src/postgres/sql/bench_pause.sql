-- bench_pause
-- Stops a queue, as an operator does.
SELECT legwork.pause($1::text, 'a benchmark')
