#!/usr/bin/env bash
# What a CPU profile costs while it is taken: CPU of a daemon that works off no-op jobs as fast as it can, in a database
# of its own, without a profile and with one at each rate, in turns. The medians, what each adds to none, and how much of it
# the profiler's own thread took: that is exact, and nearly all of it.
#
#   scripts/profile-cost.sh 5 postgres://…/postgres target/release/legwork 99 150 200      # turns, rates
#
# The server has to be one that may be measured on (docs/benchmarks.md). JOBS is how many (600000), PORT is free (9469).
set -euo pipefail

[ $# -ge 4 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64; }
# shellcheck source=scripts/lib-measured.sh
. "$(dirname "$0")/lib-measured.sh"
turns=$1
measure profile_cost "$3" "$2"
shift 3
jobs=${JOBS:-600000} port=${PORT:-9469}
lines=$(mktemp)
profile=''
stop() {
  [ -z "$profile" ] || kill "$profile" 2>/dev/null || true
  [ -z "$daemon" ] || stop_daemon 2>/dev/null || true
  daemon='' profile=''
}
also_end() {
  stop
  rm -f "$lines"
}

cat >"$settings" <<TOML
claim.batch = 1000
complete.flush_max_rows = 1000
admin.listen = "127.0.0.1:$port"
[[queue]]
name = "default"
concurrency = 8000
retention = "none"
[[kind]]
name = "noop"
handler = "noop"
TOML

# Nanoseconds of CPU of every thread of the daemon, the profiler's own among them, which is there until the profile ends; and
# of that one alone.
cpu() {
  local all=0 own=0 thread time _
  for thread in /proc/"$daemon"/task/*; do
    read -r time _ <"$thread/schedstat" || continue
    all=$((all + time))
    [ "$(cat "$thread/comm")" != profiler ] || own=$time
  done 2>/dev/null
  echo "$all $own"
}

drain() { # rate, or none
  local began own ended own_then
  make_database
  psql -qX "$url" -c "INSERT INTO legwork.job (kind) SELECT 'noop' FROM generate_series(1, $jobs)" \
    -c "VACUUM ANALYZE legwork.job" -c "SELECT legwork.pause('default')" -c CHECKPOINT >/dev/null
  start_daemon
  await_daemon "$port"
  if [ "$1" != none ]; then
    curl -fsS -o /dev/null "http://127.0.0.1:$port/debug/pprof/profile?seconds=120&hz=$1" &
    profile=$!
    until cat /proc/"$daemon"/task/*/comm 2>/dev/null | grep -qx profiler; do sleep 0.1; done
  fi
  read -r began own < <(cpu)
  psql -qX "$url" -c "SELECT legwork.resume('default')" >/dev/null
  while has_jobs; do sleep 0.2; done
  [ "$1" = none ] || kill -0 "$profile" || { echo "the profile was over before the jobs were" >&2; exit 1; }
  read -r ended own_then < <(cpu)
  echo "$1 $((ended - began)) $((own_then - own))" | tee -a "$lines" >&2
  stop
}

for _ in $(seq "$turns"); do
  for rate in none "$@"; do drain "$rate"; done
done

sort -k1,1 -k2,2n "$lines" | awk '
  { cpu[$1, ++n[$1]] = $2 / 1e6; own[$1] += $3 / 1e6 }
  function median(rate) { return (cpu[rate, int((n[rate] + 1) / 2)] + cpu[rate, int(n[rate] / 2) + 1]) / 2 }
  END {
    none = median("none")
    for (rate in n)
      printf "%-5s %.0f ms of CPU (%.0f–%.0f), %+.1f %%; its own thread %.1f %%\n", rate, median(rate), cpu[rate, 1],
        cpu[rate, n[rate]], 100 * (median(rate) / none - 1), 100 * own[rate] / n[rate] / none
  }' | sort -n
