# shellcheck shell=bash disable=SC2034,SC2154 # test-interop.sh and its parts share their variables
# What every program under examples/producers has to have done, for scripts/test-interop.sh.

# One producer after the other, on the same tables.
check_producer() { # name, URL if not that of the role and its password
  local before expected found
  sql -c 'TRUNCATE app_order'
  before=$(last_job_id)
  DATABASE_URL=${2:-$(url shop)} in_its_place "$1" "${run[@]}" || return 1
  expected="orders: book; jobs: send_receipt {\"item\": \"book\"} of its order, and what the example shows"
  expected+="; ids taken: $(ids_taken_by "$1")"
  found=$(what_it_left "$before" "$(shown_by "$1")")
  [ "$found" = "$expected" ] || { said=$(printf '\n  expected %s\n  found    %s' "$expected" "$found"); return 1; }
}

# The password may stand elsewhere than in the URL.
check_without_password() { # name
  printf '*:*:*:*:%s\n' "$password" >"$work/passfile"
  chmod 600 "$work/passfile"
  with+=", password from a file"
  PGPASSFILE=$work/passfile check_producer "$1" "postgres://shop@127.0.0.1:$port/app"
}

# What was rolled back leaves nothing but an id that no job has: this tells that it was there.
what_it_left() { # the last job id before, what the example shows
  sql -v before="$1" <<SQL
SELECT format('orders: %s; jobs: %s; ids taken: %s',
    (SELECT string_agg(item, ', ') FROM app_order),
    (SELECT string_agg(format('%s %s of %s order, and %s the example shows', job.kind, payload::jsonb - 'order',
            CASE WHEN o.id IS NULL THEN 'no' ELSE 'its' END,
            CASE WHEN $2 THEN 'what' ELSE 'not what' END), ', ')
        FROM legwork.job LEFT JOIN app_order o ON to_jsonb(o.id) = (payload::jsonb)['order'] WHERE job.id > :before),
    $(last_job_id) - :before)
SQL
}

last_job_id() { sql -c "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('legwork.job', 'id')), 0)"; }

# One for each INSERT, kept or not; Node's program has each twice, of which the unique key lets one through.
ids_taken_by() { # name
  if [ "$1" = node ]; then echo 4; else echo 2; fi
}

# What an example shows besides, as a condition on its job.
shown_by() { # name
  case $1 in
    psql) echo "metadata = '{\"request_id\": \"req-7f3a\"}'" ;;
    node | php) echo "unique_key = 'receipt-' || o.id" ;;
    ruby) echo "priority = -1 AND tags = '{receipt}'" ;;
    go) echo "metadata = '{\"traceparent\": \"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}'" ;;
    java) echo "metadata = '{\"request_id\": \"req-7f3a\", \"user_id\": 7}'" ;;
    *) echo true ;;
  esac
}

# The application's role has what legwork_enqueue and its own table give, so no producer succeeds by a right of more.
check_role() {
  local roles
  roles=$(sql -c "SELECT string_agg(r.rolname, ' ' ORDER BY r.rolname) FROM pg_roles r
                  WHERE pg_has_role('shop', r.oid, 'MEMBER') OR r.rolname = 'shop' AND r.rolsuper")
  [ "$roles" = 'legwork_enqueue shop' ] || fail "shop acts as more than it should: $roles"
  ! psql -XAtq "$(url shop)" -c 'SELECT payload FROM legwork.job' >/dev/null 2>&1 || fail "shop may read payloads"
}

# A real daemon, as its own role, works everything off; `cat` gives each payload back as the result.
check_daemon() { # how many jobs
  local found
  cat >"$work/legwork.toml" <<TOML
[admin]
listen = "off"

[[kind]]
name = "send_receipt"
handler = "command"
command = ["$(type -P cat)"]
TOML
  said="legwork run --once failed"
  DATABASE_URL=$(url legwork_daemon) limited 60 "$target/debug/legwork" --config "$work/legwork.toml" run --once \
    >"$work/daemon.log" 2>&1 || return 1
  found=$(sql -c "SELECT count(*) || ' done of ' || (SELECT count(*) FROM legwork.jobs WHERE kind = 'send_receipt') FROM legwork.jobs
                  WHERE kind = 'send_receipt' AND state = 'completed' AND result = payload")
  [ "$found" = "$1 done of $1" ] || { said="expected $1 jobs done, found $found"; return 1; }
}
