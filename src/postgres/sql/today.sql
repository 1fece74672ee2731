-- The database's day, from which COPY's drop_after is counted: a COPY can't compute it.
SELECT ((now() AT TIME ZONE 'UTC')::date - date '2000-01-01')::int
