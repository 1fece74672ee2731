-- bench_bare_table
-- What an INSERT is compared with: the same columns, defaults and indexes without the triggers.
CREATE TABLE public.bare_job (
    LIKE legwork.job INCLUDING DEFAULTS INCLUDING IDENTITY INCLUDING INDEXES INCLUDING STORAGE
)
