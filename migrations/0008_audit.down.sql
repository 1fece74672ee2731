-- Takes the notes and operations away; what was changed stays as it is. The functions that make notes go with
-- migration 0004.
DROP FUNCTION legwork.unchanged_job(bigint, text[]);
DROP FUNCTION legwork.job_version(bigint);
DROP FUNCTION legwork.fail_bulk(bigint, text);
DROP FUNCTION legwork.cancel_bulk(bigint, text);
DROP FUNCTION legwork.step_bulk(bigint, bigint);
DROP FUNCTION legwork.change_in_bulk(legwork.operation, bigint);
DROP FUNCTION legwork.end_bulk(bigint, text, text);
DROP FUNCTION legwork.begin_bulk(text, jsonb, interval, boolean, text, bigint);
DROP FUNCTION legwork.try_bulk(text, jsonb, interval, boolean);
DROP FUNCTION legwork.shown_operation(legwork.operation);
DROP FUNCTION legwork.check_bulk(text, jsonb, interval, boolean);
DROP FUNCTION legwork.match_jobs(text, jsonb, bigint, integer, integer);
DROP TABLE legwork.operation;
DROP FUNCTION legwork.prune_audit(integer);
DROP FUNCTION legwork.asked_by(text, text, text);
DROP FUNCTION legwork.note_job(text, bigint, text, text, text, text);
DROP FUNCTION legwork.note(text, text, text, jsonb);
DROP TABLE legwork.audit;
