-- Holders that no daemon's row stands for: left over where rows were restored, or a rescue missed them until
-- the daemon was forgotten. A daemon registers before it claims, so a snapshot that shows the claim shows
-- its row; and an id is never used twice, so what isn't known here never will be. A sequential scan, as
-- in rescue.sql, once an hour.
SELECT DISTINCT j.holder FROM legwork.job j
WHERE j.holder IS NOT NULL AND NOT EXISTS (SELECT FROM legwork.daemon d WHERE d.id = j.holder)
