-- Reads how far the line reaches, and asks producers to ring for the next $1 seconds.
SELECT last_value
FROM legwork.job_seq_seq,
    setval('legwork.doorbell', ceil(date_part('epoch', clock_timestamp()) + $1)::bigint)
