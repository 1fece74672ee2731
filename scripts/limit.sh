#!/usr/bin/env bash
# What claiming and completing can do at most on a server: two pgbench clients claim by UPDATE with SKIP LOCKED, send
# the ids back and delete them, in a table with the fewest columns that a queue needs, in a database of its own.
#
#   scripts/limit.sh postgres://…/postgres 300000 1000      # jobs, jobs of a batch; prints jobs a second
#
# No fence, no heartbeat, no limits, no history, no metrics: what `legwork bench drain` is compared with.
set -euo pipefail

[ $# -eq 3 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 64; }
server=$1 jobs=$2 batch=$3
database=legwork_limit_$$
url=${server%/*}/$database
script=$(mktemp)
trap 'rm -f "$script"; psql -qX "$server" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)"' EXIT

psql -qX "$server" -c "CREATE DATABASE $database"
psql -qX "$url" <<SQL
CREATE TABLE job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state smallint NOT NULL DEFAULT 0,
    attempt smallint NOT NULL DEFAULT 0,
    kind text NOT NULL,
    payload jsonb NOT NULL
);
CREATE INDEX job_ready ON job (id) WHERE state = 0;
INSERT INTO job (kind, payload) SELECT 'noop', '{}' FROM generate_series(1, $jobs);
VACUUM ANALYZE job;
CHECKPOINT;
SQL
cat >"$script" <<SQL
WITH claimed AS (
    UPDATE job SET state = 1, attempt = attempt + 1
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM job WHERE state = 0 ORDER BY id LIMIT $batch FOR UPDATE SKIP LOCKED))
    RETURNING id, kind, payload, attempt)
SELECT coalesce(array_agg(id), '{}')::text AS ids FROM claimed \\gset
DELETE FROM job WHERE id = ANY (:ids::bigint[]) AND state = 1;
SQL
ran=$(pgbench -n -M prepared -c 2 -j 2 -t $((jobs / batch / 2)) -f "$script" "$url")
awk -v batch="$batch" '/^tps/ { printf "%.0f jobs/s\n", $3 * batch }' <<<"$ran"
