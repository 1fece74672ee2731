#!/usr/bin/env bash
# The chaos test at length: a few seeds in which no promise may break, then each bug that can be
# seeded, which has to break one within five seeds. The first failure ends it; its message names the
# seed and the directory with the record.
#
# LEGWORK_CHAOS_SEEDS is how many clean runs there are, LEGWORK_CHAOS_SEED where to begin.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
runs=${LEGWORK_CHAOS_SEEDS:-3}
first=${LEGWORK_CHAOS_SEED:-$RANDOM}
seeded=$(realpath -m "${CARGO_TARGET_DIR:-target}")/seeded/legwork

chaos() { # seed
  LEGWORK_CHAOS_SEED=$1 "$cargo" test --quiet --test it -- --nocapture \
    --exact chaos::a_fleet_keeps_its_promises_in_chaos_unless_a_bug_is_seeded
}

CARGO=$cargo scripts/seeded-daemon.sh "$seeded"
"$cargo" test --quiet --no-run --test it

for seed in $(seq "$first" $((first + runs - 1))); do
  chaos "$seed"
done
bugs=$(sed -nE 's/^    \("([a-z_]+)", Bug::.*/\1/p' src/seeded.rs)
[ -n "$bugs" ] || { echo "src/seeded.rs names no bug" >&2; exit 1; }
for bug in $bugs; do
  LEGWORK_CHAOS_BUG=$bug LEGWORK_CHAOS_DAEMON=$seeded chaos "$first"
done
echo "chaos: $runs clean runs, and caught: $(echo "$bugs" | tr '\n' ' ')"
