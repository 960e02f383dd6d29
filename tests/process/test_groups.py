#!/usr/bin/env python3
"""Many groups, many followers (the sizes of the specification), and how any node leads to a key's owner (DESIGN.md 6, 7)."""
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import (
    SANITIZE, TIMEOUT_S, Cluster, ClusterTestCase, Node, RespClient, RespError, free_port, main, wait_until,
)
from peers import SLOTS, FakeStarter, Relay, key_slot, keys_of_all_slots, pipeline_all, ring_owners, slot_map

KEYS = 20_000 if SANITIZE else 100_000


def run(*command: str) -> str:
    """A client program's standard output; it must succeed."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert ended.returncode == 0, (command, ended)
    return ended.stdout


def wait_ring(cluster: Cluster, groups: int) -> None:
    """Until every node has every group in its ring, and knows where its leader answers."""

    def has_all(node: Node) -> bool:
        with node.resp() as client:
            return client.info()["groups_in_ring"] == str(groups) and None not in slot_map(client)

    for node in cluster.nodes:
        wait_until(lambda: has_all(node), what=f"{node.name} has {groups} groups")


class Sizes(ClusterTestCase):
    def load(self, cluster: Cluster) -> dict[int, list[str]]:
        """KEYS keys, each written to the leader that the slot map names; returns them by that leader's RESP port."""
        with cluster.nodes[0].resp() as client:
            owners = slot_map(client)
        shares: dict[int, list[str]] = {}
        for i in range(KEYS):
            shares.setdefault(owners[key_slot(f"key:{i}")], []).append(f"key:{i}")
        for port, keys in shares.items():
            with RespClient(port) as client:
                pipeline_all(client, [("SET", key, f"value of {key}") for key in keys])
        return shares

    def check(self, node: Node, keys: list[str]) -> None:
        """It has these keys with their values, and no others."""
        self.assertEqual(node.execute("DBSIZE"), len(keys), node)
        with node.resp() as client:
            for start in range(0, len(keys), 1000):
                some = keys[start : start + 1000]
                wanted = [f"value of {key}".encode() for key in some]
                self.assertEqual(client.pipeline(("GET", key) for key in some), wanted)

    def test_ten_groups_of_one_leader(self) -> None:
        cluster = self.start_cluster(groups=10, followers=0)
        wait_ring(cluster, 10)
        shares = self.load(cluster)
        self.assertEqual(set(shares), {node.redis for node in cluster.nodes}, "every group has its part")
        for node in cluster.nodes:
            self.check(node, shares[node.redis])
        self.assertEqual(sum(node.http("GET", "/health").json()["keys"] for node in cluster.nodes), KEYS)

    def test_one_leader_with_five_followers(self) -> None:
        cluster = self.start_cluster(groups=1, followers=5)
        wait_ring(cluster, 1)
        shares = self.load(cluster)
        leader = cluster.leader()
        self.assertEqual(list(shares), [leader.redis])
        wait_until(lambda: leader.count("followers_online") == 5, what="five links")
        cluster.wait_same_data()
        cluster.wait_replicated()
        for node in cluster.nodes:
            self.check(node, shares[leader.redis])
        info = leader.info()
        for i in range(5):
            self.assertIn("state=online", info[f"follower{i}"])


class Routing(ClusterTestCase):
    def two_groups(self, followers: int = 0) -> Cluster:
        cluster = self.start_cluster(groups=2, followers=followers)
        wait_ring(cluster, 2)
        return cluster

    @staticmethod
    def foreign_key(prefix: str) -> str:
        """A key that group 1 owns."""
        owners = ring_owners([0, 1])
        return next(f"{prefix}{i}" for i in range(SLOTS) if owners[key_slot(f"{prefix}{i}")] == 1)

    def test_the_slot_map_is_the_ring_and_moved_says_the_same(self) -> None:
        for groups, followers in ((2, 1), (3, 0)):
            with self.subTest(groups=groups):
                cluster = self.start_cluster(groups=groups, followers=followers)
                wait_ring(cluster, groups)
                keys = keys_of_all_slots()
                leaders = [cluster.leader(group).redis for group in range(groups)]
                expected = [leaders[group] for group in ring_owners(range(groups))]
                for node in cluster.nodes:
                    with node.resp() as client:
                        self.assertEqual(slot_map(client), expected, node)
                        said = []
                        for start in range(0, SLOTS, 1024):
                            said += client.pipeline(("SET", key, "") for key in keys[start : start + 1024])
                        for slot, (owner, reply) in enumerate(zip(expected, said)):
                            wanted = "OK" if owner == node.redis else RespError(f"MOVED {slot} 127.0.0.1:{owner}")
                            self.assertEqual(reply, wanted, (node, slot))
                self.assertEqual(sum(cluster.leader(group).execute("DBSIZE") for group in range(groups)), SLOTS)
                for node in cluster.nodes:
                    owned = sum(owner == leaders[node.group] for owner in expected)
                    self.assertEqual(node.cluster()["slots_owned"], owned)
                    self.assertEqual(node.count("slots_owned"), owned)
                cluster.wait_same_data()

    def test_keyslot_as_redis_publishes_it(self) -> None:
        node = self.start_cluster(groups=1, followers=0).leader()
        for key, slot in (("123456789", 0x31C3), ("foo", 12182), ("{user1000}.following", 3443), ("foo{}{bar}", 8363)):
            self.assertEqual(node.execute("CLUSTER", "KEYSLOT", key), slot)
            self.assertEqual(key_slot(key), slot)

    def test_redis_cli_follows_moved(self) -> None:
        cluster = self.two_groups(followers=1)
        key = self.foreign_key("cli")
        owner = cluster.leader(1)
        for i, node in enumerate(cluster.nodes):
            redis_cli = ("redis-cli", "-c", "-h", "127.0.0.1", "-p", str(node.redis))
            self.assertEqual(run(*redis_cli, "set", key, f"by {node.name}").splitlines()[-1], "OK")
            self.assertEqual(owner.execute("GET", key), f"by {node.name}".encode())
            self.assertEqual(run(*redis_cli, "get", key).splitlines()[-1], f"by {node.name}")
            self.assertEqual(owner.http("GET", f"/get?key={key}").json()["version"], i + 1)

    def test_curl_follows_307_with_method_and_body(self) -> None:
        cluster = self.two_groups(followers=1)
        key = self.foreign_key("curl")
        owner = cluster.leader(1)
        json_type, raw_type = ("-H", "Content-Type: application/json"), ("-H", "Content-Type: application/octet-stream")
        with tempfile.TemporaryDirectory() as directory:
            blob = Path(directory, "blob")
            blob.write_bytes(bytes(range(256)) * 4096)  # so large that curl says Expect: 100-continue
            for node in cluster.nodes:
                base = f"http://127.0.0.1:{node.api}"
                body = f'{{"key":"{key}","value":"by {node.name}"}}'
                written = run("curl", "-sSL", "-X", "POST", f"{base}/set", *json_type, "-d", body)
                self.assertIn(f'"key":"{key}"', written)
                self.assertEqual(owner.get(key), f"by {node.name}")
                self.assertIn(f"by {node.name}", run("curl", "-sSL", f"{base}/get?key={key}"))
                run("curl", "-sSL", *raw_type, "--data-binary", f"@{blob}", f"{base}/set?key={key}")
                self.assertEqual(owner.execute("GET", key), blob.read_bytes())
                self.assertIn('"deleted":true', run("curl", "-sSL", "-X", "DELETE", f"{base}/delete?key={key}"))
                self.assertIsNone(owner.get(key))

    def test_without_a_live_leader_a_slot_is_down(self) -> None:
        cluster = self.two_groups(followers=1)
        key = self.foreign_key("down")
        cluster.leader(1).set(key, "1")
        cluster.wait_same_data(group=1)
        cluster.leader(1).stop()
        follower = cluster.followers(1)[0]
        for node in (cluster.leader(0), follower):
            wait_until(lambda: 1 not in node.known_leaders(), what="the leader is gone")
            with self.assertRaises(RespError) as error:
                node.execute("SET", key, "2")
            self.assertEqual(str(error.exception), "CLUSTERDOWN Hash slot not served")
            answer = node.http("POST", "/set", {"key": key, "value": "2"})
            self.assertEqual((answer.status, answer.json()["code"]), (503, "CLUSTERDOWN"))
            self.assertIn("retry-after", answer.headers)
        self.assertEqual(follower.get(key), "1", "a follower still answers reads")
        cluster.leader(1).start().wait_healthy()
        redirected = {"key": key, "value": "2"}
        wait_until(lambda: cluster.leader(0).http("POST", "/set", redirected).status == 307, what="served again")
        self.assertEqual(cluster.leader(1).set(key, "2")["version"], 2)

    def test_a_node_restarted_while_a_leader_is_down_takes_no_slots_over(self) -> None:
        cluster = self.two_groups(followers=1)
        key = self.foreign_key("kept")
        cluster.leader(1).set(key, "truth")
        cluster.wait_same_data(group=1)
        cluster.leader(1).kill()
        follower = cluster.followers(1)[0]
        for node in (cluster.leader(0), cluster.followers(0)[0]):
            node.kill()
            node.start().wait_healthy()
            if not node.is_leader:  # a leader knows the ring before it serves
                wait_until(lambda: node.info()["groups_in_ring"] == "2", what=f"{node.name} has both groups")
            self.assertEqual(node.http("POST", "/set", {"key": key, "value": "lie"}).status, 503)
            answer = node.http("GET", f"/get?key={key}")
            self.assertEqual(answer.status, 307)
            self.assertIn(f"127.0.0.1:{follower.api}/", answer.headers["location"])
            self.assertEqual(node.info()["groups_in_ring"], "2")
            self.assertRegex(node.log(), r"level=warn event=group-without-leader .*group=1 ")
        self.assertEqual(follower.get(key), "truth")
        cluster.leader(1).start().wait_healthy()
        self.assertEqual(cluster.leader(1).get(key), "truth")
        wait_until(lambda: cluster.leader(0).http("GET", f"/get?key={key}").status == 307, what="served again")

    def test_followers_that_start_before_any_leader_wait_for_one(self) -> None:
        cluster = self.make_cluster(groups=2, followers=1)
        followers = [cluster.followers(group)[0] for group in (1, 0)]
        for node in followers:
            node.start().wait_listening()
        for node in followers:
            wait_until(lambda: len(node.known_nodes()) == 2, what=f"{node.name} knows the other")
            with self.assertRaises(RespError) as error:
                node.execute("GET", "a")
            self.assertRegex(str(error.exception), "^LOADING ")
            self.assertEqual(node.info()["groups_in_ring"], "0", "neither has anything of its group")
        for group in (1, 0):
            cluster.leader(group).start().wait_healthy()
        wait_ring(cluster, 2)
        key = self.foreign_key("late")
        self.assertEqual(cluster.leader(0).http("POST", "/set", {"key": key, "value": "1"}).status, 307)
        self.assertEqual(cluster.leader(1).set(key, "1")["version"], 1)

    def test_a_follower_started_in_a_wrong_group_takes_no_slots(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader = cluster.leader()
        keys = [f"key{i}" for i in range(1000)]
        with leader.resp() as client:
            pipeline_all(client, [("SET", key, "v") for key in keys])
        stray = cluster.add_node(group=1).start().wait_listening()
        wait_until(lambda: stray.port in leader.known_nodes(), what="the stray is known")
        wait_until(lambda: stray.info()["groups_in_ring"] == "1", what="the stray knows the group that there is")
        # Within that time it would have been asked, and have joined.
        asked = time.monotonic() + 1
        while time.monotonic() < asked:
            with leader.resp() as client:
                self.assertEqual(set(client.pipeline(("GET", key) for key in keys)), {b"v"})
        for node in (leader, cluster.followers()[0], stray):
            self.assertEqual(node.info()["groups_in_ring"], "1", node)
        with self.assertRaises(RespError) as error:
            stray.execute("GET", "key1")
        self.assertEqual(str(error.exception), f"MOVED {key_slot('key1')} 127.0.0.1:{leader.redis}")
        self.assertEqual(leader.http("GET", "/health").json()["status"], "ok")
        stray.stop()
        leader.set("key1", "w")

    def test_a_group_that_never_served_is_told_of_and_can_be_forgotten(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        leader.set("key1", "v")
        owned = ring_owners([0, 1]).count(1)
        with FakeStarter(cluster, group=1) as fake:
            fake.announce()
            wait_until(lambda: leader.info()["groups_in_ring"] == "2", what="its group is in the ring")
            health = leader.http("GET", "/health")
            self.assertEqual((health.status, health.json()["status"]), (200, "degraded"))
            self.assertEqual(health.json()["slots_unserved"], owned)
            self.assertIn(f"nobody serves {owned} slots: no node of group 1 ", health.json()["why"])
            self.assertEqual(leader.info()["slots_unserved"], str(owned))
            self.assert_refused(leader, 1, "ERR That group has live nodes: stop them first")
            fake.leave()
        wait_until(lambda: len(leader.known_nodes()) == 1, what="it is gone")
        self.assert_refused(leader, 0, "ERR That is this node's own group")
        self.assert_refused(leader, 2, "ERR No such group: it is not in the ring")
        self.assert_refused(leader, 16384, "ERR A group is a number from 0 to 16383")
        self.assertEqual(leader.execute("KVNODE", "GROUP", "FORGET", 1), "OK")
        self.assertEqual(leader.info()["groups_in_ring"], "1")
        self.assertEqual(leader.http("GET", "/health").json()["status"], "ok")
        self.assertEqual(leader.set("key1", "w")["version"], 2)
        self.assertIn("event=group-forgotten group=1", leader.log())

    def test_a_group_that_served_is_not_forgotten(self) -> None:
        cluster = self.two_groups()
        cluster.leader(1).stop()
        leader = cluster.leader(0)
        wait_until(lambda: 1 not in leader.known_leaders(), what="it is gone")
        self.assert_refused(leader, 1, "ERR That group has served: its keys would be lost when it comes back")
        self.assertEqual(leader.info()["slots_unserved"], str(ring_owners([0, 1]).count(1)))

    def assert_refused(self, node: Node, group: int, why: str) -> None:
        with self.assertRaises(RespError) as error:
            node.execute("KVNODE", "GROUP", "FORGET", group)
        self.assertEqual(str(error.exception), why)

    def test_a_group_that_joins_late_is_warned_about(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        cluster.leader().set("stored", "before")
        cluster.add_node(group=1, leader=True).start().wait_healthy()
        wait_ring(cluster, 2)
        self.assertRegex(cluster.leader().log(), r"level=warn event=keys-out-of-reach .*keys=1")


class FirstState(ClusterTestCase):
    """A follower that has not got its group's state yet passes for nothing else (DESIGN.md 4)."""

    def test_a_follower_in_its_first_sync_is_not_offered_to_clients(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        with leader.resp() as client:
            pipeline_all(client, [("SET", f"key{i}", "v" * 1000) for i in range(4000)])
        follower = cluster.add_node(announce_port=free_port())
        with Relay(int(follower.flags["announce_port"]), follower.port, most=1 << 20) as relay:
            follower.start().wait_listening()
            wait_until(lambda: follower.info()["master_sync_in_progress"] == "1", what="the state is on its way")
            wait_until(lambda: follower.http("POST", "/set", {"key": "key1", "value": "w"}).status == 307, what="it leads on")
            self.assert_not_offered(leader, follower)
            relay.release()
            follower.wait_healthy()
            cluster.wait_same_data()
            self.assertEqual(follower.execute("GET", "key3999"), b"v" * 1000)
            self.assertEqual(follower.http("GET", "/get?key=key3999").status, 200)
            self.assertEqual(follower.info()["master_link_status"], "up")
            for node in (leader, follower):
                wait_until(lambda: follower.redis in self.readers(node), what=f"{node.name} offers it")
                wait_until(lambda: self.shard(node, follower)[b"health"] == b"online", what=f"{node.name} shows it")
                offset = leader.position()
                self.assertGreaterEqual(offset, 4000)
                for about in (leader, follower):
                    told = lambda: self.shard(node, about)[b"replication-offset"]
                    wait_until(lambda: told() == offset, what=f"{node.name} shows where {about.name} is")

    def assert_not_offered(self, leader: Node, follower: Node) -> None:
        for command in (("GET", "key3999"), ("EXISTS", "key3999"), ("DBSIZE",), ("SCAN", 0)):
            with self.assertRaises(RespError) as error:
                follower.execute(*command)
            self.assertRegex(str(error.exception), "^LOADING ")
        with self.assertRaises(RespError) as error:
            follower.execute("SET", "key1", "w")
        self.assertRegex(str(error.exception), f"^MOVED .*:{leader.redis}$")
        for path in ("/get?key=key3999", "/get?key=nothing", "/keys"):
            answer = follower.http("GET", path)
            self.assertEqual((answer.status, answer.json()["code"]), (503, "LOADING"))
            self.assertIn("retry-after", answer.headers)
        self.assertEqual(follower.http("GET", "/health").json()["status"], "empty")
        self.assertEqual(follower.info()["master_link_status"], "down")
        for node in (leader, follower):
            self.assertEqual(self.readers(node), {leader.redis})
            self.assertEqual(self.shard(node, follower)[b"health"], b"loading")
            self.assertEqual(self.shard(node, follower)[b"replication-offset"], 0)
            self.assertEqual(self.shard(node, leader)[b"replication-offset"], leader.position())

    def test_a_leader_that_is_dead_keeps_its_slots_for_its_followers(self) -> None:
        cluster = self.start_cluster(groups=2, followers=1)
        leader, follower, other = cluster.leader(1), cluster.followers(1)[0], cluster.leader(0)
        wait_until(lambda: follower.redis in self.readers(other), what="the follower is offered")
        key = Routing.foreign_key("kept")
        leader.set(key, "truth")
        cluster.wait_same_data(group=1)
        leader.kill()
        for node in (other, follower):
            wait_until(lambda: leader.port in node.known_nodes(alive=False), 30 + TIMEOUT_S, f"{node.name} calls it dead")
            self.assertEqual(self.shard(node, leader)[b"health"], b"fail")
            self.assertEqual(self.shard(node, leader)[b"role"], b"master")
            self.assertEqual(self.shard(node, follower)[b"health"], b"online")
            covered = 0
            with node.resp() as client:
                for first, last, *nodes in client.execute("CLUSTER", "SLOTS"):
                    covered += last - first + 1
                    if nodes[0][1] == leader.redis:
                        self.assertEqual([one[1] for one in nodes], [leader.redis, follower.redis])
            self.assertEqual(covered, SLOTS)
            self.assertEqual(node.http("GET", "/health").json()["status"], "degraded")
        self.assertEqual(run("redis-cli", "-c", "-p", str(other.redis), "get", key).strip(), "truth")

    def readers(self, node: Node) -> set[int]:
        """The RESP ports that CLUSTER SLOTS names."""
        with node.resp() as client:
            return {one[1] for _, _, *nodes in client.execute("CLUSTER", "SLOTS") for one in nodes}

    def shard(self, node: Node, about: Node) -> dict[bytes, Any]:
        """What CLUSTER SHARDS says of a node."""
        with node.resp() as client:
            for shard in client.execute("CLUSTER", "SHARDS"):
                for flat in shard[3]:
                    entry = dict(zip(flat[0::2], flat[1::2]))
                    if entry[b"port"] == about.redis:
                        return entry
        raise AssertionError(f"{about.name} is not in CLUSTER SHARDS")


if __name__ == "__main__":
    for tool in ("redis-cli", "curl"):
        assert shutil.which(tool), f"{tool} is needed: tools/install-dependencies.sh"
    main()
