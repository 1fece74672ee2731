#!/usr/bin/env bash
# Lays two drains side by side: runs them in turns on one server, so that a slow minute of the machine
# hits both, and prints the median rate of each, their ratio, and the ratio of each pair of turns.
#
#   scripts/beside.sh 5 'legwork bench drain --jobs 300000 --history off --output json' 'other-queue drain'
#
# Each command prints a line of JSON with the fields of docs/benchmarks.md; `peer` and `jobs_per_s` are read.
set -euo pipefail

[ $# -eq 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64; }
rounds=$1
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT

field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

for round in $(seq "$rounds"); do
  for side in 1 2; do
    [ $side -eq 1 ] && command=$2 || command=$3
    line=$(bash -c "$command" | grep '^{' | tail -1)
    echo "$line" >&2
    echo "$round $side $(field peer <<<"$line") $(field jobs_per_s <<<"$line")" >>"$lines"
  done
done

sort -k2,2n -k4,4n "$lines" | awk -v rounds="$rounds" '
  { rate[$2, ++n[$2]] = $4; peer[$2] = $3; turn[$1, $2] = $4 }
  function median(side) { return (rate[side, int((rounds + 1) / 2)] + rate[side, int(rounds / 2) + 1]) / 2 }
  END {
    for (side = 1; side <= 2; side++)
      printf "%-20s median %9.0f/s  (%.0f–%.0f)\n", peer[side], median(side), rate[side, 1], rate[side, rounds]
    printf "ratio %.2f; turn by turn:", median(1) / median(2)
    for (round = 1; round <= rounds; round++) printf " %.2f", turn[round, 1] / turn[round, 2]
    print ""
  }'
