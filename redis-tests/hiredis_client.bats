#!/usr/bin/env bats
# The client program of this folder, on hiredis, against a leader and two followers.

setup_file() {
    # shellcheck source=redis-tests/cluster.bash
    source "$BATS_TEST_DIRNAME/cluster.bash"
    start_cluster
}

teardown_file() { stop_nodes; }

# The program prints a line per check, and says by its exit code whether all held.
@test "hiredis_client HOST LEADER FOLLOWER..." {
    run timeout 300 "${KVNODE_CLIENTS:?}/hiredis_client" 127.0.0.1 "$leader" "$follower1" "$follower2"
    printf '%s\n' "$output"
    [[ $status == 0 ]]
}
