#!/usr/bin/env bash
# Installs the fuzzer of API descriptions (https://schemathesis.io), of a pinned version, into the directory given: a
# Python environment of its own, and `bin/schemathesis`. Quick when it is there. Needs python3 with venv, and PyPI.
set -euo pipefail

root=$(realpath -m "${1:?the directory to install into}")
version=4.32.5

if "$root/bin/schemathesis" --version 2>/dev/null | grep -qF "$version"; then exit 0; fi
echo "installing schemathesis $version into $root" >&2
python3 -m venv --clear "$root/python"
"$root/python/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
mkdir -p "$root/bin"
ln -sf ../python/bin/schemathesis "$root/bin/schemathesis"
