-- How far the line reaches. A sequence is read without looking at any row.
SELECT last_value FROM legwork.job_seq_seq
