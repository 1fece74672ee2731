#!/usr/bin/env bash
# The most memory that a daemon takes while it works off a backlog of jobs with payloads of 1 KiB as fast as it can, in
# a database of its own: 8,000 slots, claims and flushes of 1,000, history on.
#
#   scripts/memory.sh target/release/legwork postgres://…/postgres 600000        # jobs
set -euo pipefail

[ $# -eq 3 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 64; }
# shellcheck source=scripts/lib-measured.sh
. "$(dirname "$0")/lib-measured.sh"
measure memory "$1" "$2"
jobs=$3

make_database
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
start_daemon
while has_jobs; do
  lives
  sleep 0.2
done
took=$(($(date +%s%N) - began))
most=$(field VmHWM)
stop_daemon
echo "$most MiB at most, $((jobs * 1000000000 / took)) jobs/s"
