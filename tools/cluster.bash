# shellcheck shell=bash
# cluster.bash: starts, watches and stops kvnode nodes; sourced by run-cluster.sh, test.sh and redis-tests/*.bats.
# Everything that waits has a limit; a node is only ever stopped by the pid it was started with.

kvnode=${KVNODE:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/kvnode}
host=127.0.0.1
node_names=()
declare -gA node_pid=() # bats sources this inside a function
port_block='' port_lock=9 # of take_ports
patience=60               # seconds, that a busy machine may take for what comes at once

# wait_for SECONDS COMMAND...: until the command succeeds; fails when the seconds are over.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if ((SECONDS > deadline)); then return 1; fi
        sleep 0.05
    done
}

port_is_free() { ! (exec 3<>"/dev/tcp/$host/$1") 2>/dev/null; }

# take_ports: a block of ports for free_ports that no other script is given while this one lives. The tests in Python have
# those below (tests/process/harness.py), outgoing connections those above.
take_ports() {
    local blocks=${TMPDIR:-/tmp}/kvnode-ports-$UID
    mkdir -p "$blocks"
    while :; do
        port_block=$((RANDOM % 100))
        exec {port_lock}>"$blocks/$port_block"
        if flock -n "$port_lock"; then return; fi
        exec {port_lock}>&-
    done
}

# free_ports N: N free TCP ports of what take_ports has taken, one a line.
free_ports() {
    local port found=0
    local -A given=()
    while ((found < $1)); do
        port=$((27000 + port_block * 50 + RANDOM % 50))
        if [[ -z ${given[$port]-} ]] && port_is_free "$port"; then
            given[$port]=1
            found=$((found + 1))
            echo "$port"
        fi
    done
}

# start_node NAME LOG FLAG...: in the background, its stderr at the end of LOG. (bats waits for whoever holds descriptor 3.)
start_node() {
    local name=$1 log=$2
    shift 2
    "$kvnode" "$@" </dev/null >"$log" 2>&1 3>&- {port_lock}>&- &
    node_pid[$name]=$!
    node_names+=("$name")
}

# bash reaps its children as they end, so a pid that still takes signals is a node that runs.
node_runs() { kill -0 "${node_pid[$1]}" 2>/dev/null; }

# forget_node NAME: it was killed on purpose.
forget_node() {
    local name left=()
    for name in "${node_names[@]}"; do
        if [[ $name != "$1" ]]; then left+=("$name"); fi
    done
    node_names=("${left[@]}")
}

node_has_ended() { ! node_runs "$1"; }

node_is_healthy() { [[ $(curl -s -m 2 -o /dev/null -w '%{http_code}' "http://$host:$1/health") == 200 ]]; }

# SIGTERM to all, $patience seconds for all of them together, SIGKILL to the rest. Fails if one did not end by itself with 0.
stop_nodes() {
    local name failed=0 deadline=$((SECONDS + patience))
    for name in "${node_names[@]}"; do kill -TERM "${node_pid[$name]}" 2>/dev/null || true; done
    for name in "${node_names[@]}"; do
        if ! wait_for $((deadline - SECONDS)) node_has_ended "$name"; then kill -KILL "${node_pid[$name]}" 2>/dev/null || true; fi
        wait "${node_pid[$name]}" || failed=1
    done
    node_names=()
    return "$failed"
}
