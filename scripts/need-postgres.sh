#!/usr/bin/env bash
# Makes sure that a build and a private Postgres are possible: a C compiler (ring builds C) and
# Postgres's server programs of version 14 or newer. With --or-docker a Docker engine will do in
# their place: the demo runs on either. The tests need the programs whatever server they use, since
# some of them crash and restart a server of their own.
#
# With --bindir it ends by printing the directory of those programs.
#
# Quick when both are there. Otherwise it says what it installs and does so with the system's
# package manager. LEGWORK_NO_INSTALL=1 makes it say the command and fail instead.
set -euo pipefail

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

# Runs a command, or says it: as root, by sudo, or not at all.
as_root() {
  if [ "${LEGWORK_NO_INSTALL:-}" = 1 ]; then
    echo "missing: $missing. This installs it: $*" >&2
    exit 1
  fi
  echo "missing: $missing. Installing it: $*" >&2
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "this needs root, and there is no sudo" >&2
    exit 1
  fi
}

install() { # the packages for apt, dnf, apk, and brew
  if command -v apt-get >/dev/null; then
    as_root sh -c "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $1"
  elif command -v dnf >/dev/null; then
    as_root dnf install -y -q "$2"
  elif command -v apk >/dev/null; then
    # shellcheck disable=SC2086
    as_root apk add -q $3
  elif command -v brew >/dev/null; then
    [ "${LEGWORK_NO_INSTALL:-}" = 1 ] && { echo "missing: $missing. This installs it: brew install $4" >&2; exit 1; }
    echo "missing: $missing. Installing it: brew install $4" >&2
    brew install "$4"
  else
    echo "missing: $missing. Install it with the system's package manager." >&2
    exit 1
  fi
}

if ! have_compiler; then
  missing="a C compiler"
  install "gcc libc6-dev" gcc "gcc musl-dev" gcc
fi
if ! have_database; then
  missing="Postgres's server programs, version $oldest or newer"
  install postgresql postgresql-server postgresql postgresql@17
  have_database || { echo "the Postgres of this system is older than $oldest" >&2; exit 1; }
fi
if [ "$option" = --bindir ]; then postgres_bindir; fi
