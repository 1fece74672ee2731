-- Takes the functions away; rows and rights on tables stay as they are.
DROP FUNCTION legwork.assert_lease(bigint, bigint);
DROP FUNCTION legwork.resume(text);
DROP FUNCTION legwork.pause(text, text);
DROP FUNCTION legwork.discard(bigint);
DROP FUNCTION legwork.snooze(bigint, interval);
DROP FUNCTION legwork.retry(bigint);
DROP FUNCTION legwork.cancel(bigint);
DROP FUNCTION legwork.finish_waiting(bigint, legwork.outcome, text, interval);
DROP FUNCTION legwork.enqueue(text, jsonb, text, timestamptz, integer, integer, text, interval, timestamptz, text[], jsonb);
