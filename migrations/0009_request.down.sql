-- Forgets which requests were answered: one that is sent again is done again.
DROP TABLE legwork.request;
