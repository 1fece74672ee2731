#!/bin/sh
# A RUSTC_WORKSPACE_WRAPPER that compiles this package, and nothing else, with `--cfg legwork_loom`: its hand-made
# synchronisation by loom's types. Cargo keeps that apart, and dependencies aren't built again.
exec "$@" --cfg legwork_loom
