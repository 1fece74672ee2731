# shellcheck shell=bash
# What scripts that measure a daemon have in common: a database and a file of settings of their own, its start and its end.
# To be sourced, by a script that has said `set -euo pipefail`.

# Of whom: a name for the database, the binary, and a server's URL. All of it goes when the script ends.
measure() {
  legwork=$2 server=$3
  database=legwork_$1_$$
  url=${server%/*}/$database
  settings=$(mktemp --suffix .toml)
  log=$(mktemp)
  daemon=''
  trap end_measuring EXIT
}

# What else is to go may be added by the script, in a function `also_end`.
end_measuring() {
  [ "$(type -t also_end)" != function ] || also_end
  [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
  rm -f "$settings" "$log"
  PGOPTIONS='-c client_min_messages=warning' psql -qX "$server" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)"
}

make_database() {
  PGOPTIONS='-c client_min_messages=warning' psql -qX "$server" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)" -c "CREATE DATABASE $database"
  "$legwork" migrate up --database-url "$url" >/dev/null
}

start_daemon() {
  "$legwork" --config "$settings" run --database-url "$url" >"$log" 2>&1 &
  daemon=$!
}

# Ends the script where the daemon is gone.
lives() {
  kill -0 "$daemon" 2>/dev/null || { tail -5 "$log" >&2; exit 1; }
}

# Until the daemon answers on this port.
await_daemon() {
  until curl -fsS "http://127.0.0.1:$1/health/ready" >/dev/null 2>&1; do
    lives
    sleep 0.1
  done
}

# Whether there is a job that isn't done.
has_jobs() { [ "$(psql -qAtX "$url" -c 'SELECT EXISTS (SELECT FROM legwork.job)')" = t ]; }

stop_daemon() {
  kill "$daemon"
  wait "$daemon"
  daemon=''
}

# MiB of a field of the daemon's status.
field() { awk -v field="$1:" '$1 == field { printf "%.0f", $2 / 1024 }' /proc/"$daemon"/status; }
