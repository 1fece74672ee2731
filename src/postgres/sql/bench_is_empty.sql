-- bench_is_empty
-- Whether no job is unfinished: the moment at which the clock stops.
-- Index: none; a sequential scan that ends at the first row, over whatever dead rows there are.
SELECT NOT EXISTS (SELECT FROM legwork.job)
