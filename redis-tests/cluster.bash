# shellcheck shell=bash
# cluster.bash: what the bats files here share: a leader and two followers on free ports for each file.
# $leader, $follower1 and $follower2 are Redis ports, $leader_api the leader's HTTP port.

# shellcheck source=tools/cluster.bash
source "${BASH_SOURCE[0]%/*}/../tools/cluster.bash"

start_cluster() {
    local ports
    take_ports
    mapfile -t ports < <(free_ports 10)
    export leader=${ports[6]} follower1=${ports[7]} follower2=${ports[8]} leader_api=${ports[3]}
    local common=(-group 0 -discovery-port "${ports[9]}")
    local logs=$BATS_FILE_TMPDIR
    start_node leader "$logs/leader.log" "${common[@]}" -leader \
        -port "${ports[0]}" -api "${ports[3]}" -redis "$leader"
    start_node follower1 "$logs/follower1.log" "${common[@]}" -port "${ports[1]}" -api "${ports[4]}" -redis "$follower1"
    start_node follower2 "$logs/follower2.log" "${common[@]}" -port "${ports[2]}" -api "${ports[5]}" -redis "$follower2"
    local api
    for api in "${ports[@]:3:3}"; do
        if ! wait_for "$patience" node_is_healthy "$api"; then
            tail -n 20 "$logs"/*.log
            stop_nodes || true
            return 1
        fi
    done
}

# Groups 0 and 1, a leader and a follower each; $redis_ports are leader0, leader1, follower0, follower1.
start_two_groups() {
    local ports i name logs=$BATS_FILE_TMPDIR
    take_ports
    mapfile -t ports < <(free_ports 13)
    export redis_ports="${ports[*]:8:4}"
    for i in 0 1 2 3; do
        name=leader$i
        if ((i >= 2)); then name=follower$((i % 2)); fi
        start_node "$name" "$logs/$name.log" -discovery-port "${ports[12]}" -group $((i % 2)) \
            -port "${ports[i]}" -api "${ports[i + 4]}" -redis "${ports[i + 8]}" -leader="$( ((i < 2)) && echo true || echo false)"
    done
    for i in 0 1 2 3; do
        if ! wait_for "$patience" node_is_healthy "${ports[i + 4]}" || ! wait_for "$patience" knows_two_groups "${ports[i + 8]}"; then
            tail -n 20 "$logs"/*.log
            stop_nodes || true
            return 1
        fi
    done
}

knows_two_groups() { [[ $(cli "$1" CLUSTER INFO) == *cluster_state:ok*cluster_known_nodes:4*cluster_size:2* ]]; }

# cli PORT WORD...: redis-cli, bounded in time.
cli() { timeout "$patience" redis-cli -h "$host" -p "$1" "${@:2}"; }

# is PORT EXPECTED WORD...: whether redis-cli prints just that.
is() { [[ $(cli "$1" "${@:3}") == "$2" ]]; }
