-- Rows of daemons that died long ago and hold nothing: an hour is far longer than any claim in flight.
DELETE FROM legwork.daemon WHERE died_at < clock_timestamp() - interval '1 hour'
