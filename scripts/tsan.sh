#!/bin/sh
# Runs the tests of the sampler's ring under ThreadSanitizer: every access to memory by real threads is watched.
#
# The file is compiled by itself: it needs nothing but the standard library, and what else is in the crate would bring
# the false warnings of locks in code that isn't instrumented. Takes seconds. Sanitizers are still behind rustc's -Z, so it
# takes a nightly toolchain, or the one that builds all else, told to let them through.
set -eu
cd "$(dirname "$0")/.."
if rustc +nightly --version >/dev/null 2>&1; then
    toolchain=+nightly
else
    toolchain=''
    export RUSTC_BOOTSTRAP=1
fi
mkdir -p target/tsan
ring=${1:-src/sys/sampler/here/ring.rs} # or one with a bug, to see it found
printf '#[path = "%s"]\nmod ring;\n' "$(realpath "$ring")" >target/tsan/ring.rs
rustc $toolchain --edition 2024 --test -g -A unfulfilled_lint_expectations --check-cfg 'cfg(legwork_loom, test)' \
    -Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer target/tsan/ring.rs -o target/tsan/ring
# The standard library isn't instrumented: what guards the harness's own channel and counts isn't seen.
printf 'race:std::sync::mpmc\nrace:alloc::sync::Arc\n' >target/tsan/suppressions
TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/target/tsan/suppressions" target/tsan/ring
