-- Requests that are to be done once, however often they are sent: what each key was used for, and what was answered.
--
-- The row is written in the transaction of the jobs that the request enqueues, so that neither is there without the
-- other. Who works at a request holds an advisory lock on its key until then, which nobody's death leaves behind.

CREATE TABLE legwork.request (
    key         text COLLATE "C" CONSTRAINT request_pkey PRIMARY KEY
        CONSTRAINT request_key_is_1_to_255_bytes CHECK (octet_length(key) BETWEEN 1 AND 255),
    fingerprint bytea NOT NULL
        CONSTRAINT request_fingerprint_is_of_32_bytes CHECK (octet_length(fingerprint) = 32),
    answered_at timestamptz NOT NULL DEFAULT now(),
    status      smallint NOT NULL,
    location    text,
    answer      text NOT NULL
        CONSTRAINT request_answer_is_at_most_64_kib CHECK (octet_length(answer) <= 65536)
)
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE INDEX request_answered_at ON legwork.request (answered_at);

COMMENT ON TABLE legwork.request IS 'Answers to HTTP requests with an Idempotency-Key, for a day. Written and pruned by daemons; for nobody else.';
COMMENT ON COLUMN legwork.request.key IS 'Idempotency-Key of the request, by which a daemon finds it.';
COMMENT ON COLUMN legwork.request.fingerprint IS 'SHA-256 of its path and body: daemons refuse another request under the same key.';
COMMENT ON COLUMN legwork.request.answered_at IS 'When; a day later the row is pruned.';
COMMENT ON COLUMN legwork.request.status IS 'The status of the answer, which a daemon gives again.';
COMMENT ON COLUMN legwork.request.location IS 'Its Location, where it had one, which a daemon gives again.';
COMMENT ON COLUMN legwork.request.answer IS 'Its body, which a daemon gives again.';
COMMENT ON INDEX legwork.request_pkey IS 'For daemons, which look a key up and let it be used once.';
COMMENT ON INDEX legwork.request_answered_at IS 'For pruning, which begins with the oldest.';

SELECT legwork.apply_grants();
