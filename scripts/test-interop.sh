#!/usr/bin/env bash
# Runs the examples of examples/producers and examples/receivers, in every language that is at hand.
#
# A private Postgres is started, the schema made, and each producer run as a role that may enqueue and no more:
# the job of its committed transaction has to be there, that of the rolled back one not, and a daemon works them
# off. Each receiver has to tell good signatures from bad ones. One line for each: passed, failed, or skipped and
# why. psql's and Rust's run everywhere; without them this fails.
#
# Nothing is installed on the system; `make test-interop` first sees to Postgres's programs. Libraries go to a
# directory that goes with the script; LEGWORK_INTEROP_KEEP=1 keeps it, and says where it is.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
keep=${LEGWORK_INTEROP_KEEP:-}
# A caller's own database and settings must not be met here.
# shellcheck disable=SC2086
unset DATABASE_URL ${!PG@} ${!LEGWORK_@}
work=$(mktemp -d /var/tmp/legwork-interop.XXXXXX)

# shellcheck source=scripts/interop/cluster.sh
source scripts/interop/cluster.sh
# shellcheck source=scripts/interop/runtimes.sh
source scripts/interop/runtimes.sh
# shellcheck source=scripts/interop/producers.sh
source scripts/interop/producers.sh
# shellcheck source=scripts/interop/receivers.sh
source scripts/interop/receivers.sh

fail() { echo "test-interop: $*" >&2; exit 1; }
fail_with() { tail -20 "$1" >&2; fail "see above"; } # a log

clean_up() {
  stop_receivers
  stop_cluster
  if [ -n "$keep" ]; then echo "kept: $work" >&2; else rm -rf "$work"; fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

passed=0 failed=0 skipped=0
report() { # verdict, name, what else
  printf '%-8s %-16s %s\n' "$1" "$2" "$3"
  case $1 in passed) passed=$((passed + 1)) ;; failed) failed=$((failed + 1)) ;; *) skipped=$((skipped + 1)) ;; esac
}

# Runs a command where `run_in` says and keeps its output for a failure.
in_its_place() { # name, command …
  local log=$work/$1.log
  shift
  said="it exited with an error"
  (cd "$run_in" && limited 120 "$@") >"$log" 2>&1 </dev/null
}

# Finds what runs an example, checks it, and says how that went.
try() { # directory of the example, name, check
  run=() run_in=examples/$1 with='' why='' said=''
  if ! "find_$2"; then
    report skipped "$2" "because $why"
  elif "$3" "$2"; then
    report passed "$2" "$with"
  else
    report failed "$2" "$with: $said"
    tail -20 "$work/$2.log" >&2
  fi
}

"$cargo" build --quiet --bin legwork --example producer
start_cluster
PATH=$PATH:$bindir
command -v psql >/dev/null || fail "there is no psql: it comes with Postgres's client programs"
psql -XAtq "$(url postgres postgres)" -c 'CREATE DATABASE app'
DATABASE_URL=$(url postgres) "$target/debug/legwork" migrate up >"$work/migrate.log" 2>&1 || fail_with "$work/migrate.log"
sql -f examples/producers/schema.sql
sql -c "ALTER ROLE shop PASSWORD '$password'; ALTER ROLE legwork_daemon PASSWORD '$password'"
check_role

for producer in psql rust; do
  try producers $producer check_producer
done
[ $skipped = 0 ] || fail "psql's and Rust's producers have to run"
for producer in psycopg sqlalchemy node ruby go php java; do
  try producers $producer check_producer
done
# JDBC is given a login of its own, taken out of the URL.
try producers java check_without_password
producers_passed=$passed producers_failed=$failed

if have_signer; then
  try receivers python_receiver check_receiver
  try receivers node_receiver check_receiver
  if [ ${#takers[@]} = 0 ]; then
    report skipped sends "because no receiver runs"
  elif check_sent; then
    report passed sends "${#takers[@]} receivers took what a daemon signed, and nothing else"
  else
    report failed sends "$said"
    tail -20 "$work/sends.log" >&2
  fi
else
  report skipped receivers "because $why"
fi

if [ "$producers_failed" != 0 ]; then
  report skipped daemon "because a producer failed"
elif check_daemon "$producers_passed"; then
  report passed daemon "$producers_passed jobs worked off"
else
  report failed daemon "$said"
  tail -20 "$work/daemon.log" >&2
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
