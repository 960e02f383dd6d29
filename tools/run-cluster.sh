#!/usr/bin/env bash
# run-cluster.sh: the specification's three nodes on this machine, with real data in them.
#
#     tools/run-cluster.sh [--once]
#
# Starts a leader and two followers on the standard ports, loads every Debian package that is installed here (key: its
# name, value: its description), shows what can be done with that, and then the nodes' logs until Ctrl-C.
# --once ends after the show; the exit code says whether everything went as it should.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/cluster.bash
source tools/cluster.bash

once=
case ${1-} in
'') ;;
--once) once=yes ;;
*) echo "usage: tools/run-cluster.sh [--once]" >&2; exit 2 ;;
esac

die() { printf 'run-cluster: %s\n' "$*" >&2; exit 1; }
title() { printf '\n== %s\n' "$*"; }
show() { printf '$ %s\n' "$*"; }

# name, replication port, API port, Redis port
nodes=('leader 8000 9000 6379' 'follower1 8001 9001 6380' 'follower2 8002 9002 6381')
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

start_all() {
    local node name port api redis flags
    for node in "${nodes[@]}"; do
        read -r name port api redis <<<"$node"
        flags=(-port "$port" -group 0 -api "$api" -redis "$redis" -data "$logs/$name")
        if [[ $name == leader ]]; then flags+=(-leader); fi
        show "./kvnode ${flags[*]}"
        start_node "$name" "$logs/$name.log" "${flags[@]}"
    done
    for node in "${nodes[@]}"; do
        read -r name _ api _ <<<"$node"
        node_settled() { node_is_healthy "$api" || ! node_runs "$name"; }
        wait_for "$patience" node_settled || die "$name did not become healthy: $(curl -s -m 2 "http://$host:$api/health" || true)"
        node_runs "$name" || die "$name ended: $(tail -n 3 "$logs/$name.log")"
    done
    echo 'All three are healthy.'
}

title 'Starting the nodes'
start_all

# --- load ----------------------------------------------------------------------------------------------------------

title "Loading the packages of $packages"
tools/packages-to-resp.sh "$packages" | timeout 120 redis-cli -h "$host" -p 6379 --pipe || die 'the load failed'

keys_of() { redis-cli -h "$host" -p "$1" DBSIZE; }
keys=$(keys_of 6379)
((keys > 0)) || die 'nothing was loaded'
followers_have_all() { [[ $(keys_of 6380) == "$keys" && $(keys_of 6381) == "$keys" ]]; }
wait_for "$patience" followers_have_all || die "followers hold $(keys_of 6380) and $(keys_of 6381) of $keys keys"
echo "$keys keys, on the leader and on both followers."

# --- show ----------------------------------------------------------------------------------------------------------

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
wait_for "$patience" followers_have_all || die "followers hold $(keys_of 6380) and $(keys_of 6381) of $keys keys"
[[ $(keys_of 6379) == "$keys" ]] || die "the leader has $(keys_of 6379) of $keys keys"
[[ $(redis-cli -h "$host" -p 6379 GET curl) == "$by_redis" ]] || die 'a value is another one than before'
echo "$keys keys, on the leader and on both followers, read again from their directories. A line of one:"
show "head -n 2 $logs/leader/journal-*.log | tail -n 1 | cut -c -100"
head -qn 2 "$logs"/leader/journal-*.log | tail -n 1 | cut -c -100

title 'The cluster is yours'
cat <<EOT
leader     curl http://$host:9000/cluster      redis-cli -c -p 6379
follower1  curl http://$host:9001/keys?limit=3 redis-cli -c -p 6380
follower2  curl http://$host:9002/health       redis-cli -c -p 6381
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
