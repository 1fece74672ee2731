-- Sent on the connection of an attempt before anything else: the function finds the settings that its
-- database and the daemon's role chose, as in psql. Isolation stays as ours: the fence is written for it.
-- The driver names three settings as it connects, and RESET goes back to what it said, which outranks
-- what the server would choose; so that is looked up, in the server's order, while names still mean ours.
RESET timezone;
RESET datestyle;
RESET extra_float_digits;
SELECT set_config(split_part(chosen.setting, '=', 1), substr(chosen.setting, strpos(chosen.setting, '=') + 1), false)
FROM (
    SELECT DISTINCT ON (lower(split_part(c.setting, '=', 1))) c.setting
    FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c (setting)
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
        AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
        AND lower(split_part(c.setting, '=', 1)) IN ('timezone', 'datestyle', 'extra_float_digits')
    ORDER BY lower(split_part(c.setting, '=', 1)), s.setrole <> 0 DESC, s.setdatabase <> 0 DESC
) chosen;
RESET intervalstyle;
RESET search_path;
