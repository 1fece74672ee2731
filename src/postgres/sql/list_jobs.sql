-- Intent: one page of jobs, unfinished and finished, newest first, as one JSON value, with where the next one
-- starts. $1 … $4 filter by queue, kind, state and tag, $8 … $11 by age: after and before a moment, or so many seconds
-- ago (null = any). $5 is the id after which the page starts (exclusive, downwards), $6 the page's length, $7 how many
-- jobs are looked at for it.
-- Index: job_pkey and each partition's finished_id, both backwards from $5; finished_reason of each where
-- $3 is cancelled or discarded, since a day may have completed jobs only, and all of them would be read.
-- Planner: the view is a UNION ALL of plain selects, so ORDER BY id and LIMIT reach the indexes through a
-- Merge Append and a page costs its own length, wherever it starts. Filters are applied on the way, and $7 ends the way:
-- a filter that nothing meets gives short pages, each of bounded cost, and not one that ends at statement_timeout. Where
-- a page isn't full, the last job that was looked at is sought once more, since the next page starts behind it. A state
-- is that of unfinished jobs or of finished ones: what is said of finished_at leaves the view's other half
-- out. No payload is read.
SELECT json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'next', CASE WHEN count(*) = $6::bigint THEN min(page.id) ELSE (
        SELECT l.id FROM legwork.jobs_public l
        WHERE l.id < $5::bigint
            AND ($3::text IS NULL OR (l.finished_at IS NOT NULL) = ($3 IN ('completed', 'cancelled', 'discarded')))
            AND ($3 IS NULL OR $3 NOT IN ('cancelled', 'discarded') OR l.reason IS NOT NULL)
        ORDER BY l.id DESC OFFSET $7::bigint - 1 LIMIT 1) END,
    'jobs', coalesce(json_agg(json_build_object(
        'id', page.id, 'state', page.state, 'queue', page.queue, 'kind', page.kind,
        'priority', page.priority, 'attempt', page.attempt, 'max_attempts', page.max_attempts,
        'run_at', to_char(page.run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'created_at', to_char(page.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'finished_at', to_char(page.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'reason', page.reason, 'tags', coalesce(page.tags, '{}')) ORDER BY page.id DESC), '[]'))::text
FROM (
    SELECT s.* FROM (
        SELECT j.id, j.state, j.queue, j.kind, j.priority, j.attempt, j.max_attempts, j.run_at, j.created_at,
            j.finished_at, j.reason, j.tags
        FROM legwork.jobs_public j
        WHERE j.id < $5::bigint
            AND ($3::text IS NULL OR (j.finished_at IS NOT NULL) = ($3 IN ('completed', 'cancelled', 'discarded')))
            AND ($3 IS NULL OR $3 NOT IN ('cancelled', 'discarded') OR j.reason IS NOT NULL)
        ORDER BY j.id DESC
        LIMIT $7::bigint
    ) s
    WHERE ($1::text IS NULL OR s.queue = $1)
        AND ($2::text IS NULL OR s.kind = $2)
        AND ($3 IS NULL OR s.state = $3)
        AND ($4::text IS NULL OR $4 = ANY (s.tags))
        AND ($8::text IS NULL OR s.created_at > $8::timestamptz)
        AND ($9::float8 IS NULL OR s.created_at > statement_timestamp() - make_interval(secs => $9))
        AND ($10::text IS NULL OR s.created_at < $10::timestamptz)
        AND ($11::float8 IS NULL OR s.created_at < statement_timestamp() - make_interval(secs => $11))
    ORDER BY s.id DESC
    LIMIT $6::bigint
) page
