-- bench_create_database
-- The statement that makes a database of this name, quoted by the server. CREATE DATABASE takes no
-- parameters, and a benchmark's database goes by a name that nobody else uses.
SELECT format('CREATE DATABASE %I', $1::text)
