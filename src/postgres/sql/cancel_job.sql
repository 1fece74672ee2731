-- Cancels one job, as people do.
SELECT legwork.cancel($1)
