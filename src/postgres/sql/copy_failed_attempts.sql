-- The records of failed attempts, in bulk. failed_at is the database's clock, by the column's default.
COPY legwork.failed_attempt (job_id, token, holder, attempt, cause, error, duration_ms, drop_after)
FROM STDIN
