-- Intent: end the overrides and pauses whose time is over; says how many those were.
-- Index: none; a row a decision, read whole inside legwork.end_overrides.
-- Planner: one function call, no table of its own.
SELECT legwork.end_overrides()
