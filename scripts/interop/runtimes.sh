# shellcheck shell=bash disable=SC2034,SC2154 # test-interop.sh and its parts share their variables
# Which languages and libraries are at hand, for scripts/test-interop.sh.
#
# `find_NAME` either sets `run` (the command), `run_in` (where) and `with` (what runs it, for the report), or sets `why`
# and fails. What the system has is taken first; a library that it lacks is fetched into the throw-away directory
# $work with the language's own client, within $fetch_seconds. Nothing is installed on the system.

fetch_seconds=60

# Runs a client of a package registry; its log is kept for `why`.
fetch() { # what, command …
  local what=$1 log=$work/fetch.log
  shift
  if limited "$fetch_seconds" "$@" >"$log" 2>&1; then return 0; fi
  why="$what can't be fetched: $({ grep -Em1 '(^|[^A-Za-z])(ERROR|error)' "$log" || tail -1 "$log"; } | cut -c1-120)"
  return 1
}

limited() { # seconds, command …
  if command -v timeout >/dev/null; then timeout --foreground "$@"; else "${@:2}"; fi
}

# Sets `why` unless the program is there and runs: some systems have a stub that only tells what to install.
have() { # program, its way to say its version
  if "$@" >/dev/null 2>&1; then return 0; fi
  why="$1 isn't here"
  return 1
}

find_psql() {
  have psql --version || return 1
  with=$(psql --version)
  run=(./psql.sh)
}

find_rust() {
  with="sqlx $(sed -n '/^name = "sqlx"$/{n;s/version = "\(.*\)"/\1/p;}' Cargo.lock)"
  run=("$target/debug/examples/producer")
}

# Sets `python` to one that can import this, a virtual environment's if need be.
need_python() { # what is imported, requirement …
  local imported=$1
  shift
  have python3 --version || return 1
  for python in python3 "$work/venv/bin/python"; do
    "$python" -c "$imported" >/dev/null 2>&1 && return
  done
  [ -x "$work/venv/bin/pip" ] || fetch "a virtual environment" python3 -m venv "$work/venv" || return 1
  fetch "$1" "$python" -m pip install --quiet --retries 1 --disable-pip-version-check --only-binary :all: "$@"
}

python_version() { # distribution
  "$python" -c "import importlib.metadata as m, sys; print('$1', m.version('$1') + ', Python', sys.version.split()[0])"
}

find_psycopg() {
  need_python 'import psycopg' 'psycopg[binary]~=3.1' || return 1
  with=$(python_version psycopg)
  run=("$python" python_psycopg.py)
}

find_sqlalchemy() {
  need_python 'import psycopg; from sqlalchemy.orm import DeclarativeBase' \
    'sqlalchemy~=2.0' 'psycopg[binary]~=3.1' || return 1
  with=$(python_version sqlalchemy)
  run=("$python" python_sqlalchemy.py)
}

# Copies a program beside the package that it imports: Node looks from where the program lies.
need_node() { # package, its release, program
  have node --version && have npm --version || return 1
  mkdir -p "$work/node"
  fetch "$1" npm install --loglevel=error --no-audit --no-fund --ignore-scripts --fetch-retries=1 \
    --prefix "$work/node" "$1@$2" || return 1
  cp "$3" "$work/node/"
  run_in=$work/node
  with="$1 $(node -p "require('$work/node/node_modules/$1/package.json').version"), Node $(node --version)"
}

find_node() {
  need_node pg 8 examples/producers/node.mjs || return 1
  run=(node node.mjs)
}

find_ruby() {
  have ruby --version || return 1
  run=(ruby ruby.rb)
  if ! ruby -e 'require "pg"' >/dev/null 2>&1; then
    have gem --version || return 1
    fetch "the gem pg" gem install pg --version '~> 1.4' --no-document --install-dir "$work/gems" || return 1
    run=(env "GEM_PATH=$work/gems" ruby ruby.rb)
  fi
  with=$("${run[@]:0:${#run[@]}-1}" -e 'require "pg"; print "pg ", PG::VERSION, ", Ruby ", RUBY_VERSION')
}

# Debian has pgx 4 as a package; where the proxy of modules is out of reach it serves, since by way of database/sql
# all that this program sees of it is the import path.
find_go() {
  have go version || return 1
  mkdir -p "$work/go"
  run_in=$work/go
  local environment=("GOPATH=$work/gopath" "GOCACHE=$work/gocache" GOFLAGS=-modcacherw GOTOOLCHAIN=local)
  cp examples/producers/go.go "$work/go/main.go"
  local get='go mod init shop && go get github.com/jackc/pgx/v5@v5.7'
  if fetch "pgx 5" env "${environment[@]}" sh -c "cd '$work/go' && $get"; then
    with="$(cd "$work/go" && env "${environment[@]}" go list -m github.com/jackc/pgx/v5), $(go env GOVERSION)"
  elif [ -d /usr/share/gocode/src/github.com/jackc/pgx/v4 ]; then
    environment=(GOPATH=/usr/share/gocode "GOCACHE=$work/gocache" GO111MODULE=off)
    sed -i 's|jackc/pgx/v5|jackc/pgx/v4|' "$work/go/main.go"
    with="the system's pgx/v4 in place of v5, $(go env GOVERSION)"
  else
    return 1
  fi
  run=(env "${environment[@]}" go run main.go)
}

find_php() {
  have php --version || return 1
  why="PHP's extension pdo_pgsql isn't here"
  php -r 'exit(extension_loaded("pdo_pgsql") ? 0 : 1);' || return 1
  with="PDO, PHP $(php -r 'echo PHP_VERSION;')"
  run=(php php.php)
}

find_java() {
  have java -version || return 1
  why="this Java has no compiler: it is no JDK"
  java --list-modules 2>/dev/null | grep '^jdk.compiler' >/dev/null || return 1
  local jar=$work/postgresql.jar place
  for place in /usr/share/java/postgresql.jar /usr/share/java/postgresql-jdbc/postgresql.jar; do
    [ -e "$jar" ] || [ ! -e "$place" ] || jar=$place
  done
  if [ ! -e "$jar" ]; then
    why="neither postgresql.jar nor Maven, which fetches it, is here"
    command -v mvn >/dev/null || return 1
    fetch "postgresql.jar" mvn --quiet --batch-mode "-Dmaven.repo.local=$work/maven" dependency:copy \
      -Dartifact=org.postgresql:postgresql:42.7.4 "-DoutputDirectory=$work" -Dmdep.stripVersion=true || return 1
  fi
  with="$(java -jar "$jar" 2>&1 | sed -n 's/^PostgreSQL //p'), $(java -version 2>&1 | head -1)"
  run=(java -cp "$jar" Producer.java)
}

find_python_receiver() {
  need_python 'import standardwebhooks' 'standardwebhooks~=1.0' || return 1
  with=$(python_version standardwebhooks)
  run=("$python" python_receiver.py)
}

find_node_receiver() {
  need_node standardwebhooks 1 examples/receivers/node_receiver.mjs || return 1
  run=(node node_receiver.mjs)
}
