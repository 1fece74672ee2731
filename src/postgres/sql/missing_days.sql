-- Which of history's partitions for the days $1, counted from today, aren't there. Index:
-- pg_class_relname_nsp_index, once a partition.
SELECT d.name FROM (
    SELECT p.name || '_' || to_char((statement_timestamp() AT TIME ZONE 'UTC')::date + ahead, 'YYYYMMDD')
    FROM unnest(ARRAY['finished', 'failed_attempt']) AS p (name) CROSS JOIN unnest($1::int[]) AS ahead
) AS d (name)
WHERE NOT EXISTS (SELECT FROM pg_class c
    WHERE c.relnamespace = 'legwork'::regnamespace AND c.relispartition AND c.relname = d.name)
ORDER BY d.name
