-- Intent: a page of jobs as list_jobs.sql has it, by what their payloads are ($12 and $13: keys, joined by dots, and what
-- is there as text; a job has to meet all) and, where $14, with the payloads.
-- Index: as list_jobs.sql.
-- Planner: as list_jobs.sql; payloads are rendered of jobs on the page alone. A page ends once its payloads are more than
-- $15 bytes, behind its first job at the earliest.
SELECT json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'next', CASE WHEN count(*) = $6::bigint OR bool_or(page.is_cut) THEN min(page.id) FILTER (WHERE NOT page.is_cut) ELSE (
        SELECT l.id FROM legwork.jobs l
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
        'reason', page.reason, 'tags', coalesce(page.tags, '{}'),
        'payload', CASE WHEN $14 THEN page.payload END) ORDER BY page.id DESC) FILTER (WHERE NOT page.is_cut), '[]'))::text
FROM (
    SELECT w.*, w.bytes > $15::bigint AND w.bytes > w.own AS is_cut
    FROM (
        SELECT o.*, sum(o.own) OVER (ORDER BY o.id DESC) AS bytes
        FROM (
            SELECT s.*, CASE WHEN $14::bool THEN octet_length(s.payload::text) ELSE 0 END AS own FROM (
                SELECT j.id, j.state, j.queue, j.kind, j.priority, j.attempt, j.max_attempts, j.run_at, j.created_at,
                    j.finished_at, j.reason, j.tags, j.payload
                FROM legwork.jobs j
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
                AND NOT EXISTS (SELECT FROM unnest($12::text[], $13::text[]) AS asked (keys, value)
                    WHERE (s.payload #>> string_to_array(asked.keys, '.')) IS DISTINCT FROM asked.value)
            ORDER BY s.id DESC
            LIMIT $6::bigint
        ) o
    ) w
) page
