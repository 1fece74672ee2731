#!/usr/bin/env bash
# Makes sure that a build and a private Postgres are possible: a C compiler (ring builds C) and
# Postgres's server programs of version 14 or newer. With --or-docker a Docker engine will do in
# their place: the demo runs on either. The tests need the programs whatever server they use, since
# some of them crash and restart a server of their own.
#
# With --bindir it ends by printing the directory of those programs.
#
# Quick when both are there; otherwise it installs them, as install.sh does.
set -euo pipefail

# shellcheck source=scripts/install.sh
. "$(dirname "$0")/install.sh"

oldest=14
option=${1:-}

have_compiler() { command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null; }

# Prints the directory of the first programs that are new enough.
postgres_bindir() {
  local program major
  for program in "$(command -v postgres || true)" "$(pg_config --bindir 2>/dev/null || true)/postgres" \
    /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres /usr/libexec/postgresql*/bin/postgres \
    /opt/homebrew/opt/postgresql*/bin/postgres /usr/local/opt/postgresql*/bin/postgres \
    /usr/local/pgsql/bin/postgres; do
    [ -x "$program" ] && [ -x "$(dirname "$program")/initdb" ] || continue
    major=$("$program" --version 2>/dev/null | sed -nE 's/.*\(PostgreSQL\) ([0-9]+).*/\1/p')
    [ "${major:-0}" -ge "$oldest" ] && dirname "$program" && return 0
  done
  return 1
}

have_postgres() { postgres_bindir >/dev/null; }

have_docker() {
  [ "$option" = --or-docker ] && command -v docker >/dev/null && timeout 5 docker info >/dev/null 2>&1
}

have_database() { have_postgres || have_docker; }

if ! have_compiler; then
  install "a C compiler" "gcc libc6-dev" gcc "gcc musl-dev" gcc
fi
if ! have_database; then
  install "Postgres's server programs, version $oldest or newer" postgresql postgresql-server postgresql postgresql@17
  have_database || { echo "the Postgres of this system is older than $oldest" >&2; exit 1; }
fi
if [ "$option" = --bindir ]; then postgres_bindir; fi
