-- The newest migration that was applied. Index: none; the table has a dozen rows.
SELECT coalesce(max(version), 0)::bigint FROM legwork.migration
