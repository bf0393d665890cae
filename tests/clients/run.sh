#!/usr/bin/env bash
# Drives the server's GraphQL edge with clients and tools that others wrote, as their registries have them.
#
#   tests/clients/run.sh [BINARY]      the binary is built when none is named
#
# Needs python3 with venv, and node with npm. They are installed into a folder that is
# removed at the end; CORPUSD_CLIENTS_HOME names one that is kept. The committed schema is
# compared with the one of CORPUSD_SCHEMA_BASE (default: the commit before); a commit between
# whose message has a line beginning with "BREAKING:" may break clients.
# Prints `N passed, N failed`, and ends with 1 when something failed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../serving.sh"
root=$(cd "$here/../.." && pwd)
binary=${1:+$(realpath "$1")}
if [ -z "$binary" ]; then
  (cd "$root" && cargo build --quiet --bin corpusd)
  binary=${CARGO_TARGET_DIR:-$root/target}/debug/corpusd
fi

home=${CORPUSD_CLIENTS_HOME:-}
keep=yes
[ -n "$home" ] || { home=$(mktemp -d); keep=; }
work=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$work"
  [ -n "$keep" ] || rm -rf "$home"
}
trap cleanup EXIT

# ---------------------------------------------------------------- the clients
mkdir -p "$home"
[ -x "$home/python/bin/python" ] || python3 -m venv "$home/python"
"$home/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
cp -r "$here/package.json" "$here/check.mjs" "$here/schema.mjs" "$here/relay" "$here/types" "$home"
cp "$root/schema.graphql" "$home/relay"
cp "$root/schema.graphql" "$home/types"
(cd "$home" && npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error)

# ----------------------------------------------------------------- the server
start "$work" "$binary" serve --port 0
export SERVER=$address

# ----------------------------------------------------------------- the checks
tool() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then echo "ok $name"; else printf 'FAILED %s\n%s\n' "$name" "$said"; fi
}
part() {
  printf '\n-- %s\n' "$1"
  shift
  # The checks tell what failed; a crash of theirs is a failure as well.
  "$@" 2>&1 || echo "FAILED the process itself"
}
schema() {
  local base=${CORPUSD_SCHEMA_BASE:-HEAD~1} permitted=
  if git -C "$root" show "$base:schema.graphql" >"$work/base.graphql" 2>/dev/null; then
    ! git -C "$root" log --format=%B "$base..HEAD" | grep -q '^BREAKING:' || permitted=permitted
    node "$home/schema.mjs" "$root/schema.graphql" "$work/base.graphql" "$permitted"
  else
    echo "(no schema of before to compare with)"
    node "$home/schema.mjs" "$root/schema.graphql"
  fi
}
compile() {
  cd "$home/types"
  ../node_modules/.bin/graphql-codegen --config codegen.json
  ../node_modules/.bin/tsc --noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext --target es2022 use.ts
}
{
  part "the schema" schema
  tool "relay-compiler compiles fragments, connections and a refetch" bash -c "cd '$home/relay' && ../node_modules/.bin/relay-compiler relay.config.json"
  tool "GraphQL Code Generator makes types that fit" compile
  part "graphql-http, Apollo Client, urql, graphql-ws, graphql-sse" node "$home/check.mjs"
  part "gql" "$home/python/bin/python" "$here/check.py"
} | tee "$work/told"

passed=$(grep -c '^ok ' "$work/told" || true)
failed=$(grep -c '^FAILED ' "$work/told" || true)
printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
