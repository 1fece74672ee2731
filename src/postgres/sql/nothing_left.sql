-- Whether nothing of a queue's served kinds is in line or runs. For `run --once`; looks at unfinished rows
-- only and stops at the first. A sequential scan at worst, ten times a second, of a table that drains.
-- What waits in a paused queue isn't waited for: nobody knows when it is resumed.
SELECT NOT EXISTS (
    SELECT FROM legwork.job WHERE queue = $1 AND kind = ANY ($2) AND (holder IS NOT NULL OR run_at <= now()
        AND NOT EXISTS (SELECT FROM legwork.queue q WHERE q.name = $1 AND q.paused))
)
