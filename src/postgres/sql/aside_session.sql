-- For the session that ends what was given up and asks whether a COMMIT was made: it waits for a row no
-- longer than this and asks again, since others may wait for it.
SET lock_timeout = '2s';
