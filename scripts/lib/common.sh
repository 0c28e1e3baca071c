# What all scripts share: where things are, and how they speak. Sourced, not run.

set -euo pipefail
script=$(realpath "$0")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
tools=$root/target/tools

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
# What a machine cannot have is no fault: who asks tells it from one by the status.
missing() { printf 'not to be had here: %s\n' "$*" >&2; exit 3; }

# Prints the usage, which is the comment at the top of the script, if it is asked for.
help_if_asked() {
  local argument
  for argument in "$@"; do
    case $argument in
      -h | --help) sed -n '2,/^[^#]/{/^#/!q;s/^# \{0,1\}//;p}' "$script"; exit 0 ;;
    esac
  done
}

# Runs a command as root, if that is possible without asking anybody.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

# A Python virtual environment with these packages; quick when it has them already.
venv() {
  local name=$1 stamp
  shift
  stamp="$tools/$name/.has"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$*" ]; then
    command -v python3 >/dev/null || die "python3 is needed"
    say "installing $* into target/tools/$name"
    mkdir -p "$tools"
    python3 -m venv "$tools/$name" || die "python3 cannot make virtual environments: install python3-venv"
    "$tools/$name/bin/pip" install --quiet --disable-pip-version-check "$@" || die "pip could not install $*"
    printf '%s' "$*" >"$stamp"
  fi
}

# Debian packages that are not there yet, installed.
debian() {
  local package missing=""
  for package in "$@"; do dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"; done
  [ -z "$missing" ] && return 0
  say "installing$missing"
  # shellcheck disable=SC2086
  { as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends $missing; } >/dev/null ||
    die "these Debian packages are needed and could not be installed:$missing"
}

# What compiles native programs: a Rust toolchain and a C compiler (SQLite is built from source).
need_toolchain() {
  command -v cargo >/dev/null || debian rustc-web cargo-web
  command -v cc >/dev/null || debian gcc libc6-dev
}
