-- Daemons that died within the last hour, after which they are forgotten.
SELECT id FROM legwork.daemon WHERE died_at > clock_timestamp() - interval '1 hour'
