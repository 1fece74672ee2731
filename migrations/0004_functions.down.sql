-- Takes the functions away; rows and rights on tables stay as they are.
DROP FUNCTION legwork.assert_lease(bigint, bigint);
DROP FUNCTION legwork.resume(text, text);
DROP FUNCTION legwork.drain(text, text, timestamptz);
DROP FUNCTION legwork.pause(text, text, timestamptz);
DROP FUNCTION legwork.halt(text, text, timestamptz, boolean);
DROP FUNCTION legwork.discard(bigint, text);
DROP FUNCTION legwork.discard_one(bigint, text, boolean);
DROP FUNCTION legwork.snooze(bigint, interval, text);
DROP FUNCTION legwork.snooze_one(bigint, interval, text, boolean);
DROP FUNCTION legwork.retry(bigint, text);
DROP FUNCTION legwork.retry_one(bigint, text, boolean);
DROP FUNCTION legwork.cancel(bigint, text);
DROP FUNCTION legwork.cancel_one(bigint, text, boolean);
DROP FUNCTION legwork.lock_job(bigint);
DROP FUNCTION legwork.finish_waiting(bigint, legwork.outcome, text, interval);
DROP FUNCTION legwork.enqueue(text, jsonb, text, timestamptz, integer, integer, text, interval, timestamptz, text[], jsonb);
