-- History's days that are past.
SELECT name FROM legwork.droppable_partitions()
