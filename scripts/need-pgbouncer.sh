#!/usr/bin/env bash
# Makes sure that there is a PgBouncer for `make test-pooler`. `make test` does without: where there is none,
# it says that nothing was tested through a pooler.
#
# Quick when it is there. Otherwise it says what it installs and does so with the system's package
# manager. LEGWORK_NO_INSTALL=1 makes it say the command and fail instead.
set -euo pipefail

PATH=$PATH:/usr/sbin:/usr/local/sbin
command -v pgbouncer >/dev/null && exit 0

# Runs a command, or says it: as root, by sudo, or not at all.
as_root() {
  if [ "${LEGWORK_NO_INSTALL:-}" = 1 ]; then
    echo "missing: PgBouncer. This installs it: $*" >&2
    exit 1
  fi
  echo "missing: PgBouncer. Installing it: $*" >&2
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "this needs root, and there is no sudo" >&2
    exit 1
  fi
}

if command -v apt-get >/dev/null; then
  as_root sh -c "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pgbouncer"
elif command -v dnf >/dev/null; then
  as_root dnf install -y -q pgbouncer
elif command -v apk >/dev/null; then
  as_root apk add -q pgbouncer
elif command -v brew >/dev/null && [ "${LEGWORK_NO_INSTALL:-}" != 1 ]; then
  echo "missing: PgBouncer. Installing it: brew install pgbouncer" >&2
  brew install pgbouncer
else
  echo "missing: PgBouncer. Install it with the system's package manager." >&2
  exit 1
fi
