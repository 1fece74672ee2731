#!/usr/bin/env bash
# The most memory that a daemon takes while it works off a backlog of jobs with payloads of 1 KiB as fast as it can, in
# a database of its own: 8,000 slots, claims and flushes of 1,000, history on.
#
#   scripts/memory.sh target/release/legwork postgres://…/postgres 600000        # jobs
set -euo pipefail

[ $# -eq 3 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 64; }
legwork=$1 server=$2 jobs=$3
database=legwork_memory_$$
url=${server%/*}/$database
settings=$(mktemp --suffix .toml)
log=$(mktemp)
daemon=''
trap 'rm -f "$settings" "$log"; [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; psql -qX "$server" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)"' EXIT

psql -qX "$server" -c "CREATE DATABASE $database"
"$legwork" migrate up --database-url "$url" >/dev/null
psql -qX "$url" <<SQL
INSERT INTO legwork.job (kind, payload)
    SELECT 'noop', jsonb_build_object('text', (SELECT string_agg(md5((n * 33 + part)::text), '') FROM generate_series(1, 32) part))
    FROM generate_series(1, $jobs) n;
VACUUM ANALYZE legwork.job;
CHECKPOINT;
SQL
cat >"$settings" <<TOML
claim.batch = 1000
complete.flush_max_rows = 1000
admin.listen = "off"
[[queue]]
name = "default"
concurrency = 8000
[[kind]]
name = "noop"
handler = "noop"
TOML
began=$(date +%s%N)
"$legwork" --config "$settings" run --database-url "$url" >"$log" 2>&1 &
daemon=$!
while [ "$(psql -qAtX "$url" -c 'SELECT EXISTS (SELECT FROM legwork.job)')" = t ]; do
  kill -0 "$daemon" 2>/dev/null || { tail -5 "$log" >&2; exit 1; }
  sleep 0.2
done
took=$(($(date +%s%N) - began))
most=$(awk '$1 == "VmHWM:" { printf "%.0f", $2 / 1024 }' /proc/$daemon/status)
kill "$daemon"
wait "$daemon"
daemon=''
echo "$most MiB at most, $((jobs * 1000000000 / took)) jobs/s"
