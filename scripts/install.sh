# shellcheck shell=bash
# Sourced by the need-….sh: installs what is missing with the system's package manager, and says what.
# LEGWORK_NO_INSTALL=1 makes it say the command and fail instead.

# Runs a command, or says it: as root, by sudo, or not at all.
as_root() {
  if [ "${LEGWORK_NO_INSTALL:-}" = 1 ]; then
    echo "missing: $missing. This installs it: $*" >&2
    exit 1
  fi
  echo "missing: $missing. Installing it: $*" >&2
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "this needs root, and there is no sudo" >&2
    exit 1
  fi
}

install() { # what is missing; the packages for apt, dnf, apk, and brew
  local missing=$1
  if command -v apt-get >/dev/null; then
    as_root sh -c "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $2"
  elif command -v dnf >/dev/null; then
    as_root dnf install -y -q "$3"
  elif command -v apk >/dev/null; then
    # shellcheck disable=SC2086
    as_root apk add -q $4
  elif command -v brew >/dev/null; then
    [ "${LEGWORK_NO_INSTALL:-}" = 1 ] && { echo "missing: $missing. This installs it: brew install $5" >&2; exit 1; }
    echo "missing: $missing. Installing it: brew install $5" >&2
    brew install "$5"
  else
    echo "missing: $missing. Install it with the system's package manager." >&2
    exit 1
  fi
}
