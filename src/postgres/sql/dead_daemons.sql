-- Daemons that died within the last hour: their jobs are looked for again, since a claim that was in
-- flight may have committed after the first look.
SELECT id FROM legwork.daemon WHERE died_at > clock_timestamp() - interval '1 hour'
