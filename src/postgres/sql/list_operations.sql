-- Intent: one page of operations, newest first, as one JSON value, with where the next one starts. $1 filters by state
-- (null = any). $2 is the id after which the page starts (exclusive, downwards), $3 the page's length, $4 how many
-- operations are looked at for it.
-- Index: operation_pkey backwards from $2.
-- Planner: $4 ends the way whatever the filter meets, so that a page has a bounded cost and may be short. Where it isn't
-- full, the last operation that was looked at is sought once more, since the next page starts behind it.
SELECT json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'next', CASE WHEN count(*) = $3::bigint THEN min((page.o).id) ELSE (
        SELECT l.id FROM legwork.operation l
        WHERE l.id < $2::bigint
        ORDER BY l.id DESC OFFSET $4::bigint - 1 LIMIT 1) END,
    'operations', coalesce(json_agg(legwork.shown_operation(page.o) ORDER BY (page.o).id DESC), '[]'))::text
FROM (
    SELECT s.o FROM (
        SELECT a AS o FROM legwork.operation a
        WHERE a.id < $2::bigint
        ORDER BY a.id DESC
        LIMIT $4::bigint
    ) s
    WHERE $1::text IS NULL OR (s.o).state = $1
    ORDER BY (s.o).id DESC
    LIMIT $3::bigint
) page
