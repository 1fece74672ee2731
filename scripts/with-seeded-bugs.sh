#!/bin/sh
# A RUSTC_WORKSPACE_WRAPPER that compiles this package, and nothing else, with `--cfg
# legwork_seeded_bugs`: src/seeded.rs says what that is. Cargo keeps what a wrapper compiled apart
# from what it compiles itself, so neither the dependencies nor the ordinary build are built again.
exec "$@" --cfg legwork_seeded_bugs
