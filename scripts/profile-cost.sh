#!/usr/bin/env bash
# What a CPU profile costs, in two parts. While it is taken: CPU of a daemon that works off no-op jobs as fast as it can, in a
# database of its own, without a profile and with one at each rate, in turns; the medians, what each adds to none, and how much of it
# the profiler's own thread took: that is exact, and nearly all of it. And as a whole, to the end of its answer, so with
# the look-up of names: what the first and the second profile of a daemon add to its CPU while it works off PACE jobs a second, and how
# long after the last sample the answer is there; medians, with the least and the most of the turns.
#
#   scripts/profile-cost.sh 5 postgres://…/postgres target/release/legwork 50 99      # turns, rates of 1 to 100; none is the second part alone
#
# The server has to be one that may be measured on (docs/benchmarks.md). JOBS is how many (600000), PORT is free (9469), WHOLE
# says how many seconds the whole profiles take ("5 30"), PACE how many jobs a second there are meanwhile (2000).
set -euo pipefail

[ $# -ge 3 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 64; }
# shellcheck source=scripts/lib-measured.sh
. "$(dirname "$0")/lib-measured.sh"
for rate in "${@:4}"; do
  [[ $rate =~ ^[0-9]+$ && $rate -ge 1 && $rate -le 100 ]] || { echo "$rate isn't a rate of 1 to 100: the daemon refuses others" >&2; exit 64; }
done
turns=$1
measure profile_cost "$3" "$2"
shift 3
jobs=${JOBS:-600000} port=${PORT:-9469}
whole=${WHOLE-5 30} pace=${PACE:-2000}
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

settle() { # what a kind has more
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
$1
TOML
}

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

# Milliseconds of CPU of the daemon, threads that have ended included.
cpu_of_all() { awk -v tick="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); printf "%.0f", ($12 + $13) * 1000 / tick }' /proc/"$daemon"/stat; }

take() { # seconds, of which profile
  if [ "$2" = none ]; then
    sleep "$1"
  else
    curl -fsS -o /dev/null "http://127.0.0.1:$port/debug/pprof/profile?seconds=$1"
  fi
}

whole() { # seconds
  local which cpu began none='' took
  make_database
  psql -qX "$url" -c "INSERT INTO legwork.job (kind) SELECT 'noop' FROM generate_series(1, $pace * (4 * $1 + 30))" -c "VACUUM ANALYZE legwork.job" -c CHECKPOINT >/dev/null
  start_daemon
  await_daemon "$port"
  sleep 2
  for which in none first second; do
    cpu=$(cpu_of_all) began=$(date +%s%3N)
    take "$1" "$which"
    took=$(($(date +%s%3N) - began)) cpu=$(($(cpu_of_all) - cpu))
    none=${none:-$((cpu * 1000 / took))}
    has_jobs || { echo "the jobs were over before the profiles were" >&2; exit 1; }
    # Jobs went on as long as it took.
    echo "$1 $which $((cpu - none * took / 1000)) $((took - 1000 * $1)) $none" | tee -a "$lines" >&2
  done
  stop
}

if [ $# -gt 0 ]; then
  settle ''
  for _ in $(seq "$turns"); do
    for rate in none "$@"; do drain "$rate"; done
  done
fi
sampled=$(cat "$lines")
: >"$lines"
settle "rate_limit = '$pace/s'"
for _ in $(seq "$turns"); do
  for seconds in $whole; do whole "$seconds"; done
done

[ -z "$sampled" ] || sort -k1,1 -k2,2n <<<"$sampled" | awk '
  { cpu[$1, ++n[$1]] = $2 / 1e6; own[$1] += $3 / 1e6 }
  function median(rate) { return (cpu[rate, int((n[rate] + 1) / 2)] + cpu[rate, int(n[rate] / 2) + 1]) / 2 }
  END {
    none = median("none")
    for (rate in n)
      printf "%-5s %.0f ms of CPU (%.0f–%.0f), %+.1f %%; its own thread %.1f %%\n", rate, median(rate), cpu[rate, 1],
        cpu[rate, n[rate]], 100 * (median(rate) / none - 1), 100 * own[rate] / n[rate] / none
  }' | sort -n

sort -k1,1n -k2,2 -k3,3n "$lines" | awk '
  $2 != "none" {
    of = $1 " s, the " $2
    if (!(of in n)) order[++kinds] = of
    cpu[of, ++n[of]] = $3
    late[of] += $4
    if (n[of] == 1 || $4 < soonest[of]) soonest[of] = $4
    if ($4 > latest[of]) latest[of] = $4
  }
  $2 == "none" { none += $5; turns++ }
  END {
    for (i = 1; i <= kinds; i++) {
      of = order[i]
      printf "%-16s %+.0f ms of CPU (%.0f–%.0f), its answer after %.0f ms (%.0f–%.0f)\n", of, (cpu[of, int((n[of] + 1) / 2)] + cpu[of, int(n[of] / 2) + 1]) / 2,
        cpu[of, 1], cpu[of, n[of]], late[of] / n[of], soonest[of], latest[of]
    }
    if (turns) printf "without a profile %.0f ms a second\n", none / turns
  }'
