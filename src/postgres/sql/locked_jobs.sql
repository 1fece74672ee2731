-- Which of the jobs $1 somebody holds a lock on that an end or an update would wait for. Asked after such
-- a wait was too long, and before one is tried again. It waits for no row itself; what it locks it lets go
-- at once, and it changes nothing. A job that is gone isn't locked. Index: job_pkey, by `id = ANY`.
WITH free AS (
    SELECT id FROM legwork.job WHERE id = ANY ($1) FOR UPDATE SKIP LOCKED
)
SELECT j.id FROM legwork.job j WHERE j.id = ANY ($1) AND NOT EXISTS (SELECT FROM free f WHERE f.id = j.id)
