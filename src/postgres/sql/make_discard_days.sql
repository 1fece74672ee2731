-- Makes the days until which a job that is discarded now is kept, for each retention that a queue has.
-- No index: a row a queue. For when expire.sql met a day that isn't there yet.
SELECT legwork.make_partitions(day, day) FROM (
    SELECT ((now() + interval '30 days') AT TIME ZONE 'UTC')::date
    UNION
    SELECT ((now() + retention_discarded) AT TIME ZONE 'UTC')::date FROM legwork.queue
    WHERE retention_discarded > interval '0'
) AS d (day)
