# What the scripts of this folder share; sourced, never run. Needs bash.
# shellcheck shell=bash disable=SC2034 # who sources it uses the variables

spire_home="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

# Everything that `up` makes lives here; `down --purge` removes it.
SPIRE_DIR="${SPIRE_DIR:-${XDG_STATE_HOME:-$HOME/.local/state}/postern-spire}"

# The trust domains: name and port of the server. The second is federated with the first, and the first with it.
trust_domains=("corp.example ${SPIRE_PORT:-8081}" "partner-a.example ${SPIRE_PARTNER_PORT:-8082}")

# The workloads: trust domain and name. Processes of one user cannot be told apart by their user, so each workload has an
# agent, and with it a socket, of its own.
workloads=('corp.example payments' 'corp.example checkout' 'partner-a.example orders')

# Messages go to stderr: stdout is for what another program reads.
say() {
  printf '%s\n' "$*" >&2
}

fail() {
  say "$@"
  exit 1
}

# Sets spire_server and spire_agent, and says where they come from.
find_spire() {
  local folder
  folder="$("$spire_home/install")"
  spire_server="$folder/spire-server"
  spire_agent="$folder/spire-agent"
}

server_socket() {
  printf '%s' "$SPIRE_DIR/$1/server.sock"
}

agent_socket() {
  printf '%s' "$SPIRE_DIR/$1/$2/agent.sock"
}

# Asks the server of a trust domain: `ask corp.example bundle show`.
ask() {
  local domain="$1"
  shift
  "$spire_server" "$@" -socketPath "$(server_socket "$domain")"
}

# Repeats a command until it succeeds, for at most $patience seconds: `wait_for WHAT LOG PID COMMAND ...`.
wait_for() {
  local what="$1" log="$2" pid="$3" deadline=$((SECONDS + ${patience:-30}))
  shift 3
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS > deadline)) || ! kill -0 "$pid" 2>/dev/null; then
      say "$what did not become healthy; the end of $log:"
      tail -n 15 "$log" >&2
      return 1
    fi
    sleep 0.1
  done
}

# Starts a program of SPIRE in the background: `launch FOLDER NAME COMMAND ...` leaves FOLDER/NAME.pid and NAME.log.
launch() {
  local folder="$1" name="$2"
  shift 2
  nohup "$@" </dev/null >>"$folder/$name.log" 2>&1 &
  printf '%s\n' "$!" >"$folder/$name.pid"
}

# Ends what `launch` started: politely, then not. A number that now belongs to another program is left alone.
stop() {
  local folder="$1" name="$2" pid deadline=$((SECONDS + 10))
  [[ -f "$folder/$name.pid" ]] || return 0
  pid="$(cat "$folder/$name.pid")"
  if is_ours "$pid" "$name"; then
    kill "$pid" 2>/dev/null || true
    while is_ours "$pid" "$name"; do
      if ((SECONDS > deadline)); then kill -KILL "$pid" 2>/dev/null || true; fi
      sleep 0.1
    done
    say "$folder: $name stopped"
  fi
  rm -f "$folder/$name.pid"
}

# A process that has ended but was not yet waited for by its parent has no executable any more.
is_ours() {
  [[ "$(readlink "/proc/$1/exe" 2>/dev/null)" == */spire-"$2"* ]]
}
