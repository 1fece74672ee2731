#!/usr/bin/env bash
# What a CPU profile takes of memory: that of a daemon before its first profile, at most during it, once it is answered and a
# while later; then the same of a second one. The daemon works off no-op jobs meanwhile, in a database of its own.
#
#   scripts/profile-memory.sh target/release/legwork postgres://…/postgres
#
# "own" is what the daemon allocated (RssAnon), "of files" what of the program's and its libraries' files is mapped and read:
# the kernel takes that back where memory is short. SECONDS_EACH is how long a profile lasts (10), PORT is free (9469).
set -euo pipefail

[ $# -eq 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 64; }
legwork=$1 server=$2
port=${PORT:-9469} length=${SECONDS_EACH:-10}
database=legwork_profile_memory_$$
url=${server%/*}/$database
settings=$(mktemp --suffix .toml)
log=$(mktemp)
daemon=''
trap 'rm -f "$settings" "$log"; [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; psql -qX "$server" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)"' EXIT

psql -qX "$server" -c "CREATE DATABASE $database"
"$legwork" migrate up --database-url "$url" >/dev/null
cat >"$settings" <<TOML
admin.listen = "127.0.0.1:$port"
[[queue]]
name = "default"
[[kind]]
name = "noop"
handler = "noop"
TOML
"$legwork" --config "$settings" run --database-url "$url" >"$log" 2>&1 &
daemon=$!
until curl -fsS "http://127.0.0.1:$port/health/ready" >/dev/null 2>&1; do
  kill -0 "$daemon" || { tail -5 "$log" >&2; exit 1; }
  sleep 0.1
done

field() { awk -v field="$1:" '$1 == field { printf "%.0f", $2 / 1024 }' /proc/"$daemon"/status; }
said() { echo "$1: $(field VmRSS) MiB resident, $(field RssAnon) own, $(field RssFile) of files"; }
# As much work as gives a profile its functions, at a rate that leaves the machine air.
work() {
  local end=$((SECONDS + $1))
  while [ $SECONDS -lt $end ]; do
    psql -qX "$url" -c "INSERT INTO legwork.job (kind) SELECT 'noop' FROM generate_series(1, 20000)"
    sleep 0.5
  done
}

work 5
sleep 12
said before
for which in first second; do
  # The most so far is forgotten: what comes is the profile's.
  echo 5 >/proc/"$daemon"/clear_refs
  work $((length - 1)) &
  works=$!
  own=0
  curl -fsS -o /dev/null "http://127.0.0.1:$port/debug/pprof/profile?seconds=$length" &
  profile=$!
  while kill -0 "$profile" 2>/dev/null; do
    now=$(field RssAnon)
    [ "$now" -le "$own" ] || own=$now
    sleep 0.02
  done
  wait "$profile"
  echo "$which profile: $(field VmHWM) MiB resident at most, $own own at most"
  said "when it is answered"
  wait "$works"
  sleep 15
  said "15 s later"
done
kill "$daemon"
wait "$daemon"
daemon=''
