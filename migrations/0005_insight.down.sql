-- Takes the views and what reads away.
DROP FUNCTION legwork.invariants(interval);
DROP FUNCTION legwork.backlog(text);
DROP FUNCTION legwork.why(bigint);
DROP VIEW legwork.jobs_public;
DROP VIEW legwork.jobs;
