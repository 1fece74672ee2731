-- Which of the dead daemons $1 hold jobs. A sequential scan by design, as in rescue.sql: one for all of them,
-- since after a rollout there are many who hold nothing.
SELECT DISTINCT holder FROM legwork.job WHERE holder = ANY ($1)
