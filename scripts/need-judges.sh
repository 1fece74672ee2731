#!/usr/bin/env bash
# Makes sure that the programs of others are at hand which judge what the admin port serves: Go's pprof, Prometheus'
# promtool, and the fuzzer of API descriptions. Those that the system lacks go into the directory given, as
# `bin/go`, `bin/promtool` and `bin/schemathesis`; nothing of the system is changed where it has apt-get.
#
# Quick when they are there.
set -euo pipefail

# shellcheck source=scripts/install.sh
. "$(dirname "$0")/install.sh"

root=$(realpath -m "${1:?the directory to install into}")
mkdir -p "$root/bin"
PATH=$root/bin:$PATH

# The newest of a package's names that the lists have, unpacked beside the others' files.
unpack() { # name, or a pattern of one that has a version in it
  local package place
  package=$(apt-cache --names-only search "^$1\$" | cut -d ' ' -f 1 | sort -V | tail -1)
  [ -n "$package" ] || return 1
  place=$(mktemp -d)
  (cd "$place" && apt-get download -qq -o APT::Sandbox::User=root "$package" && dpkg -x ./*.deb "$root/judges")
  rm -rf "$place"
}

need() { # program, the package for apt and where the program is in it, the packages for others
  command -v "$1" >/dev/null && return
  echo "installing $1 into $root" >&2
  if command -v apt-get >/dev/null; then
    unpack "$2" || { missing=$1 as_root apt-get update -qq && unpack "$2"; }
    ln -sf "$(compgen -G "$root/judges/$3" | sort -V | tail -1)" "$root/bin/$1"
  else
    install "$1" "$2" "$4" "$5" "$6"
  fi
}

go_pprof_runs() { go tool pprof -h 2>&1 | grep -q '^usage'; }

need go 'golang-1\.[0-9]+-go' 'usr/lib/go-1.*/bin/go' golang go go
need promtool prometheus usr/bin/promtool golang-github-prometheus prometheus prometheus
go_pprof_runs || { echo "$(command -v go) has no pprof: go tool pprof -h fails" >&2; exit 1; }
"$(dirname "$0")/need-schemathesis.sh" "$root"
