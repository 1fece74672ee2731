-- Reads how far the line reaches, and asks producers to ring for the next $1 seconds.
UPDATE legwork.doorbell SET until = clock_timestamp() + make_interval(secs => $1)
RETURNING (SELECT last_value FROM legwork.job_seq_seq)
