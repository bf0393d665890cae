# Sourced by the scripts beside it: starts a server and waits until it says where it listens.
#
#   start FOLDER COMMAND...    runs the command in FOLDER; sets `server` (its process) and `address`

start() {
  local folder=$1
  shift
  (cd "$folder" && exec "$@" >listening 2>log) &
  server=$!
  for _ in $(seq 100); do
    grep -q '^listening on ' "$folder/listening" 2>/dev/null && break
    kill -0 "$server" 2>/dev/null || { echo "the server ended at once:"; cat "$folder/log"; exit 1; }
    sleep 0.1
  done
  address=$(sed -n 's/^listening on //p' "$folder/listening")
  [ -n "$address" ] || { echo "the server did not say where it listens"; exit 1; }
}
