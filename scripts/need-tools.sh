#!/usr/bin/env bash
# Installs the cargo subcommands that checks need, of pinned versions, into the directory given.
# Quick when they are there: keep the directory in a cache.
set -euo pipefail

root=${1:?the directory to install into}
# They run for seconds: building them takes longer than whatever the optimiser saves.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

need() { # name, version
  if "$root/bin/$1" --version 2>/dev/null | grep -qF "$2" ||
    { [ "$1" = cargo-llvm-cov ] && "$root/bin/$1" llvm-cov --version 2>/dev/null | grep -qF "$2"; }; then
    return
  fi
  echo "installing $1 $2 into $root" >&2
  CARGO_TARGET_DIR="$root/build" cargo install "$1" --version "$2" --locked --quiet --root "$root"
}

need cargo-deny 0.20.2
need cargo-llvm-cov 0.9.1
rm -rf "$root/build"
