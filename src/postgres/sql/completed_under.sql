-- Intent: whether the attempt of this token ($2) completed its job ($1). Index: each partition's on id.
-- Planner: a look into each day's index.
SELECT EXISTS (SELECT FROM legwork.finished WHERE id = $1 AND token = $2 AND outcome = 'completed')
