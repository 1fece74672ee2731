-- Whether the other end is still there.
SELECT 1
