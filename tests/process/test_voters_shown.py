#!/usr/bin/env python3
# ctest: timeout=300
"""What a group that elects its leader shows of it, and how its set of voters is changed over HTTP."""
from __future__ import annotations

from harness import Cluster, ClusterTestCase, Node, main, wait_until
from test_voters import node_id, role, same_data, term, voters, wait_leader
from wire import RespError


def slots_of(node: Node) -> list[str]:
    """The ids of the nodes in CLUSTER SLOTS, the leader first."""
    ranges = node.execute("CLUSTER", "SLOTS")
    assert len(ranges) == 1 and ranges[0][:2] == [0, 16383], ranges
    return [each[2].decode() for each in ranges[0][2:]]


def rows_of(node: Node) -> dict[str, list[str]]:
    """CLUSTER NODES by id."""
    return {row.split()[0]: row.split() for row in node.execute("CLUSTER", "NODES").decode().splitlines()}


def change(node: Node, **body: object):
    return node.http("POST", "/admin/voters", body)


class Shown(ClusterTestCase):
    def make_group(self, count: int = 3, wanted: int = 3) -> Cluster:
        cluster = self.make_cluster(groups=0, followers=0)
        for i in range(count):
            cluster.add_node(0, voters=wanted, data=str(cluster.directory / f"data{i}"))
        for node in cluster.nodes:
            node.start()
        wait_leader(cluster)
        return cluster

    def assert_problem(self, answer, status: int, detail: str) -> None:
        self.assertEqual((answer.status, answer.headers["content-type"]), (status, "application/problem+json"), answer)
        self.assertRegex(answer.json()["detail"], detail)

    def test_what_is_told_of_an_election(self) -> None:
        cluster = self.make_group()
        leader = wait_leader(cluster)
        ids = sorted(node_id(node) for node in cluster.nodes)

        def all_have_it() -> bool:
            told = leader.http("GET", "/cluster").json()["voting"]
            return told["committed_index"] == leader.position() and all(
                voter["reachable"] and voter["durable_index"] == leader.position() for voter in told["voters"]
            )

        wait_until(all_have_it, what="all have all on their disks")
        for node in cluster.nodes:
            told = node.http("GET", "/cluster").json()["voting"]
            self.assertEqual(sorted(voter["id"] for voter in told["voters"]), ids)
            self.assertEqual([voter["id"] for voter in told["voters"] if voter["leads"]], [node_id(leader)])
            expected = {
                "active": True, "phase": "leading" if node is leader else "follower", "term": 1, "leader": node_id(leader),
                "voted_for": node_id(leader), "acks": "leader", "wanted": 3, "quorum": 2, "elections": int(node is leader),
            }
            self.assertEqual({name: told[name] for name in expected}, expected)
            own = next(voter for voter in told["voters"] if voter["id"] == node_id(node))
            self.assertEqual((own["reachable"], own["memory"]), (True, "firm"))
            info = node.info()
            self.assertEqual(
                {name: info[name] for name in ("election_term", "voters", "voters_wanted", "voter", "voter_firm")},
                {"election_term": "1", "voters": "3", "voters_wanted": "3", "voter": "firm", "voter_firm": "1"},
            )
        self.assertEqual(leader.info()["voters_reachable"], "3")
        named = self.start_cluster(followers=0).leader()
        self.assertEqual(named.http("GET", "/cluster").json()["voting"], {"active": False})
        self.assertEqual(named.info()["election_term"], "0")

    def test_a_leader_that_was_killed_is_shown_as_failed(self) -> None:
        cluster = self.make_group()
        leader = wait_leader(cluster)
        dead = node_id(leader)
        self.assertEqual(rows_of(leader)[dead][6], str(term(leader)))
        leader.kill()
        successor = wait_leader(cluster, other_than=leader)
        for node in cluster.nodes:
            if node is leader:
                continue
            wait_until(lambda: slots_of(node)[0] == node_id(successor), what="its slots have another master")
            rows = rows_of(node)
            self.assertEqual(rows[dead][2:4], ["slave,fail", node_id(successor)])
            self.assertEqual(rows[dead][7:], ["disconnected"])
            self.assertEqual(rows[node_id(successor)][6:], [str(term(successor)), "connected", "0-16383"])
            self.assertNotIn(dead, slots_of(node))
            cluster_info = node.execute("CLUSTER", "INFO").decode()
            self.assertIn(f"cluster_current_epoch:{term(successor)}\r\ncluster_my_epoch:{term(successor)}\r\n", cluster_info)
            shown = {each["id"]: each for each in node.http("GET", "/cluster").json()["nodes"]}
            self.assertEqual((shown[dead]["role"], shown[dead]["alive"]), ("follower", False))
            self.assertEqual(shown[node_id(successor)]["role"], "leader")
        leader.start()
        wait_leader(cluster)
        for node in cluster.nodes:
            wait_until(lambda: rows_of(node)[dead][-1] == "connected" and dead in slots_of(node)[1:], what="it follows")
            self.assertNotIn("fail", rows_of(node)[dead][2])

    def test_one_that_waits_for_the_others_may_be_started_again(self) -> None:
        cluster = self.make_cluster(groups=0, followers=0)
        directories = [cluster.directory / f"data{i}" for i in range(3)]
        for directory in directories:
            cluster.add_node(0, voters=3, data=str(directory))
        for end in (Node.stop, Node.kill):
            for node, directory in zip(cluster.nodes[:2], directories):
                node.start().wait_listening()
                wait_until(lambda: list(directory.glob("journal-*")), what="it has a journal")
                end(node)
        for node in cluster.nodes:
            node.start()
        wait_leader(cluster).set("k", "v")

    def test_health_without_a_leader(self) -> None:
        cluster = self.make_cluster(groups=0, followers=0)
        first = cluster.add_node(0, voters=3, data=str(cluster.directory / "data0")).start().wait_listening()
        health = first.http("GET", "/health")
        self.assertEqual((health.status, health.json()["status"]), (503, "empty"))
        self.assertIn("has no voters yet", health.json()["why"])
        for i in (1, 2):
            cluster.add_node(0, voters=3, data=str(cluster.directory / f"data{i}")).start()
        leader = wait_leader(cluster)
        for node in cluster.nodes:
            node.wait_healthy()
        last = next(node for node in cluster.nodes if node is not leader)
        for node in cluster.nodes:
            if node is not last:
                node.kill()
        wait_until(lambda: last.http("GET", "/health").json()["status"] == "degraded", what="it tells that nobody leads")
        self.assertIn("elects a leader", last.http("GET", "/health").json()["why"])

    def test_voters_are_changed_over_http(self) -> None:
        cluster = self.make_group(4)
        leader = wait_leader(cluster)
        fourth = next(node for node in cluster.nodes if node_id(node) not in voters(leader))
        follower = next(node for node in cluster.nodes if node is not leader and node is not fourth)
        new, old = node_id(fourth), node_id(follower)
        for body in ("", "[", "[]", "{}", '{"add":7}', '{"add":"a b"}', '{"add":"a","remove":"b"}', '{"replace":"a"}',
                     '{"replace":{"old":"a"}}', '{"add":""}', '{"give":"a"}'):
            self.assert_problem(leader.http("POST", "/admin/voters", body), 400, '^the body is {"add":"id"}')
        self.assert_problem(leader.http("POST", "/admin/voters", "x" * 2000), 413, "larger")
        self.assert_problem(
            leader.http("POST", "/admin/voters", "{}", headers={"Content-Type": "text/plain"}), 415, "application/json")
        self.assert_problem(change(leader, add="nobody"), 409, "no such node follows")
        self.assert_problem(change(leader, add=old), 409, "is a voter already")
        self.assert_problem(change(leader, remove=new), 409, "is not a voter")
        elsewhere = change(follower, add=new)
        self.assert_problem(elsewhere, 307, "at the leader alone")
        self.assertEqual(elsewhere.headers["location"], f"http://127.0.0.1:{leader.api}/admin/voters")
        foreign = leader.http("POST", "/admin/voters", {"add": new}, headers={"Origin": "http://evil.example"})
        self.assert_problem(foreign, 403, "another origin")

        def replaced() -> bool:
            answer = change(leader, replace={"old": old, "new": new})
            if answer.status == 202:
                self.assertIn(new, answer.json()["voters"])
                return True
            self.assert_problem(answer, 409, "nothing on a disk yet|not caught up|under way")
            return False

        wait_until(replaced, what="the fourth has the state on its disk")
        wait_until(lambda: sorted(voters(fourth)) == sorted({*voters(leader)} - {old} | {new}), what="the other set")
        wait_until(lambda: change(leader, remove=new).status == 202, what="that is settled")
        wait_until(lambda: new not in voters(follower), what="two are left")
        same_data(cluster)
        named = self.start_cluster(followers=0).leader()
        self.assert_problem(change(named, add="a"), 409, "does not elect its leader")

    def test_one_voter_alone(self) -> None:
        cluster = self.make_group(1, wanted=1)
        node = cluster.nodes[0]
        node.set("k", "v")
        self.assertEqual(node.http("GET", "/cluster").json()["voting"]["quorum"], 1)
        with self.assertRaisesRegex(RespError, "it is the only voter"):
            node.execute("KVNODE", "VOTERS", "REMOVE", node_id(node))
        node.kill()
        node.start()
        wait_leader(cluster)
        self.assertEqual((node.get("k"), role(node)), ("v", "master"))


if __name__ == "__main__":
    main()
