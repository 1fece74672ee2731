#!/usr/bin/env bash
# Builds a `legwork` that can be told to have a bug, for the chaos test, and puts it where the first
# argument says. The ordinary binary is in its place again afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
destination=$1
cargo=${CARGO:-cargo}

# The example comes along so that the dependencies are those of the tests, which are built already: with the program alone,
# cargo leaves out what only tests ask of them, and builds them all again.
build() { "$cargo" build --bin legwork --example enqueue "$@"; }
wrapped() { RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/with-seeded-bugs.sh build "$@"; }
wrapped
built=$(wrapped --quiet --message-format=json | sed -n 's/.*"executable":"\([^"]*\/legwork\)".*/\1/p' | tail -1)
mkdir -p "$(dirname "$destination")"
cp "$built" "$destination.new"
mv "$destination.new" "$destination"
# Both builds have the same file in the end; this is a link, no compilation.
build --quiet
