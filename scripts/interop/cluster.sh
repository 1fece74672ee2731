# shellcheck shell=bash disable=SC2034,SC2154 # test-interop.sh and its parts share their variables
# A private Postgres for scripts/test-interop.sh: made by initdb in a directory of its own, on a free port of
# 127.0.0.1 behind a random password, and gone with the script. Drivers of all languages speak TCP, some nothing else.

cluster=''

# Runs a program of Postgres's as the one who owns the cluster: it refuses to be root.
as_cluster_owner() {
  if [ "$(id -u)" = 0 ]; then
    (cd / && runuser -u "$cluster_owner" -- "$@")
  else
    "$@"
  fi
}

# Makes and starts the cluster; afterwards `bindir`, `password` and `port` are known.
start_cluster() {
  bindir=$(dirname "$(realpath "$(scripts/need-postgres.sh --bindir)/postgres")")
  cluster_owner=$(id -un)
  if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 && cluster_owner=postgres || cluster_owner=nobody
  fi
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  cluster=$(mktemp -d /var/tmp/legwork-interop-pg.XXXXXX)
  echo "$password" >"$cluster/password"
  [ "$(id -u)" != 0 ] || chown -R "$cluster_owner" "$cluster"
  as_cluster_owner "$bindir/initdb" --no-sync --encoding=UTF8 --locale=C --username=postgres --auth=scram-sha-256 \
    --pwfile="$cluster/password" --pgdata="$cluster/data" >"$work/initdb.log" 2>&1 || fail_with "$work/initdb.log"
  local try settings
  for try in 1 2 3 4 5; do # a port that somebody else has makes the start fail, and the next one is tried
    port=$((20000 + RANDOM % 12000))
    settings="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$cluster -c fsync=off"
    as_cluster_owner "$bindir/pg_ctl" start --wait --silent --pgdata="$cluster/data" --options="$settings" \
      --log="$cluster/postgres.log" >"$work/start-$try.log" 2>&1 && return
  done
  fail_with "$cluster/postgres.log"
}

stop_cluster() {
  [ -n "$cluster" ] || return 0
  [ ! -e "$cluster/data/postmaster.pid" ] ||
    as_cluster_owner "$bindir/pg_ctl" stop --silent --mode=immediate --pgdata="$cluster/data" >/dev/null 2>&1 || true
  rm -rf "$cluster"
}

# The URL of a role's session; all roles here have the one password.
url() { # role, database
  echo "postgres://$1:$password@127.0.0.1:$port/${2:-app}"
}

# Runs SQL as the administrator and prints what it gives, unaligned.
sql() { PGOPTIONS='-c client_min_messages=warning' psql -XAtq -v ON_ERROR_STOP=1 "$(url postgres)" "$@"; }
