-- Whether nothing of a queue's served kinds is in line or runs. For `run --once`; looks at unfinished rows
-- only and stops at the first. A sequential scan at worst, ten times a second, of a table that drains.
SELECT NOT EXISTS (
    SELECT FROM legwork.job WHERE queue = $1 AND kind = ANY ($2) AND (holder IS NOT NULL OR run_at <= now())
)
