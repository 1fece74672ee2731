-- Takes the wake hint away; daemons then poll.
DROP TRIGGER ring ON legwork.job;
DROP FUNCTION legwork.ring();
DROP SEQUENCE legwork.doorbell;
