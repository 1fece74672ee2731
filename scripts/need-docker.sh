#!/usr/bin/env bash
# Makes sure that a Docker engine answers, before minutes are spent on building what would run on it.
# It starts and installs none: an engine is a matter of the machine, and amounts to root on it.
set -euo pipefail

engine=${DOCKER_HOST:-the usual socket}
if ! command -v docker >/dev/null; then
  echo "this needs a Docker engine, and there is no \`docker\` on the PATH: install one, or run \`make test\`, which does without" >&2
  exit 1
fi
if ! timeout 10 docker info >/dev/null 2>&1; then
  echo "this needs a Docker engine, and none answers at $engine: start one, name it in DOCKER_HOST, or run \`make test\`, which does without" >&2
  exit 1
fi
