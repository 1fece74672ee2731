-- Takes overrides away: what the daemons' files say holds again.
DROP FUNCTION legwork.unchanged_queue(text, text[]);
DROP FUNCTION legwork.queue_version(text);
DROP FUNCTION legwork.tell_daemon(bigint, text, text);
DROP FUNCTION legwork.end_overrides();
DROP FUNCTION legwork.reset_queue(text, text, text);
DROP FUNCTION legwork.override_queue(text, integer, text, timestamptz, text);
DROP FUNCTION legwork.check_override(text, integer, text, timestamptz);
DROP TABLE legwork.override;
