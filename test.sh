#!/usr/bin/env bash
# test.sh: the specification's integration test, step by step, over the REST API.
#
#     ./test.sh [--use-running]
#
# Starts a leader and two followers of its own on free ports; with --use-running it asks the nodes that answer on the
# standard ports 9000 to 9002. A line per check, then `N passed, N failed`; exit code 0 only if all hold.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=tools/cluster.bash
source tools/cluster.bash

leader=9000 follower1=9001 follower2=9002
passed=0 failed=0

# check DESCRIPTION COMMAND...
check() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        printf 'ok    %s\n' "$what"
    else
        failed=$((failed + 1))
        printf 'FAIL  %s\n' "$what"
    fi
}
step() { printf '\n%s\n' "$*"; }

start_cluster() {
    local ports
    take_ports
    mapfile -t ports < <(free_ports 10)
    leader=${ports[3]} follower1=${ports[4]} follower2=${ports[5]}
    local common=(-group 0 -discovery-port "${ports[9]}")
    start_node leader "$logs/leader.log" "${common[@]}" -leader \
        -port "${ports[0]}" -api "$leader" -redis "${ports[6]}"
    start_node follower1 "$logs/follower1.log" "${common[@]}" \
        -port "${ports[1]}" -api "$follower1" -redis "${ports[7]}"
    start_node follower2 "$logs/follower2.log" "${common[@]}" \
        -port "${ports[2]}" -api "$follower2" -redis "${ports[8]}"
}

finish() {
    local code=$?
    trap - EXIT
    if ! stop_nodes; then
        echo 'test.sh: a node did not stop cleanly' >&2
        code=1
    fi
    if ((code != 0)); then tail -n 20 "$logs"/*.log 2>/dev/null >&2 || true; fi
    rm -rf "$logs"
    exit "$code"
}

# --- what is asked -------------------------------------------------------------------------------------------------

url() { printf 'http://%s:%s%s' "$host" "$1" "$2"; }
get() { curl -s -m "$patience" "$(url "$1" "/get?key=$2")"; }
post() { curl -s -m "$patience" -X POST "$(url "$1" /set)" -H 'Content-Type: application/json' -d "$2" "${@:3}"; }

# Three nodes alive in group 0, one of them its leader.
topology_is_whole() {
    curl -s -m "$patience" "$(url "$1" /cluster)" | jq -e '
        [.nodes[] | select(.alive and .group == 0)] |
        length >= 3 and ([.[] | select(.role == "leader")] | length == 1)' >/dev/null
}
write_is_confirmed() {
    [[ $(jq -r '"\(.key) \(.version >= 1) \(.timestamp | length > 0)"' <<<"$1" 2>/dev/null) == "$2 true true" ]]
}
holds() { [[ $(get "$1" "$2" | jq -r .value 2>/dev/null) == "$3" ]]; }
# What a node has of a key; nothing, and an error, when it does not answer or has no such key.
entry() { get "$1" "$2" | jq -ceS 'select(.version >= 1) | [.key, .value, .version]' 2>/dev/null; }
same_everywhere() {
    local first
    first=$(entry "$leader" "$1") &&
        [[ $(entry "$follower1" "$1") == "$first" && $(entry "$follower2" "$1") == "$first" ]]
}
both_followers_hold() { holds "$follower1" "$1" "$2" && holds "$follower2" "$1" "$2"; }
write_is_redirected() {
    local answer
    answer=$(post "$1" "{\"key\":\"$2\",\"value\":\"from a follower\"}" -o /dev/null -w '%{http_code} %{redirect_url}')
    [[ $answer == "307 $(url "$leader" /set)" ]]
}

# --- the six steps -------------------------------------------------------------------------------------------------

case ${1-} in
'')
    [[ -x $kvnode ]] || { echo "there is no $kvnode: make build" >&2; exit 1; }
    logs=$(mktemp -d "${TMPDIR:-/tmp}/kvnode-test.XXXXXX")
    trap finish EXIT
    trap 'exit 1' INT TERM
    start_cluster
    ;;
--use-running) ;;
*) echo 'usage: ./test.sh [--use-running]' >&2; exit 2 ;;
esac
key=test-$$-$RANDOM

step '1. Health of all nodes'
for port in "$leader" "$follower1" "$follower2"; do
    check "http://$host:$port/health answers 200" wait_for "$patience" node_is_healthy "$port"
done

step '2. Cluster topology'
for port in "$leader" "$follower1" "$follower2"; do
    check "the node at $port knows three nodes alive and their leader" wait_for "$patience" topology_is_whole "$port"
done

step '3. Write to the leader'
answer=$(post "$leader" "{\"key\":\"$key\",\"value\":\"hello\"}" || true)
check 'POST /set is answered with key and version' write_is_confirmed "$answer" "$key"

step '4. Read from the leader and from both followers'
check 'the leader returns the value' holds "$leader" "$key" hello
check 'follower 1 returns the value' wait_for "$patience" holds "$follower1" "$key" hello
check 'follower 2 returns the value' wait_for "$patience" holds "$follower2" "$key" hello

step '5. Replication'
for number in {1..20}; do
    post "$leader" "{\"key\":\"$key-$((number % 5))\",\"value\":\"value $number\"}" -o /dev/null || true
done
for number in {16..20}; do
    check "after 4 writes, $key-$((number % 5)) is on both followers with its last value" \
        wait_for "$patience" both_followers_hold "$key-$((number % 5))" "value $number"
    check "  with the leader's version" wait_for "$patience" same_everywhere "$key-$((number % 5))"
done

step '6. Writes to followers are rejected'
for port in "$follower1" "$follower2"; do
    check "the node at $port answers 307 to the leader" write_is_redirected "$port" "$key"
done
check 'the value is what it was' holds "$leader" "$key" hello

printf '\n%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
