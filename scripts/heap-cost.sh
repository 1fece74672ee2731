#!/usr/bin/env bash
# What heap profiling costs: CPU of a drain's own process with jemalloc's profiling off, armed and active, in turns, and
# the ratio to off. A binary from before it was built in can be laid beside them.
#
#   scripts/heap-cost.sh 5 postgres://… target/release/legwork               # off, armed, active
#   scripts/heap-cost.sh 5 postgres://… target/release/legwork old-legwork   # and that
#
# The server has to be one that may be measured on (docs/benchmarks.md). JOBS is how many (300000).
set -euo pipefail

[ $# -ge 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64; }
rounds=$1 url=$2 binary=$3 old=${4:-}
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT

drain() { # side options binary
  local line
  line=$(_RJEM_MALLOC_CONF=$2 "$3" bench drain --jobs "${JOBS:-300000}" --history off --database-url "$url" --output json | grep '^{' | tail -1)
  echo "$1 $(sed -n 's/.*"worker_cpu_us_per_job": *\([0-9.]*\).*/\1/p' <<<"$line") $(sed -n 's/.*"worker_cpu_s": *\([0-9.]*\).*/\1/p' <<<"$line")" | tee -a "$lines" >&2
}

for _ in $(seq "$rounds"); do
  [ -z "$old" ] || drain before "" "$old"
  drain off prof:false "$binary"
  drain armed prof_active:false "$binary"
  drain active prof_active:true "$binary"
done

sort -k1,1 -k3,3n "$lines" | awk '
  { seconds[$1, ++n[$1]] = $3 }
  function median(side) { return (seconds[side, int((n[side] + 1) / 2)] + seconds[side, int(n[side] / 2) + 1]) / 2 }
  END {
    for (side in n)
      printf "%-7s %.3f s of CPU (%.3f–%.3f), %.3f of off\n", side, median(side), seconds[side, 1], seconds[side, n[side]], median(side) / median("off")
  }'
