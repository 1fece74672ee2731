-- Takes the notes away; what was changed stays as it is. The functions that make notes go with migration 0004.
DROP FUNCTION legwork.prune_audit(integer);
DROP FUNCTION legwork.asked_by(text, text, text);
DROP FUNCTION legwork.note_job(text, bigint, text, text, text, text);
DROP FUNCTION legwork.note(text, text, text, jsonb);
DROP TABLE legwork.audit;
