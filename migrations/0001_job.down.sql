-- Takes away the live table: unfinished jobs are lost, which is what going below version 1 means.
DROP TABLE legwork.queue;
DROP TABLE legwork.daemon;
DROP TABLE legwork.job;
DROP DOMAIN legwork.metadata;
DROP DOMAIN legwork.tags;
DROP DOMAIN legwork.key;
DROP DOMAIN legwork.attempt_timeout;
DROP DOMAIN legwork.max_attempts;
DROP DOMAIN legwork.priority;
DROP DOMAIN legwork.expiry_time;
DROP DOMAIN legwork.run_time;
DROP DOMAIN legwork.payload;
DROP DOMAIN legwork.queue_name;
DROP DOMAIN legwork.kind_name;
