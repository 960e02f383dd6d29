#!/usr/bin/env bats
# redis-cli, as it comes from Debian, against a leader and two followers.

setup_file() {
    # shellcheck source=redis-tests/cluster.bash
    source "$BATS_TEST_DIRNAME/cluster.bash"
    start_cluster
}

# Sourcing empties the list of nodes, and bats sources for every test: the file's own shell still has it.
teardown_file() { stop_nodes; }

setup() {
    # shellcheck source=redis-tests/cluster.bash
    source "$BATS_TEST_DIRNAME/cluster.bash"
}

# says EXPECTED WORD...: what the leader answers; shows the answer when it is another.
says() {
    local answer
    answer=$(cli "$leader" "${@:2}" 2>&1)
    if [[ $answer != "$1" ]]; then
        printf '%s\nexpected: %q\nanswered: %q\n' "${*:2}" "$1" "$answer"
        return 1
    fi
}

@test "SET, GET, DEL and EXISTS" {
    says OK SET greeting hello
    says hello GET greeting
    says 1 EXISTS greeting
    says 2 EXISTS greeting greeting
    says 1 DEL greeting
    says 0 DEL greeting
    says '' GET greeting
    says none TYPE greeting
}

@test "SET NX, XX, GET and KEEPTTL" {
    says OK SET lock one NX
    says '' SET lock two NX
    says OK SET lock two XX
    says '' SET no-such-key value XX
    says two SET lock three GET
    says OK SET lock four EX 1000
    says OK SET lock five KEEPTTL
    run cli "$leader" TTL lock
    ((output > 990 && output <= 1000))
    says OK SET lock six
    says -1 TTL lock
}

@test "expiry: EXPIRE, PEXPIRE, PTTL, PERSIST, and a key that is gone in time" {
    says OK SET temporary value
    says 1 EXPIRE temporary 1000
    run cli "$leader" PTTL temporary
    ((output > 900000 && output <= 1000000))
    says 1 PERSIST temporary
    says 0 PERSIST temporary
    says -1 TTL temporary
    says -2 TTL no-such-key
    says 0 EXPIRE no-such-key 100
    says 1 PEXPIRE temporary 50
    wait_for "$patience" is "$leader" '' GET temporary
    says -2 TTL temporary
    wait_for "$patience" is "$follower1" '' GET temporary
}

@test "error texts are Redis's" {
    says "ERR unknown command 'NONSENSE', with args beginning with: 'a' 'b' " NONSENSE a b
    says "ERR wrong number of arguments for 'get' command" GET
    says 'ERR syntax error' SET key value NONSENSE
    says 'ERR value is not an integer or out of range' SET key value EX ten
    says "ERR invalid expire time in 'set' command" SET key value EX 0
}

@test "PING, ECHO, SELECT 0" {
    says PONG PING
    says hi PING hi
    says hi ECHO hi
    says OK SELECT 0
}

@test "binary values: newlines, NUL, bars, percent signs, bytes that are no UTF-8" {
    local file=$BATS_TEST_TMPDIR/value
    printf 'a|b\r\nc%%0A\000\377\376 \360\237\222\241 end' >"$file"
    [[ $(cli "$leader" -x SET binary <"$file") == OK ]]
    for port in "$leader" "$follower1" "$follower2"; do
        wait_for "$patience" is "$port" 1 EXISTS binary
        # redis-cli adds a newline to what it prints.
        cmp <(cat "$file" && echo) <(cli "$port" --raw GET binary)
    done
}

@test "a value of ten million bytes reaches the followers" {
    local file=$BATS_TEST_TMPDIR/large
    head -c 10000000 /dev/urandom >"$file"
    [[ $(cli "$leader" -x SET large <"$file") == OK ]]
    for port in "$leader" "$follower1" "$follower2"; do
        wait_for "$patience" is "$port" 1 EXISTS large
        cmp <(cat "$file" && echo) <(cli "$port" --raw GET large)
    done
}

@test "redis-cli --pipe loads 10,000 keys, --scan lists them all, once each" {
    says OK FLUSHALL
    run timeout "$patience" bash -c "seq 10000 | sed 's/.*/SET pipe:& value-&\r/' | redis-cli -h $host -p $leader --pipe"
    [[ $status == 0 && $output == *'errors: 0, replies: 10000'* ]]
    says 10000 DBSIZE
    says value-777 GET pipe:777
    [[ $(cli "$leader" --scan --pattern 'pipe:*' | sort -u | wc -l) == 10000 ]]
    [[ $(cli "$leader" KEYS 'pipe:12?4' | sort | tr '\n' ' ') == "$(printf 'pipe:12%d4 ' {0..9})" ]]
    for port in "$follower1" "$follower2"; do wait_for "$patience" is "$port" 10000 DBSIZE; done
}

@test "a follower answers reads and names the leader for writes" {
    says OK SET routed here
    wait_for "$patience" is "$follower1" here GET routed
    run cli "$follower1" SET routed elsewhere
    [[ $output == "MOVED $(cli "$leader" CLUSTER KEYSLOT routed) $host:$leader" ]]
    run cli "$follower1" FLUSHALL
    [[ $output == "READONLY You can't write against a read only replica." ]]
    says here GET routed
}

@test "redis-cli -c follows the redirection" {
    run cli "$follower2" -c SET followed yes
    [[ $output == *OK ]]
    says yes GET followed
}

@test "CLUSTER KEYSLOT is Redis's, hash tags included" {
    says 12739 CLUSTER KEYSLOT 123456789
    says 12182 CLUSTER KEYSLOT foo
    says 3443 CLUSTER KEYSLOT '{user1000}.following'
    says 3443 CLUSTER KEYSLOT '{user1000}.followers'
}

@test "CLUSTER INFO and CLUSTER NODES show a whole cluster" {
    run cli "$leader" CLUSTER INFO
    [[ $output == *cluster_state:ok* && $output == *cluster_slots_assigned:16384* ]]
    run cli "$leader" CLUSTER NODES
    [[ $(grep -c master <<<"$output") == 1 && $(grep -c slave <<<"$output") == 2 ]]
}

@test "ROLE and INFO tell who is who" {
    [[ $(cli "$leader" ROLE | head -n 1) == master ]]
    [[ $(cli "$follower1" ROLE | head -n 1) == slave ]]
    [[ $(cli "$leader" INFO replication) == *role:master* ]]
    [[ $(cli "$follower1" INFO replication) == *role:slave* ]]
}

@test "COMMAND, COMMAND COUNT, DOCS and INFO agree; CONFIG GET answers" {
    local count
    count=$(cli "$leader" COMMAND COUNT)
    ((count >= 20))
    # -2: RESP2, where a map is a list of twice the length.
    [[ $(cli "$leader" -2 --json COMMAND | jq length) == "$count" ]]
    [[ $(cli "$leader" -2 --json COMMAND DOCS | jq length) == $((2 * count)) ]]
    [[ $(cli "$leader" -2 --json COMMAND INFO get no-such set | jq -c 'map(.[0]?)') == '["get",null,"set"]' ]]
    [[ $(cli "$leader" -2 --json COMMAND INFO get | jq -c '.[0][1:6]') == '[2,["readonly","fast"],1,1,1]' ]]
    says $'maxmemory\n0' CONFIG GET maxmemory
}

@test "redis-cli help takes its texts from COMMAND DOCS" {
    run cli "$leader" help set
    [[ $status == 0 && $output == *'Set the string value of a key'*1.0.0*string* ]]
}

@test "inline commands, typed by a person" {
    run timeout "$patience" nc -q 5 "$host" "$leader" < <(printf 'PING\r\nSET typed "two words\\x21"\n\r\n  GET   typed \r\nGET "\r\n')
    [[ $output == "$(printf '%s\r\n' +PONG +OK "\$10" 'two words!' '-ERR Protocol error: unbalanced quotes in request')" ]]
}

@test "redis-cli --bigkeys samples every key" {
    says OK FLUSHALL
    for key in small large larger; do says OK SET "$key" "$key"; done
    run cli "$leader" --bigkeys
    [[ $status == 0 && $output == *'Sampled 3 keys in the keyspace!'* && $output == *'3 strings with '* ]]
}

@test "redis-cli --memkeys asks for the memory of every key" {
    says OK FLUSHALL
    for key in small large larger; do says OK SET "$key" "$key"; done
    run cli "$leader" --memkeys
    [[ $status == 0 && $output == *'Sampled 3 keys in the keyspace!'* && $output == *'3 strings with '* ]]
}

@test "redis-cli -3 speaks RESP3" {
    says OK SET three yes
    [[ $(cli "$leader" -3 GET three) == yes ]]
    [[ $(cli "$leader" -3 CLIENT INFO) == *resp=3* ]]
}

# min, max and average in ms, and the number of samples.
@test "redis-cli --latency takes a sample every 10 ms" {
    local samples
    read -r _ _ _ samples < <(cli "$leader" --latency -i 1 --raw)
    ((samples >= 20 && samples <= 100))
}

@test "redis-cli --stat reads INFO" {
    says OK FLUSHALL
    says OK SET counted yes
    # It goes on until nobody reads, and gives its lines away when its buffer is full or a line is its unit.
    run bash -c "timeout $patience stdbuf -oL redis-cli -h $host -p $leader --stat -i 1 | head -n 4"
    [[ ${lines[1]} == *keys*mem*clients*requests*connections* ]]
    # keys, memory, clients, blocked, requests (and how many more), connections
    [[ ${lines[3]} =~ ^1\ +[0-9.]+[BKM]\ +[1-9][0-9]*\ +0\ +[1-9][0-9]*\ +\(\+[0-9]+\)\ +[1-9][0-9]* ]]
}

# Each of its tests runs through, without an error from the server or a warning about CONFIG.
@test "redis-benchmark runs through" {
    run timeout "$patience" redis-benchmark -h "$host" -p "$leader" -q -n 2000 -t ping,set,get -P 16
    [[ $status == 0 && $output != *Error* && $output != *WARNING* ]]
    [[ $(grep -o '[A-Z_]*: [0-9.]* requests per second' <<<"$output" | cut -d : -f 1 | tr '\n' ' ') == \
        'PING_INLINE PING_MBULK SET GET ' ]]
}
