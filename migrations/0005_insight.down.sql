-- Takes the views and what reads away.
DROP FUNCTION legwork.invariants(interval);
DROP FUNCTION legwork.backlog(text);
DROP FUNCTION legwork.why(bigint);
DROP FUNCTION legwork.rate_limit_gates(text, text, bigint, bigint);
DROP FUNCTION legwork.slots_gate(text, text);
DROP FUNCTION legwork.quiet_gate(text, text);
DROP FUNCTION legwork.serving(text, text);
DROP VIEW legwork.jobs_public;
DROP VIEW legwork.jobs;
