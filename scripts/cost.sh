#!/usr/bin/env bash
# What a running daemon costs, a line an interval: statements a second by its own count, CPU of the daemon and of its
# sessions in per cent of a core, resident memory now and at most.
#
#   scripts/cost.sh "$(pidof legwork)" postgres://… 90          # one line, of 90 seconds
#   scripts/cost.sh "$(pidof legwork)" postgres://… 60 10       # ten, of a minute each
#
# The server has to be on this machine, and this user has to be allowed to read its processes' /proc.
# METRICS is where the admin port answers (http://127.0.0.1:9464/metrics).
set -euo pipefail

[ $# -ge 3 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 64; }
pid=$1 url=$2 interval=$3 lines=${4:-1}
metrics=${METRICS:-http://127.0.0.1:9464/metrics}

statements() {
  curl -fsS "$metrics" | awk '/^legwork_db_operation_duration_seconds_count[{]/ { sum += $NF } END { printf "%d", sum }'
}
# Nanoseconds of CPU that processes have had so far, each with all its threads.
cpu() {
  local process sum=0 time _
  for process in "$@"; do
    while read -r time _; do sum=$((sum + time)); done < <(cat /proc/"$process"/task/*/schedstat 2>/dev/null)
  done
  echo "$sum"
}
memory() { awk -v field="$1:" '$1 == field { printf "%.1f", $2 / 1024 }' /proc/"$pid"/status; }

mapfile -t sessions < <(psql -qAtX "$url" -c "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'legwork%'")
for _ in $(seq "$lines"); do
  asked=$(statements) own=$(cpu "$pid") theirs=$(cpu "${sessions[@]}")
  sleep "$interval"
  awk -v asked=$(($(statements) - asked)) -v own=$(($(cpu "$pid") - own)) -v seconds="$interval" \
    -v theirs=$(($(cpu "${sessions[@]}") - theirs)) -v now="$(memory VmRSS)" -v most="$(memory VmHWM)" 'BEGIN {
      printf "%.2f statements/s, daemon %.2f %%, its sessions %.2f %%, %s MiB resident, %s at most\n",
        asked / seconds, own / 1e7 / seconds, theirs / 1e7 / seconds, now, most }'
done
