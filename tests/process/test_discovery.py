#!/usr/bin/env python3
"""Discovery as the specification has it, byte for byte, and the three datagrams that kvnode adds (DESIGN.md 5)."""
import re
import socket
import time
import unittest

from harness import (
    TIMEOUT_S, Cluster, ClusterTestCase, DiscoverySocket, Node, RespError, free_port, main, wait_until,
)
from peers import FakeNode, Relay

# Between two announcements of a node there are 4.5 s at least; the rest of its times is told in virtual time, by
# unit/test_membership and sim/test_discovery_sim.
ANNOUNCE_EVERY_S = 4.5
DEATH_S = 30 + TIMEOUT_S  # of silence


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


class Announcements(ClusterTestCase):
    def one_leader(self) -> tuple[Cluster, DiscoverySocket]:
        """A leader with the specification's node id, healthy, and an ear on its discovery port since before its start."""
        cluster = self.make_cluster(groups=1, followers=0, id="a1b2c3d4")
        ear = cluster.discovery()
        self.addCleanup(ear.close)
        cluster.start()
        return cluster, ear

    def test_the_first_words_of_a_node(self) -> None:
        cluster, ear = self.one_leader()
        said = [datagram.data for datagram in ear.drain()]
        self.assertIn(b"WHO", said)
        self.assertIn(b"ANNOUNCE|a1b2c3d4|127.0.0.1|%d|0|true" % cluster.leader().port, said)

    def test_announcements_byte_for_byte(self) -> None:
        cluster, ear = self.one_leader()
        node = cluster.leader()
        announce = b"ANNOUNCE|a1b2c3d4|127.0.0.1|%d|0|true" % node.port
        endpoints = b"ENDPOINTS|a1b2c3d4|%d|%d|true|0" % (node.api, node.redis)

        # A node that has just started asks WHO a few times more, and is answered by itself too: first that is over.
        heard: list[bytes] = []
        while len(heard) < 8:
            data = ear.wait_for(b"").data
            heard = [] if data == b"WHO" else heard + [data]
        self.assertEqual(heard, [announce, endpoints] * 4)

    def test_a_follower_announces_itself_as_one(self) -> None:
        cluster = self.make_cluster(groups=1, followers=1)
        with cluster.discovery() as ear:
            follower = cluster.followers()[0].start(id="f", group=7)
            heard = ear.wait_for(b"ANNOUNCE|f|")
            self.assertEqual(heard.data, b"ANNOUNCE|f|127.0.0.1|%d|7|false" % follower.port)

    def test_a_node_makes_up_an_id_of_eight_hex_digits(self) -> None:
        cluster = self.make_cluster(groups=1, followers=0)
        with cluster.discovery() as ear:
            cluster.leader().start()
            self.assertRegex(ear.wait_for(b"ANNOUNCE|").data, rb"^ANNOUNCE\|[0-9a-f]{8}\|127\.0\.0\.1\|\d+\|0\|true$")

    def test_who_is_answered(self) -> None:
        _, ear = self.one_leader()
        began, answers, due = time.monotonic(), 0, 0.0
        while answers < due + 4:  # more often than announcements were due anyway
            self.assertLess(answers, 100)
            ear.drain()
            ear.send("WHO")
            ear.wait_for(b"ANNOUNCE|a1b2c3d4|")
            ear.wait_for(b"ENDPOINTS|a1b2c3d4|")
            answers += 1
            due = (time.monotonic() - began) / ANNOUNCE_EVERY_S

    def test_published_ports_stand_wherever_a_node_is_named(self) -> None:
        cluster = self.make_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        said = {name: free_port() for name in ("announce_port", "announce_api", "announce_redis")}
        port, api, redis = said.values()
        with cluster.discovery() as ear, Relay(port, leader.port, most=None):
            leader.start(id="inside", **said).wait_healthy()
            self.assertRegex(ear.wait_for(b"ANNOUNCE|").data, b"^ANNOUNCE.inside.127.0.0.1.%d.0.true$" % port)
            self.assertRegex(ear.wait_for(b"ENDPOINTS|").data, b"^ENDPOINTS.inside.%d.%d." % (api, redis))
            follower.start().wait_healthy()
            for node in (leader, follower):
                named_first = lambda: node.execute("CLUSTER", "SLOTS")[0][2][1]
                wait_until(lambda: named_first() == redis, what=f"{node.name} names it by that port")
                with node.resp() as client:
                    self.assertIn(b"inside 127.0.0.1:%d@%d " % (redis, port), client.execute("CLUSTER", "NODES"))
                named = [one for one in node.cluster()["nodes"] if one["id"] == "inside"]
                self.assertEqual([(one["port"], one["api_port"], one["redis_port"]) for one in named], [(port, api, redis)])
            self.assertEqual(leader.cluster()["self"]["api_port"], api)
            with self.assertRaises(RespError) as error:
                follower.execute("SET", "a", "1")
            self.assertEqual(str(error.exception), f"MOVED 15495 127.0.0.1:{redis}")
            answer = follower.http("POST", "/set", {"key": "a", "value": "1"})
            self.assertEqual(answer.headers["location"], f"http://127.0.0.1:{api}/set")

    @unittest.skipUnless(has_ipv6(), "this machine has no ::1")
    def test_localhost_is_127_0_0_1_and_1_of_ipv6(self) -> None:
        cluster, _ = self.one_leader()
        for port in (cluster.leader().port, cluster.leader().api, cluster.leader().redis):
            socket.create_connection(("::1", port), timeout=TIMEOUT_S).close()
            socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S).close()

    def test_leave_on_sigterm(self) -> None:
        cluster, ear = self.one_leader()
        ear.drain()
        cluster.leader().stop()
        self.assertEqual(ear.wait_for(b"LEAVE").data, b"LEAVE|a1b2c3d4")


class Membership(ClusterTestCase):
    def test_a_new_node_is_known_and_knows_all(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        newcomer = cluster.add_node()
        newcomer.start()
        for node in cluster.nodes[:2]:
            wait_until(lambda: newcomer.port in node.known_nodes(), what=f"the newcomer on {node.name}")
        everyone = {node.port for node in cluster.nodes}
        wait_until(lambda: newcomer.known_nodes() == everyone, what="everyone on the newcomer")

    def test_a_node_that_leaves_is_gone_at_once(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2)
        leaver = cluster.followers()[1]
        leaver.stop()
        for node in cluster.nodes[:2]:
            wait_until(lambda: leaver.port not in node.known_nodes(), what=f"{node.name} has heard LEAVE")
            self.assertEqual(node.known_nodes(alive=False), set(), "it left; it did not die")

    def test_a_killed_node_is_dead_after_30_s(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2)
        killed = cluster.followers()[1]
        watchers = cluster.nodes[:2]
        with cluster.discovery() as ear:
            start = b"ANNOUNCE|%s|" % self.id_of(killed)
            last_heard = ear.wait_for(start).at
            killed.kill()
            for node in watchers:
                wait_until(lambda: killed.port in node.known_nodes(alive=False), DEATH_S, f"{node.name} has noticed")
                self.assertNotIn(killed.port, node.known_nodes())
            self.assertGreater(time.monotonic() - last_heard, 25, "not at once")
            self.assertNotIn(b"LEAVE", b"".join(datagram.data for datagram in ear.drain()))

        # It comes back with another id: who announces the same host and port replaces the dead one.
        killed.start()
        for node in watchers:
            wait_until(lambda: killed.port in node.known_nodes(), what=f"{node.name} has it back")
            self.assertEqual(node.known_nodes(alive=False), set())

    def test_a_peer_that_knows_only_the_specification_is_a_member(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        with cluster.discovery() as peer:
            peer.send("ANNOUNCE|0a0b0c0d|127.0.0.1|19999|0|false")
            wait_until(lambda: 19999 in cluster.leader().known_nodes(), what="the peer is known")

    def test_datagrams_that_are_no_datagrams_change_nothing(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        before = cluster.leader().known_nodes()
        garbage = [
            b"", b"\x00", b"\xff" * 1400, b"ANNOUNCE", b"ANNOUNCE|", b"ANNOUNCE|x|127.0.0.1|0|0|true",
            b"ANNOUNCE|x|127.0.0.1|65536|0|true", b"ANNOUNCE|x|127.0.0.1|8100|16384|true",
            b"ANNOUNCE|x|127.0.0.1|8100|0|yes", b"ANNOUNCE|x y|127.0.0.1|8100|0|true",
            b"ANNOUNCE|x|127.0.0.1|8100|0|true|more", b"ANNOUNCE|" + b"x" * 41 + b"|127.0.0.1|8100|0|true",
            b"ANNOUNCE|x|127.0.0.1|8100|0|true" + b" " * 2000, b"LEAVE|nobody", b"GOSSIP|of|the|future",
        ]
        with cluster.discovery() as peer:
            for datagram in garbage:
                peer.send(datagram)
            # Datagrams are read in order: when the last, good one has been understood, the others have been too.
            peer.send("ANNOUNCE|good|127.0.0.1|19998|0|false")
        for node in cluster.nodes:
            wait_until(lambda: 19998 in node.known_nodes(), what="the good datagram")
            self.assertEqual(node.known_nodes(), before | {19998})

    def assert_made_way(self, later: Node, first: Node, leader: Node) -> None:
        self.assertEqual(later.wait_exit(), 1, later.log())
        wanted = [f"node twin runs already, at 127.0.0.1:{first.port}: each node needs an id of its own (-id)"]
        if later.is_leader:  # it may hear of the leader first, and say that it leaves
            wanted.append("is the live leader of group 0 already")
        else:  # it said no LEAVE: for nobody it is gone
            self.assertNotIn("event=member-gone node=twin", leader.log())
        self.assertRegex(later.log().splitlines()[-1], "^kvnode: .*(" + "|".join(map(re.escape, wanted)) + ")$")
        self.assertTrue(first.is_running())

    def test_of_two_nodes_with_one_id_the_later_exits(self) -> None:
        cluster = self.make_cluster(groups=1, followers=1)
        leader, first = cluster.leader().start(), cluster.followers()[0].start(id="twin")
        cluster.wait_formed()
        leader.set("key", "1")
        cluster.wait_same_data()
        for later in (cluster.add_node(), cluster.add_node(leader=True)):
            cluster.nodes.remove(later)
            self.assert_made_way(later.start(id="twin"), first, leader)
            self.assertRegex(first.log(), r"level=warn event=duplicate-id node=twin address=127\.0\.0\.1:\d+ group=0 ")
            # The first says at once where it is, whatever the later one said.
            wait_until(lambda: leader.known_nodes() == {leader.port, first.port}, what="the first is known as before")
            leader.set("key", later.name)
            cluster.wait_same_data()

    def test_who_comes_back_at_its_own_port_is_its_former_self(self) -> None:
        cluster = self.make_cluster(groups=1, followers=1)
        leader, first = cluster.leader().start(), cluster.followers()[0].start(id="twin")
        cluster.wait_formed()
        first.kill()
        first.start().wait_healthy()
        cluster.wait_formed()
        first.kill()  # nor does one that nobody runs any more keep another away
        later = cluster.add_node(id="twin").start().wait_healthy()
        with cluster.discovery() as discovery:
            discovery.send(f"ANNOUNCE|twin|127.0.0.1|{first.port}|0|false")
        wait_until(lambda: "event=duplicate-id node=twin" in later.log(), what="it has heard that")
        wait_until(lambda: leader.known_nodes() == {leader.port, later.port}, what="where it is")
        self.assertTrue(later.is_running())

    def test_two_others_of_one_id_are_warned_about(self) -> None:
        leader = self.start_cluster(groups=1, followers=0).leader()
        discovery = int(leader.flags["discovery_port"] or 0)
        with FakeNode(discovery, "twin") as one:
            wait_until(lambda: one.port in leader.known_nodes(), what="one is known")
            with FakeNode(discovery, "twin") as other:
                wait_until(lambda: other.port in leader.known_nodes(), what="it seems to have moved")
            one.announce()
            twins = rf"level=warn event=duplicate-id node=twin address=127\.0\.0\.1:{one.port} group=0 "
            wait_until(lambda: re.search(twins, leader.log()), what="the leader has heard each twin again")

    def test_an_announcement_of_no_address_is_malformed(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        before = leader.known_nodes()
        nobody = ["8.8.8.8x", "999.1.2.3", "0.0.0.0", "255.255.255.255", "224.0.0.1", "ff02::1", "", " ", "localhost"]
        with cluster.discovery() as peer:
            for i, host in enumerate(nobody):
                peer.send(f"ANNOUNCE|x{i}|{host}|8100|0|true")
        wait_until(lambda: leader.count("datagrams_malformed") == len(nobody), what="each is counted")
        self.assertEqual(leader.known_nodes(), before)

    def test_a_flood_of_strangers_keeps_nobody_out(self) -> None:
        cluster = self.make_cluster(groups=1, followers=1)
        leader, follower = cluster.leader().start().wait_healthy(), cluster.followers()[0]
        began = time.monotonic()
        with cluster.discovery() as peer:
            received = leader.count("datagrams_received")
            for i in range(4200):
                peer.send(f"ANNOUNCE|n{i}|127.0.0.1|{1000 + i}|9|false")
                if i % 50 == 49:  # the socket's buffer is not the subject
                    wait_until(lambda: leader.count("datagrams_received") >= received + i, what="they are read")
        self.assertGreater(leader.count("members_evicted"), 0)
        warned = leader.log().count("level=warn event=too-many-members")
        self.assertIn(warned, range(1, 2 + int(time.monotonic() - began) // 60), "at most once a minute")
        follower.start()
        wait_until(lambda: follower.port in leader.known_nodes(), what="the real one is known")
        follower.wait_healthy()
        self.assertEqual(leader.count("datagrams_ignored"), 0)

    def test_the_cluster_is_told_with_thousands_that_pass_for_followers(self) -> None:
        """To look for the link of each among the links of all, each found by counting, took a minute."""
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        with cluster.discovery() as peer:
            received = leader.count("datagrams_received")
            for i in range(3000):
                peer.send(f"ANNOUNCE|n{i}|127.0.0.1|{1000 + i}|0|false")
                if i % 50 == 49:  # the socket's buffer is not the subject
                    wait_until(lambda: leader.count("datagrams_received") >= received + i, what="they are read")
        nodes = leader.cluster()["nodes"]
        self.assertEqual(["link" in node for node in nodes if node["id"] == "n2999"], [True])
        self.assertEqual(len(nodes), 3001)

    def test_clusters_on_other_ports_do_not_meet(self) -> None:
        one = self.start_cluster(groups=1, followers=0)
        other = self.start_cluster(groups=1, followers=0)
        with one.discovery() as ear:
            ear.send("WHO")
            ear.wait_for(b"ANNOUNCE|")
        self.assertEqual(one.leader().known_nodes(), {one.leader().port})
        self.assertEqual(other.leader().known_nodes(), {other.leader().port})

    @staticmethod
    def id_of(node) -> bytes:
        return node.http("GET", "/health").json()["node"].encode()


if __name__ == "__main__":
    main()
