#!/usr/bin/env bash
# Runs `make test` with instrumented code and holds the share of covered lines to the floor in
# .ci/coverage-floor, a number that only rises.
#
# It is the same target that people run, so that a change is tested once, not once plain and once
# for the count. The child processes of tests (the daemon) count as well.
set -euo pipefail
cd "$(dirname "$0")/.."

# LLVM's tools, of a version that can read what rustc writes: rustup's, else the system's.
need_llvm() {
  if compgen -G "$(rustc --print sysroot)/lib/rustlib/*/bin/llvm-profdata" >/dev/null; then return; fi
  if command -v rustup >/dev/null && rustup component add llvm-tools >/dev/null 2>&1; then return; fi
  if ! command -v llvm-cov-19 >/dev/null; then
    local sudo=''
    [ "$(id -u)" = 0 ] || sudo=sudo
    echo "installing llvm-19 with apt-get" >&2
    $sudo apt-get install -y -qq llvm-19 >&2
  fi
  LLVM_COV=$(command -v llvm-cov-19)
  LLVM_PROFDATA=$(command -v llvm-profdata-19)
  export LLVM_COV LLVM_PROFDATA
}

need_llvm
export CARGO_TARGET_DIR=$PWD/target/coverage
# shellcheck disable=SC1090
source <(cargo llvm-cov show-env --sh)
cargo llvm-cov clean --workspace --profraw-only
make --no-print-directory test
# A process that a test kills while it writes its counts leaves a torn file; the others count. A program's
# guard (src/sys/guard) is a fork that ends by _exit and writes no counts at all: its lines can't be told
# from untested ones, though most tests of commands run them. They are left out.
report() { cargo llvm-cov report --failure-mode all --ignore-filename-regex 'src/sys/guard' "$@"; }
report --summary-only --json --output-path target/coverage/summary.json
report --lcov --output-path target/coverage/lcov.info

floor=$(cat .ci/coverage-floor)
share=$(sed -nE 's/.*"lines":\{[^}]*"percent":([0-9.]+).*/\1/p' target/coverage/summary.json | tail -1)
printf 'covered lines: %.2f %%, floor: %s %%\n' "$share" "$floor"
awk -v share="$share" -v floor="$floor" 'BEGIN { exit share + 0 < floor + 0 }' || {
  echo "coverage fell below the floor: test what the change adds" >&2
  exit 1
}
awk -v share="$share" -v floor="$floor" 'BEGIN { exit share + 0 < floor + 2 }' || exit 0
echo "raise .ci/coverage-floor: the tests hold more than it asks for"
