#!/usr/bin/env python3
"""The limit of memory on running nodes: what RESP and REST answer at it, that the group stays equal under eviction, and
that the process stays near its limit."""
from harness import SANITIZE, ClusterTestCase, Node, RespError, main, wait_until

VALUE = "v" * 100
LIMIT = 4 << 20
OOM = "OOM command not allowed when used memory > 'maxmemory'."


def write(node: Node, first: int, count: int, *more: str) -> None:
    with node.resp() as client:
        for start in range(first, first + count, 500):
            client.pipeline([("SET", f"key:{i}", VALUE, *more) for i in range(start, min(start + 500, first + count))])


def used(node: Node) -> int:
    return node.count("used_memory")


class Eviction(ClusterTestCase):
    def test_a_group_stays_equal_and_near_its_limit(self) -> None:
        for policy in ("allkeys-lru", "allkeys-lfu", "allkeys-random"):
            with self.subTest(policy=policy):
                cluster = self.start_cluster(followers=1, maxmemory=LIMIT, maxmemory_policy=policy)
                leader, follower = cluster.leader(), cluster.followers()[0]
                before = leader.resident_bytes()
                write(leader, 0, 60_000)
                self.assertGreater(leader.count("evicted_keys"), 20_000)
                self.assertLess(used(leader), LIMIT + 65536)
                self.assertGreater(used(leader), LIMIT * 0.9)
                cluster.wait_same_data()
                self.assertEqual(follower.execute("DBSIZE"), leader.execute("DBSIZE"))
                self.assertEqual(follower.count("evicted_keys"), 0)
                if not SANITIZE:
                    # The limit, the backlog of all that was written (64 MB at most), and the allocator's slack.
                    written = 60_000 * 200
                    self.assertLess(leader.resident_bytes() - before, LIMIT * 1.5 + written * 1.5 + (4 << 20))

    def test_a_follower_with_a_smaller_limit_keeps_what_its_leader_has(self) -> None:
        cluster = self.make_cluster(followers=0)
        follower = cluster.add_node(maxmemory="100k", maxmemory_policy="allkeys-lru")
        cluster.start()
        write(cluster.leader(), 0, 5_000)
        cluster.wait_same_data()
        self.assertEqual(follower.execute("DBSIZE"), 5_000)
        self.assertEqual(follower.execute("GET", "key:4999"), VALUE.encode())

    def test_a_limit_that_falls_is_reached_without_a_write(self) -> None:
        cluster = self.start_cluster(followers=1)
        leader = cluster.leader()
        write(leader, 0, 30_000)
        limit = used(leader) // 3
        leader.execute("CONFIG", "SET", "maxmemory", limit)
        self.assertEqual(leader.execute("DBSIZE"), 30_000)
        leader.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        wait_until(lambda: used(leader) <= limit, what="the leader is within its limit")
        cluster.wait_same_data()
        leader.execute("CONFIG", "SET", "maxmemory", 0)
        write(leader, 0, 30_000)
        self.assertEqual(leader.execute("DBSIZE"), 30_000)

    def test_only_keys_that_would_expire_go(self) -> None:
        cluster = self.start_cluster(followers=1, maxmemory=LIMIT, maxmemory_policy="volatile-ttl")
        leader = cluster.leader()
        write(leader, 0, 2_000)
        write(leader, 2_000, 40_000, "EX", "1000")
        self.assertGreater(leader.count("evicted_keys"), 1_000)
        self.assertEqual(leader.execute("EXISTS", *(f"key:{i}" for i in range(2_000))), 2_000)
        cluster.wait_same_data()

    def refused(self, node: Node, *command: str) -> None:
        with self.assertRaises(RespError) as caught:
            node.execute(*command)
        self.assertEqual(str(caught.exception), OOM)

    def test_when_nothing_can_go_writes_are_refused(self) -> None:
        cluster = self.start_cluster(followers=0)
        leader = cluster.leader()
        write(leader, 0, 2_000)
        leader.execute("SET", "n", "1")
        for policy in ("noeviction", "volatile-lru"):
            leader.execute("CONFIG", "SET", "maxmemory", used(leader) - 1, "maxmemory-policy", policy)
            self.refused(leader, "SET", "a", "b")
            self.refused(leader, "APPEND", "n", "1")
            self.refused(leader, "INCR", "n")
            self.refused(leader, "MSET", "a", "b", "c", "d")
            answer = leader.http("POST", "/set", {"key": "a", "value": "b"})
            self.assertEqual((answer.status, answer.json()["code"]), (507, "OOM"))
            self.assertEqual(leader.http("POST", "/set?key=a", b"raw", headers={"Content-Type": "text/plain"}).status, 507)
            # What takes nothing works.
            self.assertEqual(leader.execute("GET", "n"), b"1")
            self.assertEqual(leader.get("key:1"), VALUE)
            self.assertEqual(leader.execute("PERSIST", "n"), 0)
            self.assertIsNone(leader.execute("GET", "a"))
        # volatile-lru: a key that would expire makes room (writes look for it, none is refused), and so do deletions.
        leader.execute("EXPIRE", "key:7", "1000")

        def key_7_has_gone() -> bool:
            leader.execute("SET", "key:8", VALUE)
            return leader.execute("EXISTS", "key:7") == 0

        wait_until(key_7_has_gone, what="the only key that may go has gone")
        self.assertEqual(leader.execute("DBSIZE"), 2_000)
        leader.execute("DEL", *(f"key:{i}" for i in range(100, 200)))
        leader.execute("SET", "a", "b")
        self.assertEqual(leader.http("DELETE", "/delete?key=a").status, 200)
        self.assertEqual(leader.http("POST", "/set", {"key": "a", "value": "c"}).status, 200)
        leader.execute("FLUSHALL")
        self.assertEqual(leader.execute("DBSIZE"), 0)


if __name__ == "__main__":
    main()
