#!/usr/bin/env bats
# redis-cli against two groups, each of a leader and a follower: who owns what, and how a client gets there.

setup_file() {
    # shellcheck source=redis-tests/cluster.bash
    source "$BATS_TEST_DIRNAME/cluster.bash"
    start_two_groups
}

teardown_file() { stop_nodes; }

setup() {
    # shellcheck source=redis-tests/cluster.bash
    source "$BATS_TEST_DIRNAME/cluster.bash"
    read -r leader0 leader1 follower0 follower1 <<<"$redis_ports"
}

# key_of_group N: a key that group N owns.
key_of_group() {
    local leader=$leader0 key
    if (($1 == 1)); then leader=$leader1; fi
    for key in key:{1..100}; do
        if [[ $(cli "$leader" EXISTS "$key") == [01] ]]; then
            echo "$key"
            return
        fi
    done
    return 1
}

@test "a key of the other group is MOVED to its leader, by leaders and followers, for reads and writes" {
    local key slot
    key=$(key_of_group 1)
    slot=$(cli "$leader0" CLUSTER KEYSLOT "$key")
    is "$leader1" OK SET "$key" there
    for port in "$leader0" "$follower0"; do
        is "$port" "MOVED $slot $host:$leader1" GET "$key"
        is "$port" "MOVED $slot $host:$leader1" SET "$key" elsewhere
    done
    wait_for "$patience" is "$follower1" there GET "$key"
    is "$follower1" "MOVED $slot $host:$leader1" SET "$key" elsewhere
    is "$leader1" there GET "$key"
}

@test "redis-cli -c writes and reads 200 keys over both groups, from any node" {
    local port
    is "$leader0" OK FLUSHALL
    is "$leader1" OK FLUSHALL
    seq 200 | sed 's/.*/SET over:& value-&/' | cli "$follower0" -c >/dev/null
    local keys0 keys1
    keys0=$(cli "$leader0" DBSIZE) keys1=$(cli "$leader1" DBSIZE)
    ((keys0 + keys1 == 200 && keys0 > 50 && keys1 > 50))
    wait_for "$patience" is "$follower0" "$keys0" DBSIZE
    wait_for "$patience" is "$follower1" "$keys1" DBSIZE
    for port in $redis_ports; do
        [[ $(seq 200 | sed 's/.*/GET over:&/' | cli "$port" -c | grep -o 'value-[0-9]*') == "$(seq -f 'value-%g' 200)" ]]
    done
}

@test "MOVED and CLUSTER SLOTS name the same owner" {
    local key slot owner
    local ranges
    ranges=$(cli "$follower1" --json CLUSTER SLOTS)
    for key in owner:{1..20}; do
        slot=$(cli "$leader0" CLUSTER KEYSLOT "$key")
        owner=$(jq --argjson slot "$slot" '.[] | select(.[0] <= $slot and $slot <= .[1]) | .[2][1]' <<<"$ranges")
        if [[ $owner == "$leader0" ]]; then
            is "$leader0" OK SET "$key" x
            is "$leader1" "MOVED $slot $host:$leader0" SET "$key" x
        else
            [[ $owner == "$leader1" ]]
            is "$leader1" OK SET "$key" x
            is "$leader0" "MOVED $slot $host:$leader1" SET "$key" x
        fi
    done
}

@test "redis-cli --cluster check finds nothing wrong, asked at any node" {
    local port
    for port in $redis_ports; do
        run timeout "$patience" redis-cli --cluster check "$host:$port"
        [[ $status == 0 && $output == *'in 2 masters'* && $output == *'All nodes agree about slots configuration'* ]]
        [[ $output == *'All 16384 slots covered'* && $output != *ERR* ]]
    done
}

@test "redis-cli --cluster call reaches all four" {
    run timeout "$patience" redis-cli --cluster call "$host:$follower0" PING
    [[ $status == 0 && $(grep -c ': PONG' <<<"$output") == 4 ]]
}

@test "redis-benchmark --cluster spreads over both groups" {
    local port
    is "$leader0" OK FLUSHALL
    is "$leader1" OK FLUSHALL
    run timeout "$patience" redis-benchmark -h "$host" -p "$leader0" --cluster -q -n 20000 -r 100000 -t set,get -P 16
    [[ $status == 0 && $output == *'Cluster has 2 master nodes'* && $output == *SET:*GET:* && $output != *Error* ]]
    for port in $redis_ports; do echo "port $port: $(cli "$port" DBSIZE) keys"; done
    (($(cli "$leader0" DBSIZE) > 0 && $(cli "$leader1" DBSIZE) > 0))
}
