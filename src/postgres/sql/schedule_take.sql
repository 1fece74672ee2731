-- Intent: have a schedule $1 go on by the rule $2 of the daemon $3, where it is still the one of $4, who is gone.
-- By another rule it goes on from now; done_until is never lowered, so that no instant comes twice.
-- Index: schedule_pkey. The row's lock decides between two that take it at once.
UPDATE legwork.schedule s
SET daemon = $3::bigint, rule = $2::text, done_until = CASE WHEN s.rule = $2::text THEN s.done_until
    ELSE greatest(s.done_until, date_trunc('second', statement_timestamp())) END
WHERE s.name = $1::text AND s.daemon IS NOT DISTINCT FROM $4::bigint
