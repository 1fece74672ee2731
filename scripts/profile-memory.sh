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
# shellcheck source=scripts/lib-measured.sh
. "$(dirname "$0")/lib-measured.sh"
measure profile_memory "$1" "$2"
port=${PORT:-9469} length=${SECONDS_EACH:-10}

make_database
cat >"$settings" <<TOML
admin.listen = "127.0.0.1:$port"
[[queue]]
name = "default"
[[kind]]
name = "noop"
handler = "noop"
TOML
start_daemon
await_daemon "$port"

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
stop_daemon
