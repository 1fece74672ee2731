-- Running jobs of ours that somebody wants stopped. Index: job_cancel (holder), almost always empty.
SELECT id, token FROM legwork.job WHERE cancel_requested AND holder = $1 LIMIT 1000
