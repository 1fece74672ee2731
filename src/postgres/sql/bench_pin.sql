-- bench_pin
-- A snapshot that is held for as long as the session lives: no row that dies from now on can be
-- removed. No limit of the server's or the role's may end it before.
SET idle_in_transaction_session_timeout = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM legwork.job
