-- Sent on the connection of an attempt before anything else: the function finds the settings that its
-- database and its role's owner chose, as in psql. Isolation stays as ours: the fence is written for it.
RESET search_path;
RESET timezone;
RESET datestyle;
RESET intervalstyle;
