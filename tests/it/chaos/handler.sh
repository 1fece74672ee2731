# The program of every job: says that it starts, takes its time, says what it decides, and exits so.
#
# Its standard input is the payload, "uid seconds outcome outcome …". The outcome is that of its lease
# token: the first token's is the first. It writes to one file of the whole run, a line by one append.
read -r payload
payload=${payload#\"}
payload=${payload%\"}
# Words of letters, digits and dots, so splitting them is safe.
set -- $payload
uid=$1 seconds=$2 token=$LEGWORK_LEASE_TOKEN
shift 2
turn=1
while [ "$turn" -lt "$token" ] && [ $# -gt 1 ]; do
    shift
    turn=$((turn + 1))
done
who="\"uid\":\"$uid\",\"job\":$LEGWORK_JOB_ID,\"token\":$token"
printf '{"e":"start",%s,"attempt":%s,"daemon":"%s"}\n' "$who" "$LEGWORK_ATTEMPT" "$CHAOS_DAEMON" >>"$CHAOS_EVENTS"
[ "$seconds" = 0 ] || /bin/sleep "$seconds"
printf '{"e":"end",%s,"outcome":"%s"}\n' "$who" "$1" >>"$CHAOS_EVENTS"
case $1 in
    ok) printf '{"token":%s}' "$token" ;;
    retry) exit 1 ;;
    discard) exit 64 ;;
    snooze) exit 75 ;;
esac
