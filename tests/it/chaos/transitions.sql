-- The oracle's record of what became of rows. Of the test alone: the product has no row trigger.
--
-- `seq` is drawn while the row is locked, so it is the order of commits for one job; transactions that
-- were rolled back leave gaps. `history.rs` says what each column means.
CREATE SCHEMA chaos;
CREATE TABLE chaos.transition (
    seq           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job           bigint NOT NULL,
    uid           text NOT NULL,
    op            text NOT NULL,
    "from"        text,
    "to"          text,
    token_before  bigint,
    token         bigint NOT NULL,
    holder_before bigint,
    holder        bigint,
    holder_died   boolean,
    attempt       bigint NOT NULL,
    rescues       bigint NOT NULL,
    snoozes       bigint NOT NULL,
    result_token  bigint,
    at_us         bigint NOT NULL DEFAULT extract(epoch FROM clock_timestamp()) * 1000000
);

-- By the columns alone, not by now(): a row is in line when promotion has put it there.
CREATE FUNCTION chaos.state(j legwork.job) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN j.holder IS NOT NULL THEN 'running'
        WHEN j.run_at <= j.ready_at THEN 'available'
        WHEN j.attempt > 0 THEN 'retryable'
        ELSE 'scheduled'
    END
$$;

CREATE FUNCTION chaos.uid(payload jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT split_part(payload #>> '{}', ' ', 1)
$$;

CREATE FUNCTION chaos.note_job() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    j    legwork.job := coalesce(new, old);
    died boolean;
BEGIN
    IF tg_op <> 'INSERT' AND old.holder IS NOT NULL THEN
        SELECT d.died_at IS NOT NULL INTO died FROM legwork.daemon d WHERE d.id = old.holder;
    END IF;
    INSERT INTO chaos.transition (job, uid, op, "from", "to", token_before, token, holder_before,
        holder, holder_died, attempt, rescues, snoozes)
    VALUES (j.id, chaos.uid(j.payload), lower(tg_op),
        CASE WHEN tg_op <> 'INSERT' THEN chaos.state(old) END,
        CASE WHEN tg_op <> 'DELETE' THEN chaos.state(new) END,
        CASE WHEN tg_op <> 'INSERT' THEN old.token END, j.token,
        CASE WHEN tg_op <> 'INSERT' THEN old.holder END, j.holder,
        died, j.attempt, j.rescues, j.snoozes);
    RETURN NULL;
END
$$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON legwork.job
    FOR EACH ROW EXECUTE FUNCTION chaos.note_job();

CREATE FUNCTION chaos.note_finished() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.transition (job, uid, op, "to", token, holder, attempt, rescues, snoozes, result_token)
    VALUES (new.id, chaos.uid(new.payload), 'finished', new.outcome, new.token, new.holder, new.attempt,
        new.rescues, new.snoozes, (new.result ->> 'token')::bigint);
    RETURN NULL;
END
$$;
CREATE TRIGGER note AFTER INSERT ON legwork.finished
    FOR EACH ROW EXECUTE FUNCTION chaos.note_finished();
