-- Intent: what COPY can't ask for: the moment from which delays count, by the database's clock, and the
-- metadata of rows that bring none, as the column's default has it.
-- Index: none, it reads no table.
-- Planner: constants of the session.
SELECT now(), CASE
    WHEN coalesce(current_setting('legwork.traceparent', true), '') <> ''
        OR coalesce(current_setting('legwork.request_id', true), '') <> ''
    THEN jsonb_strip_nulls(jsonb_build_object(
        'traceparent', nullif(left(current_setting('legwork.traceparent', true), 257), ''),
        'tracestate', CASE WHEN coalesce(current_setting('legwork.traceparent', true), '') <> ''
            THEN nullif(left(current_setting('legwork.tracestate', true), 513), '') END,
        'request_id', nullif(left(current_setting('legwork.request_id', true), 257), '')))::text
END
