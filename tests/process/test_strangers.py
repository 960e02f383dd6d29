#!/usr/bin/env python3
"""The replication port takes commands from peers only: not from a web page, nor from a stray line (DESIGN.md 4)."""
from typing import Union

from harness import Cluster, ClusterTestCase, LineConnection, Node, RespError, main, wait_until
from peers import FakeNode, history_id, lead

OLDEST = "0000000000000001"

# What a peer might say, as the body of a request that any web page can have a browser send.
LINES = (
    "REPLICATE|pw|owned|77", "REPLICATEX|pw|owned|77|1796070000000|0", "DELETE|kept|99", "DELETEX|kept|99", "EXPIREX|kept|1",
    "PATCHX|kept|0|x|77|1", "FLUSH|99", "FLOOR|99", "CLOCK|1796070000000", "BATCH|1\nREPLICATE|pw|owned|77",
    f"LEAD|{{leader}}|0|{OLDEST}|9\nFULL|{OLDEST}|9|9\nREPLICATEX|pw|owned|77|1796070000000|0\nEND|1|9",
    f"LEAD|evil|0|{OLDEST}|9\nFULL|{OLDEST}|9|9\nREPLICATEX|pw|owned|77|1796070000000|0\nEND|1|9",
    f"SYNC|evil|{OLDEST}|9", f"CONTINUE|{OLDEST}|0", f"FULL|{OLDEST}|9|9", "END|1|9", "PING|9", "ACK|9", "PULL",
    "ERROR|go away", "WHO", "NODE|{leader}\nMESSAGE|news|lies", "MESSAGE|news|lies",
    "ANNOUNCE|evil|127.0.0.1|1|0|true", "ENDPOINTS|evil|1|1", "LEAVE|{leader}", "WATCH|later",
)
METHODS = ("POST", "GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "WHO", "REPLICATE|k|v|1", "MESSAGE|news|lies",
           "NODE|{leader}", "NODE|{leader}|", "WHO|", "CLOCK|1", f"LEAD|evil|0|{OLDEST}|9", f"LEAD|{{leader}}|0|{OLDEST}|9|")
GARBAGE = (b"\n", b"\r\n", b"\x00\xff\n", b"\x16\x03\x01\x02\x00\x01\x00", b"*1\r\n$4\r\nPING\r\n", b"HELLO\n", b"WHO?\n",
           b"replicate|k|v|1\n", b" REPLICATE|k|v|1\n", b"X", b"|", b"REPLICATE2|", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


class Strangers(ClusterTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.start_cluster(groups=1, followers=1)
        self.leader_id = str(self.cluster.leader().cluster()["self"]["id"])
        self.cluster.leader().set("kept", "1")
        self.before = self.cluster.wait_same_data()
        self.listeners = [node.resp() for node in self.cluster.nodes]
        for listener in self.listeners:
            self.addCleanup(listener.close)
            listener.execute("SUBSCRIBE", "news")

    def filled(self, text: str) -> str:
        return text.replace("{leader}", self.leader_id)

    def assert_closed(self, node: Node, said: Union[bytes, str]) -> None:
        """Nothing of what was said was taken: one line is the answer, and the end."""
        with self.subTest(node=node.name, said=said), LineConnection(node.port) as stranger:
            stranger.send(said.encode() if isinstance(said, str) else said)
            self.assertRegex(stranger.read_line(), rb"^ERROR\|")
            self.assertTrue(stranger.is_closed(), "at once, though the stranger keeps it open")

    def assert_nothing_changed(self) -> None:
        leader, follower = self.cluster.leader(), self.cluster.followers()[0]
        roles = [node.info()["kvnode_role"] for node in self.cluster.nodes]
        self.assertEqual(roles, ["leader", "follower"])
        self.assertEqual(follower.info()["master_link_status"], "up")
        self.assertEqual([node.digest() for node in self.cluster.nodes], [self.before, self.before])
        for listener in self.listeners:
            self.assertEqual(listener.execute("PING"), [b"pong", b""], "no message was handed over")
        for node in self.cluster.nodes:
            self.assertNotIn("event=leader-link-down", node.log())
        self.assertEqual(leader.known_nodes(), {node.port for node in self.cluster.nodes})

    def test_whoever_talks_http_is_closed_at_once(self) -> None:
        for node in self.cluster.nodes:
            for lines in map(self.filled, LINES):
                body = f"\n{lines}\n"
                self.assert_closed(node, f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}")
                self.assert_closed(node, f"POST / HTTP/1.1\r\nX: y\r\n{body}")
            for method in map(self.filled, METHODS):
                self.assert_closed(node, f"{method} / HTTP/1.1\r\nHost: x\r\n\r\nREPLICATE|pw|owned|77\nMESSAGE|news|lies\n")
                self.assert_closed(node, f"{method}\t/ HTTP/1.1\nHost: x\n\n")
        self.assert_nothing_changed()

    def test_nor_is_anything_read_behind_a_first_line_that_is_no_peers(self) -> None:
        for node in self.cluster.nodes:
            for first in GARBAGE:
                self.assert_closed(node, first)
                self.assert_closed(node, first + b"\nREPLICATE|pw|owned|77\nMESSAGE|news|lies\n")
        self.assert_nothing_changed()

    def test_a_line_of_a_peers_that_no_peer_says_first(self) -> None:
        first = [line for line in map(self.filled, LINES)
                 if not line.startswith(("LEAD", "NODE", "WHO", "ERROR", "REPLICATE", "DELETE", "CLOCK"))]
        for node in self.cluster.nodes:
            for line in first:
                self.assert_closed(node, f"{line}\n")
        self.assert_nothing_changed()

    def test_lead_of_a_node_that_nobody_knows(self) -> None:
        for node in self.cluster.nodes:
            self.assert_closed(node, f"LEAD|evil|0|{OLDEST}|9\nFULL|{OLDEST}|9|9\nREPLICATEX|pw|owned|77|1|0\nEND|1|9\n")
        self.assert_nothing_changed()

    def test_lead_of_a_node_that_answers_as_another(self) -> None:
        """Each is announced as the leader of this group; who answers WHO there is not that."""
        for number, facts in enumerate(("other|127.0.0.1|9|0|true", "{me}|127.0.0.1|9|0|false", "{me}|127.0.0.1|9|1|true")):
            for node in self.cluster.nodes:
                me = f"liar{number}"
                with FakeNode(self.cluster.discovery_port, me, leader=node is not self.cluster.leader()) as fake:
                    wait_until(lambda: fake.port in node.known_nodes(), what="it is known")
                    fake.facts = "ANNOUNCE|" + facts.replace("{me}", me)
                    asked = fake.asked
                    self.assert_closed(node, f"LEAD|{me}|0|{OLDEST}|9\nFULL|{OLDEST}|9|9\n")
                    self.assertGreater(fake.asked, asked)
                    fake.leave()
                    wait_until(lambda: fake.port not in node.known_nodes(), what="it has left")
        for node in self.cluster.nodes:
            self.assertEqual(node.digest(), self.before)
            self.assertNotIn("leader=liar", "".join(line for line in node.log().splitlines() if "leader-link-up" in line))
        self.assertEqual(self.cluster.leader().info()["kvnode_role"], "leader")

    def test_the_first_of_a_strangers_many_bytes_are_enough(self) -> None:
        """It is not waited for the end of a line that cannot become one of a peer's."""
        for node in self.cluster.nodes:
            with LineConnection(node.port) as stranger:
                stranger.send(b"A" * 100)
                self.assertRegex(stranger.read_line(), rb"^ERROR\|")
                self.assertTrue(stranger.is_closed())

    def test_no_memory_is_kept_for_what_would_be_refused(self) -> None:
        """A change of a stranger's is refused by its first bytes too, where there is a leader to take changes from."""
        for node in self.cluster.nodes:
            with self.subTest(node=node.name), LineConnection(node.port) as stranger:
                stranger.send(b"REPLICATE|pw|" + b"x" * 10_000)
                self.assertRegex(stranger.read_line(), rb"^ERROR\|")
                self.assertTrue(stranger.is_closed())
        self.assert_nothing_changed()


class KnownNodes(ClusterTestCase):
    def test_lead_is_believed_as_soon_as_the_leader_has_announced_itself(self) -> None:
        """The leader dials a node that it has heard; its own announcement may come later."""
        follower = self.make_cluster(groups=1, followers=1).followers()[0].start(id="f0110e4").wait_listening()
        mine = history_id()
        with LineConnection(follower.port) as link:
            link.send(b"LEAD|late|0|%s|0\n" % mine.encode())
            fake = FakeNode(int(follower.flags["discovery_port"] or 0), "late", leader=True)
            self.addCleanup(fake.close)
            wait_until(lambda: follower.count("lines_received") == 1, what="the line has come")
            self.assertEqual((fake.asked, follower.info()["master_link_status"]), (0, "down"))
            fake.announce()
            self.assertEqual(link.read_line(), b"SYNC|f0110e4|-|0")
            self.assertGreater(fake.asked, 0)

    def test_two_links_that_name_one_node_wait_for_one_answer(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        node = cluster.leader()
        links = [LineConnection(node.port) for _ in range(2)]
        with node.resp() as listener:
            listener.execute("SUBSCRIBE", "ch")
            for link in links:
                self.addCleanup(link.close)
                link.send_line("NODE|twin\nMESSAGE|ch|said\nWHO")
            wait_until(lambda: node.count("lines_received") == 2, what="both lines have come, and no more is read")
            with FakeNode(cluster.discovery_port, "twin") as fake:
                for link in links:
                    self.assertRegex(link.read_line(), rb"^ANNOUNCE\|", "what comes behind is read now")
                    self.assertEqual(listener.read_reply()[2], b"said")
                self.assertEqual(fake.asked, 1)


class StrayLead(ClusterTestCase):
    def test_one_line_does_not_stop_a_group(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader = cluster.leader()
        with LineConnection(leader.port) as stray:
            stray.send(b"LEAD|x|0|%s|0\n" % OLDEST.encode())
            self.assertEqual(leader.set("key", "1")["version"], 1, "meanwhile")
            self.assertRegex(stray.read_line(), rb"^ERROR\|node x is not known")
        self.assertEqual(leader.set("key", "2")["version"], 2)
        self.assertEqual(leader.info()["kvnode_role"], "leader")
        self.assertNotIn("event=role role=demoted", leader.log())
        cluster.wait_same_data()

    def stepped_down(self, cluster: Cluster) -> tuple[Node, LineConnection]:
        """For one that answers as an older leader does."""
        leader = cluster.leader()
        link, answer = lead(leader, history_id(1700000000000), node_id="older")
        self.assertTrue(answer.startswith(b"SYNC|"), answer)
        self.assertEqual(leader.info()["kvnode_role"], "demoted")
        with self.assertRaises(RespError):
            leader.execute("SET", "key", "late")
        with cluster.discovery() as discovery:
            discovery.send("LEAVE|older")
        return leader, link

    def test_who_gave_way_to_a_leader_that_does_not_come_leads_again(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        leader.set("key", "1")
        cluster.wait_same_data()
        history = leader.info()["history_id"]
        _, link = self.stepped_down(cluster)
        link.close()
        wait_until(lambda: leader.info()["kvnode_role"] == "leader", what="it leads again")
        self.assertIn("event=leads-again ", leader.log())
        self.assertEqual(leader.info()["kvnode_conflict"], "")
        self.assertEqual(leader.http("GET", "/health").json()["role"], "leader")
        self.assertEqual(leader.set("key", "2")["version"], 2)
        self.assertEqual(leader.info()["history_id"], history, "nothing has come over it")
        cluster.wait_same_data()
        self.assertEqual(follower.count("sync_full"), 1, "it went on where it was")
        wait_until(lambda: follower.known_leaders() == {0: leader.port}, what="clients are sent to it")

    def test_what_came_of_the_other_state_is_among_the_data_then(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        leader.set("key", "1")
        cluster.wait_same_data()
        history = leader.info()["history_id"]
        _, link = self.stepped_down(cluster)
        link.send(b"FULL|%s|9|9\nREPLICATEX|half|1|4|1|0\n" % history_id(1700000000000).encode())
        wait_until(lambda: leader.get("half") == "1", what="the half of a state")
        link.close()
        wait_until(lambda: leader.info()["kvnode_role"] == "leader", what="it leads again")
        self.assertNotEqual(leader.info()["history_id"], history, "under another history")
        cluster.wait_same_data()
        self.assertEqual([node.get("key") for node in cluster.nodes], ["1", "1"])
        self.assertEqual(follower.get("half"), "1")
        self.assertEqual(leader.set("key", "2")["version"], 2)


if __name__ == "__main__":
    main()
