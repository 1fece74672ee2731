-- Intent: one page of notes of what people changed, newest first, as one JSON value, with where the next one starts.
-- $1 … $3 filter by action, target and actor, $4 and $5 by age: after a moment, or less than so many seconds ago (null =
-- any). $6 is the id after which the page starts (exclusive, downwards), $7 the page's length, $8 how many notes are
-- looked at for it.
-- Index: audit_pkey backwards from $6; audit_target where a target is given.
-- Planner: $8 ends the way whatever the filters meet, so that a page has a bounded cost and may be short. Where it isn't
-- full, the last note that was looked at is sought once more, since the next page starts behind it.
SELECT json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'next', CASE WHEN count(*) = $7::bigint THEN min(page.id) ELSE (
        SELECT l.id FROM legwork.audit l
        WHERE l.id < $6::bigint AND ($2::text IS NULL OR l.target = $2)
        ORDER BY l.id DESC OFFSET $8::bigint - 1 LIMIT 1) END,
    'notes', coalesce(json_agg(json_build_object(
        'id', page.id, 'at', to_char(page.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'actor', page.actor, 'login', page.login, 'action', page.action, 'target', page.target,
        'reason', page.reason, 'request_id', page.request_id, 'detail', page.detail) ORDER BY page.id DESC), '[]'))::text
FROM (
    SELECT s.* FROM (
        SELECT a.* FROM legwork.audit a
        WHERE a.id < $6::bigint AND ($2::text IS NULL OR a.target = $2)
        ORDER BY a.id DESC
        LIMIT $8::bigint
    ) s
    WHERE ($1::text IS NULL OR s.action = $1)
        AND ($3::text IS NULL OR s.actor = $3)
        AND ($4::text IS NULL OR s.at > $4::timestamptz)
        AND ($5::float8 IS NULL OR s.at > statement_timestamp() - make_interval(secs => $5))
    ORDER BY s.id DESC
    LIMIT $7::bigint
) page
