-- A daemon, and what it claims at once: 1000 bare jobs, and 1000 with everything of their own.
INSERT INTO legwork.daemon (id, expires_at) VALUES (7, now() + interval '1 hour');
INSERT INTO legwork.job (kind, payload) SELECT 'resize', '{"width": 640}' FROM generate_series(1, 1000);
INSERT INTO legwork.job (kind, payload, max_attempts, timeout, expires_at, metadata)
    SELECT 'charge', '{"amount": 12.5}', 5, '30 s', now() + interval '1 hour',
        '{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "user_id": "42"}'
    FROM generate_series(1, 1000);
