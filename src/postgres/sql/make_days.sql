-- History's days that are $1 days from today, one each: a retention may be longer than maintenance makes
-- ahead. Those that exist are left alone.
SELECT count(legwork.make_partitions(day, day))
FROM (SELECT DISTINCT (statement_timestamp() AT TIME ZONE 'UTC')::date + d AS day FROM unnest($1::int[]) AS d) days
