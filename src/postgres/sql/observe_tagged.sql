-- Ids of the demo's unfinished jobs that have one of the tags $1. Asked once, while there are no others: a
-- sequential scan.
SELECT id FROM legwork.job WHERE tags::text[] && $1::text[] ORDER BY id LIMIT 1000
