-- Whether a dead daemon still holds a job: one that rescue.sql skipped since somebody has locked it. A
-- sequential scan by design, as there; once a look.
SELECT EXISTS (SELECT FROM legwork.job WHERE holder = $1)
