# shellcheck shell=bash disable=SC2034,SC2154 # test-interop.sh and its parts share their variables
# Whether the programs under examples/receivers, which verify with the published libraries of Standard Webhooks, take
# a good signature and nothing else; for scripts/test-interop.sh.

# The example of the Standard Webhooks specification, known to all of its libraries.
secret='whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
webhook_id='msg_p5jXN8AQM9LWM0D4loKWxJek'
webhook_body='{"test": 2432232314}'
receivers=''
# Those that passed, as name and URL.
takers=()

sign() { # id, timestamp, body
  local key
  key=$(printf '%s' "${secret#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
  printf 'v1,'
  printf '%s' "$1.$2.$3" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A
}

have_signer() {
  have curl --version && have openssl version || return 1
  [ "$(sign "$webhook_id" 1614265330 "$webhook_body")" = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=' ] ||
    fail "openssl signs the specification's example differently"
}

# Starts what `run` says; afterwards `receiver` is its URL. It stays until the script's end.
start_receiver() { # name
  local log=$work/$1.out
  : >"$log"
  (cd "$run_in" && WEBHOOK_SECRET=$secret exec "${run[@]}") >"$log" 2>"$work/$1.log" &
  receivers+=" $!"
  local turn
  for turn in $(seq 100); do
    receiver=$(sed -n 's/^listening on //p' "$log")
    [ -z "$receiver" ] || return 0
    kill -0 $! 2>/dev/null || break
    sleep 0.1
  done
  said="it doesn't listen (turn $turn)"
  return 1
}

stop_receivers() {
  # shellcheck disable=SC2086
  [ -z "$receivers" ] || kill $receivers 2>/dev/null || true
}

answers() { # status, what is sent, id, timestamp, signature, body, of curl what else …
  local status
  status=$(curl --silent --noproxy '*' --max-time 10 --output /dev/null --write-out '%{http_code}' \
    --header "webhook-id: $3" --header "webhook-timestamp: $4" --header "webhook-signature: $5" \
    --header 'content-type: application/json' --data-binary "$6" "${@:7}" "$receiver" || true)
  [ "$status" = "$1" ] || { said="$2 is answered by $status in place of $1"; return 1; }
}

check_receiver() { # name
  start_receiver "$1" || return 1
  local now late good old
  now=$(date +%s)
  late=$((now - 3600))
  good=$(sign "$webhook_id" "$now" "$webhook_body")
  old=$(sign "$webhook_id" "$late" "$webhook_body")
  answers 204 'a good signature' "$webhook_id" "$now" "$good" "$webhook_body" &&
    answers 204 'a good signature beside one of another secret' "$webhook_id" "$now" "${old} $good" "$webhook_body" &&
    answers 401 'a changed body' "$webhook_id" "$now" "$good" '{"test": 2432232315}' &&
    answers 401 'another id' 'msg_other' "$now" "$good" "$webhook_body" &&
    answers 401 'an hour-old signature' "$webhook_id" "$late" "$old" "$webhook_body" &&
    answers 401 'no signature' "$webhook_id" "$now" '' "$webhook_body" &&
    answers 401 'a broken signature' "$webhook_id" "$now" 'v1' "$webhook_body" &&
    answers 400 'a length below nothing' "$webhook_id" "$now" "$good" "$webhook_body" --header 'content-length: -1' &&
    answers 400 'a length that is no number' "$webhook_id" "$now" "$good" "$webhook_body" --header 'content-length: x' || return 1
  said='it says another number of webhooks than it took'
  [ "$(grep -cx "$webhook_id" "$work/$1.out")" = 2 ] || return 1
  takers+=("$1 $receiver")
}

# A real daemon sends each of them a job: signed with the old and the new secret while one is replaced, it is taken;
# signed with somebody else's, it isn't. The payload is one that no parser writes back as it was.
check_sent() {
  local payload taker name to found expected='' before
  payload='{"b": 1.10, "a": 123456789012345678901234567890, "ä": "\u00e4 \"x\""}'
  printf '%s\n' "$secret" >"$work/secret"
  printf 'whsec_%s\n' "$(openssl rand -base64 32)" >"$work/other-secret"
  chmod 600 "$work/secret" "$work/other-secret"
  printf '[admin]\nlisten = "off"\n' >"$work/sends.toml"
  before=$(last_job_id)
  for taker in "${takers[@]}"; do
    read -r name to <<<"$taker"
    sends_kind "to_$name" "$to" "[\"$work/other-secret\", \"$work/secret\"]"
    sends_kind "forged_to_$name" "$to" "\"$work/other-secret\""
    sql -v payload="$payload" <<SQL
INSERT INTO legwork.job (kind, payload) VALUES ('to_$name', :'payload'), ('forged_to_$name', :'payload')
SQL
    expected+="forged_to_$name discarded HTTP 401 Unauthorized,to_$name completed,"
  done
  said="legwork run --once failed"
  DATABASE_URL=$(url legwork_daemon) limited 60 "$target/debug/legwork" --config "$work/sends.toml" run --once \
    >"$work/sends.log" 2>&1 || return 1
  found=$(sql -c "SELECT string_agg(concat_ws(' ', kind, state, split_part(a.error, E'\n', 1)) || ',', '' ORDER BY kind)
                  FROM legwork.jobs j LEFT JOIN legwork.failed_attempt a ON a.job_id = j.id WHERE j.id > $before")
  expected=$(printf '%s' "$expected" | tr , '\n' | LC_ALL=C sort | tr '\n' ,)
  found=$(printf '%s' "$found" | tr , '\n' | LC_ALL=C sort | tr '\n' ,)
  [ "$found" = "$expected" ] || { said=$(printf '\n  expected %s\n  found    %s' "$expected" "$found"); return 1; }
  for taker in "${takers[@]}"; do
    read -r name to <<<"$taker"
    said="$name didn't say that it took its job"
    grep -qx "job_$(sql -c "SELECT id FROM legwork.jobs WHERE kind = 'to_$name'")" "$work/$name.out" || return 1
  done
}

sends_kind() { # kind, URL, secret files
  cat >>"$work/sends.toml" <<TOML
[[kind]]
name = "$1"
handler = "http"
url = "$2"
allow_hosts = ["127.0.0.1"]
secret_file = $3
max_attempts = 1
TOML
}
