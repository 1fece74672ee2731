-- History's days from today on, $1 of them; those that exist are left alone.
SELECT legwork.make_partitions(today, today + $1)
FROM (SELECT (statement_timestamp() AT TIME ZONE 'UTC')::date AS today) t
