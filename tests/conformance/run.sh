#!/usr/bin/env bash
# Drives the emulator with the service's official clients, as their registries have them.
#
#   tests/conformance/run.sh [BINARY]      the binary is built when none is named
#
# Needs python3 with venv, and node with npm. The clients are installed into a folder
# that is removed at the end; CORPUSD_CONFORMANCE_HOME names one that is kept.
# Prints `N passed, N failed`, and ends with 1 when something failed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../serving.sh"
binary=${1:+$(realpath "$1")}
if [ -z "$binary" ]; then
  (cd "$here/../.." && cargo build --quiet --bin corpusd)
  binary=${CARGO_TARGET_DIR:-$here/../../target}/debug/corpusd
fi

home=${CORPUSD_CONFORMANCE_HOME:-}
keep=yes
[ -n "$home" ] || { home=$(mktemp -d); keep=; }
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  [ -n "$keep" ] || rm -rf "$home"
}
trap cleanup EXIT

# ---------------------------------------------------------------- the clients
mkdir -p "$home"
for version in 10 8; do
  [ -x "$home/python-$version/bin/python" ] || python3 -m venv "$home/python-$version"
  "$home/python-$version/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/requirements-$version.txt"
done
cp "$here/package.json" "$here/check.mjs" "$home"
(cd "$home" && npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error)

# ---------------------------------------------------------------- the server
start "$home" "$binary" emulate-pinecone --port 0 --allow-faults
export EMULATOR=$address

# ---------------------------------------------------------------- the checks
# Faults have processes of their own: the Python client stops retrying for good in one that met many.
run() {
  printf '\n-- %s\n' "$1"
  shift
  # The checks tell what failed; a crash of theirs is a failure as well.
  "$@" 2>&1 || echo "FAILED the process itself"
}
{
  for version in 10 8; do
    run "python client $version" "$home/python-$version/bin/python" "$here/check.py"
    run "python client $version, faults" "$home/python-$version/bin/python" "$here/check_faults.py"
  done
  run "typescript client" node "$home/check.mjs"
} | tee "$home/told"

passed=$(grep -c '^ok ' "$home/told" || true)
failed=$(grep -c '^FAILED ' "$home/told" || true)
printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
