#!/usr/bin/env python3
"""The specification's six steps ("Testing the System") and its examples, on its three nodes."""
from harness import ClusterTestCase, RespError, main, wait_until


class SeedSteps(ClusterTestCase):
    def test_the_six_steps(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2)
        leader, followers = cluster.leader(), cluster.followers()

        # 1. Checks health of all nodes
        for node in cluster.nodes:
            health = node.http("GET", "/health")
            self.assertEqual(health.status, 200)
            self.assertEqual(health.json()["role"], "leader" if node is leader else "follower")
            self.assertEqual(health.json()["group"], 0)

        # 2. Displays cluster topology
        for node in cluster.nodes:
            self.assertEqual(node.known_nodes(), {n.port for n in cluster.nodes}, node)
            self.assertEqual(node.known_leaders(), {0: leader.port}, node)

        # 3. Writes data to leader
        written = leader.http("POST", "/set", {"key": "test", "value": "hello"})
        self.assertEqual(written.status, 200)
        self.assertEqual(written.json()["key"], "test")
        self.assertEqual(written.json()["version"], 1, "a key's first write")
        self.assertRegex(written.json()["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

        # 4. Reads from both leader and followers
        self.assertEqual(leader.get("test"), "hello")
        for node in followers:
            wait_until(lambda: node.get("test") == "hello", what=f"the value on {node.name}")

        # 5. Verifies replication
        self.assertEqual(leader.set("test", "again")["version"], 2)
        cluster.wait_replicated()
        on_leader = leader.http("GET", "/get?key=test").json()
        self.assertEqual((on_leader["value"], on_leader["version"]), ("again", 2))
        for node in followers:
            self.assertEqual(node.http("GET", "/get?key=test").json(), on_leader, "timestamp included")

        # 6. Tests write rejection on followers
        for node in followers:
            for method, path, body in (
                ("POST", "/set", {"key": "test", "value": "from a follower"}),
                ("DELETE", "/delete?key=test", None),
            ):
                rejected = node.http(method, path, body)
                self.assertEqual(rejected.status, 307, (method, path))
                self.assertEqual(rejected.headers["location"], f"http://127.0.0.1:{leader.api}{path}")
                self.assertEqual(rejected.headers["content-type"], "application/problem+json")
                self.assertEqual(rejected.json()["code"], "MOVED")
            with self.assertRaises(RespError) as error:
                node.execute("SET", "test", "from a follower")
            self.assertEqual(str(error.exception), f"MOVED 6918 127.0.0.1:{leader.redis}")
            self.assertEqual(node.get("test"), "again")
        self.assertEqual(leader.get("test"), "again")

    def test_a_deletion_and_the_list_of_keys_reach_the_followers(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2)
        for key in ("a", "b", "c"):
            cluster.leader().set(key, f"value of {key}")
        deleted = cluster.leader().http("DELETE", "/delete?key=b")
        self.assertEqual((deleted.status, deleted.json()["deleted"]), (200, True))
        self.assertEqual(cluster.leader().http("DELETE", "/delete?key=b").status, 404)
        cluster.wait_replicated()
        for node in cluster.nodes:
            listed = node.http("GET", "/keys").json()
            self.assertEqual((sorted(listed["keys"]), listed["count"]), (["a", "c"], 2), node)
            self.assertIsNone(node.get("b"))

    def test_both_doors_open_to_the_same_store(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        leader.set("over-rest", "1")
        self.assertEqual(leader.execute("GET", "over-rest"), b"1")
        self.assertEqual(leader.execute("SET", "over-resp", "2"), "OK")
        self.assertEqual(leader.get("over-resp"), "2")
        cluster.wait_replicated()
        self.assertEqual(follower.execute("GET", "over-rest"), b"1")
        self.assertEqual(follower.get("over-resp"), "2")


if __name__ == "__main__":
    main()
