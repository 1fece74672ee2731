-- Intent: what operators decided and what holds of it: what daemon $1 is told to do, which of the queues $2 are paused and
-- which of these are drained, the overrides of queues, and in how many seconds the next of all that ends. There are a thousand overrides at most
-- (legwork.check_override), and of pauses no more are told than the daemon serves queues.
-- Index: daemon_pkey, queue_pkey; for the next end, queues and overrides are a row a decision and read whole.
-- Planner: no table of jobs. Run each three heartbeat intervals, when notified, and once before a daemon starts to claim.
SELECT (SELECT d.wanted FROM legwork.daemon d WHERE d.id = $1::bigint),
    ARRAY(SELECT q.name::text FROM legwork.queue q WHERE q.paused AND q.name = ANY ($2::text[]) ORDER BY q.name),
    ARRAY(SELECT q.name::text FROM legwork.queue q
        WHERE q.paused AND q.draining AND q.name = ANY ($2::text[]) ORDER BY q.name),
    o.queues, o.settings, o.held,
    (SELECT date_part('epoch', min(e.ends) - clock_timestamp()) FROM (
        SELECT q.paused_until AS ends FROM legwork.queue q WHERE q.paused
        UNION ALL SELECT v.until FROM legwork.override v) e
    WHERE isfinite(e.ends))
FROM (
    SELECT coalesce(array_agg(i.queue), '{}') AS queues, coalesce(array_agg(i.setting), '{}') AS settings,
        coalesce(array_agg(i.value), '{}') AS held
    FROM (SELECT v.queue::text AS queue, v.setting, v.value FROM legwork.override v
        WHERE v.until IS NULL OR v.until > clock_timestamp() ORDER BY v.queue, v.setting LIMIT 1000) i) o
