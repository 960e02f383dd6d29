#!/usr/bin/env bash
# run-cluster.sh: the specification's three nodes on this machine, with real data in them.
#
#     tools/run-cluster.sh [--voters] [--once]
#
# Starts a leader and two followers on the standard ports, loads every Debian package that is installed here (key: its
# name, value: its description), shows what can be done with that, and then the nodes' logs until Ctrl-C.
# --voters: no leader is named; the three elect one, and another one when that is killed.
# --once ends after the show; the exit code says whether everything went as it should.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/cluster.bash
source tools/cluster.bash

once='' voters=''
for argument; do
    case $argument in
    --once) once=yes ;;
    --voters) voters=yes ;;
    *) echo "usage: tools/run-cluster.sh [--voters] [--once]" >&2; exit 2 ;;
    esac
done

die() { printf 'run-cluster: %s\n' "$*" >&2; exit 1; }
title() { printf '\n== %s\n' "$*"; }
show() { printf '$ %s\n' "$*"; }

# name, replication port, API port, Redis port
nodes=('leader 8000 9000 6379' 'follower1 8001 9001 6380' 'follower2 8002 9002 6381')
if [[ -n $voters ]]; then nodes=('node1 8000 9000 6379' 'node2 8001 9001 6380' 'node3 8002 9002 6381'); fi
readonly nodes packages=/var/lib/dpkg/status

[[ -x $kvnode ]] || die "there is no $kvnode: make build"
[[ -r $packages ]] || die "$packages cannot be read, and it is where the data comes from"
for node in "${nodes[@]}"; do
    read -ra ports <<<"${node#* }"
    for port in "${ports[@]}"; do
        port_is_free "$port" && continue
        case $port in
        6379) die "port 6379 is taken, most likely by Debian's redis-server: sudo systemctl stop redis-server" ;;
        *) die "port $port is taken; another cluster may be running: ss -ltnp 'sport = :$port'" ;;
        esac
    done
done

# The nodes' logs, and what they keep on disk.
logs=$(mktemp -d "${TMPDIR:-/tmp}/kvnode-cluster.XXXXXX")
tails=()
finish() {
    local code=$?
    trap '' INT TERM
    trap - EXIT
    if ! stop_nodes; then
        code=1
        echo 'run-cluster: a node did not stop cleanly' >&2
    fi
    # Gives the followers of the logs the time to show the nodes' last words.
    if ((${#tails[@]} > 0)); then
        sleep 0.2
        kill "${tails[@]}" 2>/dev/null || true
    fi
    if ((code == 0)); then rm -rf "$logs"; else echo "run-cluster: the nodes' logs are in $logs" >&2; fi
    exit "$code"
}
trap finish EXIT
trap 'exit 0' INT TERM

# --- start ---------------------------------------------------------------------------------------------------------

# start NAME PORT API REDIS: of a set of voters all commands are the same, but for the ports and the directory.
start() {
    local flags=(-port "$2" -group 0 -api "$3" -redis "$4" -data "$logs/$1")
    if [[ $1 == leader ]]; then flags+=(-leader); fi
    if [[ -n $voters ]]; then flags+=(-voters 3); fi
    show "./kvnode ${flags[*]}"
    start_node "$1" "$logs/$1.log" "${flags[@]}"
}

# wait_healthy NAME PORT API REDIS
wait_healthy() {
    local name=$1 api=$3
    node_settled() { node_is_healthy "$api" || ! node_runs "$name"; }
    wait_for "$patience" node_settled || die "$name did not become healthy: $(curl -s -m 2 "http://$host:$api/health" || true)"
    node_runs "$name" || die "$name ended: $(tail -n 3 "$logs/$name.log")"
}

start_all() {
    local node fields
    for node in "${nodes[@]}"; do
        read -ra fields <<<"$node"
        start "${fields[@]}"
    done
    for node in "${nodes[@]}"; do
        read -ra fields <<<"$node"
        wait_healthy "${fields[@]}"
    done
    echo 'All three are healthy.'
}

# ask PORT COMMAND...: what redis-cli says, on one line; nothing where nobody answers.
ask() {
    local port=$1 answer
    shift
    answer=$(timeout 10 redis-cli -h "$host" -p "$port" "$@" 2>/dev/null) || return 0
    echo "${answer//$'\n'/ }"
}

# find_leader: sets leader_name, _port, _api and _redis to those of the one that leads.
find_leader() {
    for node in "${nodes[@]}"; do
        read -r leader_name leader_port leader_api leader_redis <<<"$node"
        if node_runs "$leader_name" && [[ $(ask "$leader_redis" ROLE) == master* ]]; then return; fi
    done
    return 1
}

title 'Starting the nodes'
start_all
wait_for "$patience" find_leader || die 'nobody leads'
if [[ -n $voters ]]; then
    title 'They have formed a set of voters, and elected a leader'
    show "curl -s http://$host:$leader_api/cluster | jq -c .voting.voters[]"
    curl -sS -m "$patience" --fail "http://$host:$leader_api/cluster" | jq -c '.voting.voters[]'
fi

# --- load ----------------------------------------------------------------------------------------------------------

title "Loading the packages of $packages"
tools/packages-to-resp.sh "$packages" | timeout 120 redis-cli -h "$host" -p "$leader_redis" --pipe || die 'the load failed'

keys_of() { redis-cli -h "$host" -p "$1" DBSIZE; }
keys=$(keys_of "$leader_redis")
((keys > 0)) || die 'nothing was loaded'
all_have_all() { [[ $(keys_of 6379) == "$keys" && $(keys_of 6380) == "$keys" && $(keys_of 6381) == "$keys" ]]; }
all_get_all() {
    wait_for "$patience" all_have_all || die "the nodes hold $(keys_of 6379), $(keys_of 6380) and $(keys_of 6381) of $keys keys"
}
all_get_all
echo "$keys keys, on the leader and on both followers."

# --- show ----------------------------------------------------------------------------------------------------------

show_named_leader() {
    local by_http by_redis answer name
    title 'Reading from both followers'
    show "curl -s 'http://$host:9001/get?key=curl' | jq -r .value"
    by_http=$(curl -sS -m "$patience" --fail "http://$host:9001/get?key=curl" | jq -r .value)
    printf '%s\n' "$by_http"
    show "redis-cli -p 6381 GET curl"
    by_redis=$(redis-cli -h "$host" -p 6381 GET curl)
    printf '%s\n' "$by_redis"
    [[ -n $by_http && $by_http == "$by_redis" ]] || die 'the two answers differ'

    title 'Writing to a follower: rejected, naming the leader'
    show "redis-cli -p 6380 SET hello world"
    answer=$(redis-cli -h "$host" -p 6380 SET hello world 2>&1 || true)
    printf '%s\n' "$answer"
    [[ $answer == *MOVED*"$host:6379"* ]] || die 'no MOVED to the leader'
    show "curl -i -X POST http://$host:9001/set -H 'Content-Type: application/json' -d '{\"key\":\"hello\",\"value\":\"world\"}'"
    answer=$(curl -sS -m "$patience" -i -X POST "http://$host:9001/set" -H 'Content-Type: application/json' \
        -d '{"key":"hello","value":"world"}' | tr -d '\r')
    printf '%s\n' "$answer"
    [[ $answer == 'HTTP/1.1 307'* && ${answer,,} == *$'\n'"location: http://$host:9000/set"* ]] ||
        die 'no 307 to the leader'

    title 'kill -9 of all three, and a start: nothing is lost'
    for name in "${node_names[@]}"; do
        show "kill -9 ${node_pid[$name]}    # $name"
        kill -KILL "${node_pid[$name]}"
        wait "${node_pid[$name]}" 2>/dev/null || true
    done
    node_names=()
    start_all
    all_get_all
    [[ $(redis-cli -h "$host" -p 6379 GET curl) == "$by_redis" ]] || die 'a value is another one than before'
    echo "$keys keys, on the leader and on both followers, read again from their directories. A line of one:"
    show "head -n 2 $logs/leader/journal-*.log | tail -n 1 | cut -c -100"
    head -qn 2 "$logs"/leader/journal-*.log | tail -n 1 | cut -c -100
}

# What a client with no patience at all would see: every attempt is followed by the next. Each write that is acknowledged, by
# whichever node, is a line of the file: its number, and when.
write_until() {
    local stop=$1 to=$2 api number=0
    while [[ ! -e $stop ]]; do
        number=$((number + 1))
        for api in 9000 9001 9002; do
            if [[ $(curl -sL -m 2 -o /dev/null -w '%{http_code}' -X POST "http://$host:$api/set?key=write:$number&acks=quorum" \
                -H 'Content-Type: text/plain' -d "$number") == 200 ]]; then
                echo "$number ${EPOCHREALTIME/[.,]/}" >>"$to"
                break
            fi
        done
    done
}

# written: how many of them there are by now.
written() { wc -l <"$logs/written"; }
more_than() { (($(written) > $1)); }

show_elected_leader() {
    local answer name api redis killed killed_fields at last='' gap=0 missing writer before
    title 'kill -9 of the leader, while somebody writes'
    show "curl -L -X POST 'http://$host:9000/set?key=write:1&acks=quorum' -d 1    # answered when two of three have it on disk"
    : >"$logs/written"
    write_until "$logs/enough" "$logs/written" &
    writer=$!
    wait_for "$patience" more_than 50 || die 'nothing is written'
    killed=$leader_name killed_fields=("$leader_name" "$leader_port" "$leader_api" "$leader_redis")
    show "kill -9 ${node_pid[$killed]}    # $killed, the leader"
    kill -KILL "${node_pid[$killed]}"
    wait "${node_pid[$killed]}" 2>/dev/null || true
    before=$(written)
    wait_for "$patience" more_than $((before + 50)) || die 'nobody takes writes any more'
    touch "$logs/enough"
    wait "$writer"
    wait_for "$patience" find_leader || die 'nobody leads'
    while read -r _ at; do
        if [[ -n $last ]] && ((at - last > gap)); then gap=$((at - last)); fi
        last=$at
    done <"$logs/written"
    missing=$(diff <(sed 's/^/GET write:/; s/ [0-9]*$//' "$logs/written" | redis-cli -h "$host" -p "$leader_redis") \
        <(cut -d ' ' -f 1 "$logs/written") | grep -c '^>' || true)
    echo "$leader_name leads now. $(written) writes were acknowledged, $((gap / 1000)) ms at most between two of them; $missing of them are missing."
    ((missing == 0)) || die 'what was acknowledged is lost'

    title 'Clients find the new leader by themselves'
    for node in "${nodes[@]}"; do
        read -r name _ api redis <<<"$node"
        if [[ $name == "$killed" || $name == "$leader_name" ]]; then continue; fi
        show "redis-cli -c -p $redis SET hello world"
        answer=$(ask "$redis" -c SET hello world)
        printf '%s\n' "$answer"
        [[ $answer == *OK ]] || die 'redis-cli has not found it'
        show "curl -L -X POST http://$host:$api/set -H 'Content-Type: application/json' -d '{\"key\":\"hello\",\"value\":\"again\"}'"
        curl -sSL -m "$patience" --fail -X POST "http://$host:$api/set" -H 'Content-Type: application/json' \
            -d '{"key":"hello","value":"again"}' || die 'curl has not found it'
    done

    title "$killed comes back, and follows"
    forget_node "$killed"
    start "${killed_fields[@]}"
    wait_healthy "${killed_fields[@]}"
    keys=$(keys_of "$leader_redis")
    all_get_all
    show "redis-cli -p ${killed_fields[3]} ROLE"
    ask "${killed_fields[3]}" ROLE
    show "redis-cli -p $leader_redis KVNODE VOTERS"
    redis-cli -h "$host" -p "$leader_redis" KVNODE VOTERS | paste -sd ' ' | sed 's/ id /\nid /g'
}

if [[ -n $voters ]]; then show_elected_leader; else show_named_leader; fi

title 'The cluster is yours'
cat <<EOT
$(printf %-9s "${nodes[0]%% *}")  curl http://$host:9000/cluster      redis-cli -c -p 6379
$(printf %-9s "${nodes[1]%% *}")  curl http://$host:9001/keys?limit=3 redis-cli -c -p 6380
$(printf %-9s "${nodes[2]%% *}")  curl http://$host:9002/health       redis-cli -c -p 6381
who is there, as text:  echo WHO | nc -q 1 $host 8000
EOT
if [[ -n $once ]]; then exit 0; fi

# --- follow --------------------------------------------------------------------------------------------------------

title 'The logs of the nodes; Ctrl-C stops all three'
for node in "${nodes[@]}"; do
    read -r name _ <<<"$node"
    tail -n +1 -f "$logs/$name.log" > >(trap '' INT && exec sed -u "s/^/$(printf '%-9s' "$name") | /") &
    tails+=($!)
done
wait -n "${node_pid[@]}" || true
for node in "${nodes[@]}"; do
    read -r name _ <<<"$node"
    if node_has_ended "$name"; then die "$name ended by itself"; fi
done
