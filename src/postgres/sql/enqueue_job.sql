-- Intent: enqueue one job; no row where an unfinished job has its unique key. $4 wins over $5, the
-- delay from now; both absent is now. Without $12 the session's trace and request are the metadata.
-- Index: job_unique is the arbiter of the conflict; the row enters job_pkey and job_ready or job_waiting.
-- Planner: an insert of one row of constants. It names no conflict target, which would take a right
-- that producers lack. Nulls stand for the table's defaults where those aren't null.
INSERT INTO legwork.job
    (kind, payload, queue, run_at, priority, max_attempts, unique_key, timeout, expires_at, tags, metadata)
VALUES ($1::text, coalesce($2::text, '{}')::jsonb, coalesce($3::text, 'default'),
    coalesce($4::text::timestamptz, now() + $5::text::interval, now()), coalesce($6::smallint, 0::smallint),
    $7::smallint, $8::text, $9::text::interval, $10::text::timestamptz, $11::text[],
    coalesce($12::text::jsonb, CASE
        WHEN coalesce(current_setting('legwork.traceparent', true), '') <> ''
            OR coalesce(current_setting('legwork.request_id', true), '') <> ''
        THEN jsonb_strip_nulls(jsonb_build_object(
            'traceparent', nullif(left(current_setting('legwork.traceparent', true), 257), ''),
            'tracestate', CASE WHEN coalesce(current_setting('legwork.traceparent', true), '') <> ''
                THEN nullif(left(current_setting('legwork.tracestate', true), 513), '') END,
            'request_id', nullif(left(current_setting('legwork.request_id', true), 257), '')))
    END))
ON CONFLICT DO NOTHING
RETURNING id
