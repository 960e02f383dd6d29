#!/usr/bin/env python3
"""PUBLISH: a message reaches the subscribers of every node of every group, once each."""
from typing import Any

from harness import TIMEOUT_S, ClusterTestCase, LineConnection, Node, RespClient, main, wait_until
from peers import introduced

BINARY = bytes(range(256))


class Messages(ClusterTestCase):
    def listen(self, node: Node, *command: Any) -> RespClient:
        client = node.resp()
        self.addCleanup(client.close)
        client.execute(*command)
        return client

    def assert_nothing_waits(self, client: RespClient) -> None:
        self.assertEqual(client.execute("PING"), [b"pong", b""])

    def test_to_all_nodes_from_any(self) -> None:
        cluster = self.start_cluster(groups=2, followers=1)
        listeners = [self.listen(node, "SUBSCRIBE", b"news|%\n") for node in cluster.nodes]
        patterns = [self.listen(node, "PSUBSCRIBE", "news*") for node in cluster.nodes]
        for node in cluster.nodes:
            with node.resp() as publisher:
                replies = publisher.pipeline([("PUBLISH", b"news|%\n", text) for text in (BINARY, b"", b"third")])
                self.assertEqual(replies, [2, 2, 2], "the reply counts the clients of this node")
            for text in (BINARY, b"", b"third"):
                for client in listeners:
                    self.assertEqual(client.read_reply(), [b"message", b"news|%\n", text])
                for client in patterns:
                    self.assertEqual(client.read_reply(), [b"pmessage", b"news*", b"news|%\n", text])
        for client in listeners + patterns:
            self.assert_nothing_waits(client)
        self.assertEqual(cluster.leader().count("messages_sent"), 9)

    def test_within_a_transaction_and_in_its_order(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        listener = self.listen(cluster.followers()[0], "SUBSCRIBE", "a", "b")
        listener.read_reply()
        with cluster.leader().resp() as client:
            client.pipeline([("MULTI",), ("PUBLISH", "a", 1), ("PUBLISH", "b", 2), ("PUBLISH", "a", 3), ("EXEC",)])
        heard = [listener.read_reply()[1:] for _ in range(3)]
        self.assertEqual(heard, [[b"a", b"1"], [b"b", b"2"], [b"a", b"3"]])

    def test_a_node_that_was_away_hears_what_comes_after(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2)
        leader, (first, second) = cluster.leader(), cluster.followers()
        stays = self.listen(second, "SUBSCRIBE", "ch")
        leader.execute("PUBLISH", "ch", "before")
        self.assertEqual(stays.read_reply()[2], b"before")
        first.kill()
        for number in range(20):
            leader.execute("PUBLISH", "ch", number)
            self.assertEqual(stays.read_reply()[2], b"%d" % number)
        first.start().wait_healthy()
        back = self.listen(first, "SUBSCRIBE", "ch")

        def is_heard() -> bool:
            leader.execute("PUBLISH", "ch", "after")
            return self.heard_within(back, 0.5)

        wait_until(is_heard, what="the node that came back hears")

    @staticmethod
    def heard_within(client: RespClient, seconds: float) -> bool:
        client.sock.settimeout(seconds)
        try:
            return client.read_reply()[2] == b"after"
        except TimeoutError:
            return False
        finally:
            client.sock.settimeout(TIMEOUT_S)

    def test_a_peer_that_knows_only_the_specification_is_told_nothing(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        with cluster.discovery() as peer:
            peer.send("ANNOUNCE|plain|127.0.0.1|9|1|false")
        wait_until(lambda: 9 in leader.known_nodes(), what="it is a member")
        self.assertEqual(leader.execute("PUBLISH", "ch", "x"), 0)
        self.assertEqual((leader.count("messages_sent"), leader.count("messages_dropped")), (0, 0))

    def test_the_line_by_hand(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        listener = self.listen(cluster.leader(), "SUBSCRIBE", "a|b")
        peer, answer = introduced(cluster.leader(), "NODE|fakenode\nMESSAGE|a%7Cb|two%0Alines\nWHO", "fakenode", group=7)
        self.assertRegex(answer, rb"^ANNOUNCE\|", "read on after the proof")
        self.assertEqual(listener.read_reply(), [b"message", b"a|b", b"two\nlines"])
        with peer:
            peer.read_lines_until(lambda line: line.startswith(b"UPTIME|"))
            peer.send_line("MESSAGE|a%7Cb")
            self.assertTrue(peer.read_line().startswith(b"ERROR|"))
            self.assertTrue(peer.is_closed())

    def test_of_strangers_none_is_taken(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        for node in cluster.nodes:
            listener = self.listen(node, "SUBSCRIBE", "ch")
            with LineConnection(node.port) as peer:
                peer.send_line("MESSAGE|ch|bare")
                self.assertEqual(peer.read_line(), b"ERROR|MESSAGE is taken after NODE only")
                self.assertTrue(peer.is_closed())
            with LineConnection(node.port) as peer:
                peer.send_line("NODE|nobody\nMESSAGE|ch|of nobody")
                self.assertRegex(peer.read_line(), rb"^ERROR\|node nobody is not known")
                self.assertTrue(peer.is_closed())
            with cluster.discovery() as discovery, LineConnection(node.port) as peer:
                discovery.send("ANNOUNCE|unreachable|127.0.0.1|1|0|false")
                wait_until(lambda: 1 in node.known_nodes(), what="it is known")
                peer.send_line("NODE|unreachable\nMESSAGE|ch|of one that does not answer")
                self.assertRegex(peer.read_line(), rb"^ERROR\|node unreachable .*has not answered WHO")
                self.assertTrue(peer.is_closed())
            self.assert_nothing_waits(listener)


if __name__ == "__main__":
    main()
