#!/usr/bin/env bash
# Makes sure that there is a PgBouncer for `make test-pooler`. `make test` does without: where there is none,
# it says that nothing was tested through a pooler.
#
# Quick when it is there; otherwise it installs it, as install.sh does.
set -euo pipefail

# shellcheck source=scripts/install.sh
. "$(dirname "$0")/install.sh"

PATH=$PATH:/usr/sbin:/usr/local/sbin
command -v pgbouncer >/dev/null && exit 0

install PgBouncer pgbouncer pgbouncer pgbouncer pgbouncer
