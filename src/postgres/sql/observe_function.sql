-- The demo's own function, which its sql jobs call: it books an amount by enqueuing what follows from it, in the
-- transaction that completes its job. One that it can't book it refuses for good (LW065). The schema is the demo's.
CREATE FUNCTION public.book(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF (payload ->> 'amount')::numeric <= 0 THEN
        RAISE EXCEPTION 'nothing to book' USING ERRCODE = 'LW065';
    END IF;
    INSERT INTO legwork.job (kind, payload) VALUES ('noop', payload);
    RETURN jsonb_build_object('booked', payload -> 'amount');
END $$
