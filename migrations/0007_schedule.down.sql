-- Forgets how far schedules are: a daemon that has them goes on from when the table is made again.
DROP TABLE legwork.schedule;
