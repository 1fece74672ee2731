-- Sent once on every connection: what a role's or a database's own settings could otherwise change.
-- READ COMMITTED, since SKIP LOCKED and the fences are written for it; the formats, since we read
-- text; synchronous_commit stays as the operator set it, for that is theirs to weigh.
SET default_transaction_isolation = 'read committed';
SET idle_in_transaction_session_timeout = '10s';
SET search_path = pg_catalog, legwork;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
