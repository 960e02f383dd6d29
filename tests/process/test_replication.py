#!/usr/bin/env python3
"""The replication protocol, read and written by peers that are not kvnode (DESIGN.md 4): byte for byte."""
import re
import socket
import time

from harness import HOST, Cluster, ClusterTestCase, LineConnection, Node, free_port, main, wait_until
from peers import LEAD, FakeFollower, history_id, lead, unix_ms, without_clock


class SpecificationOnlyFollower(ClusterTestCase):
    """A TCP socket that only reads, announced by one datagram: what a follower of the specification is."""

    def join(self, cluster: Cluster) -> LineConnection:
        fake = FakeFollower(cluster)
        self.addCleanup(fake.close)
        fake.announce()
        link = fake.accept()
        self.addCleanup(link.close)
        return link

    def test_gets_lead_then_the_state_then_the_stream(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0, id="a1b2c3d4")
        leader = cluster.leader()
        leader.set("user1", "Alice")
        leader.set("user2", "Bob")
        leader.set("user2", "Bob Bobson")
        began = time.monotonic()
        link = self.join(cluster)

        # LEAD, which it does not understand, and 500 ms in which it says nothing.
        said = LEAD.match(link.read_line())
        self.assertIsNotNone(said)
        self.assertEqual((said[1], said[2], int(said[4])), (b"a1b2c3d4", b"0", leader.position()))
        state = [link.read_line(), link.read_line()]
        self.assertGreater(time.monotonic() - began, 0.49)
        self.assertEqual(sorted(state), [b"REPLICATE|user1|Alice|1", b"REPLICATE|user2|Bob Bobson|2"])

        # Every write after it.
        leader.set("user3", "Carol")
        leader.set("user1", "Alice|Smith||")
        leader.set("user3", "")
        leader.http("DELETE", "/delete?key=user2")
        leader.set("user2", "back")
        stream = link.read_lines_until(lambda line: line == b"REPLICATE|user2|back|4")
        self.assertEqual(
            without_clock(stream),
            [
                b"REPLICATE|user3|Carol|1",
                b"REPLICATE|user1|Alice|Smith|||2",
                b"REPLICATE|user3||2",
                b"DELETE|user2|3",
                b"REPLICATE|user2|back|4",
            ],
        )

    def test_its_bytes_are_counted(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        link = self.join(cluster)
        leader.set("user1", "Alice" * 1000)
        link.read_lines_until(lambda line: line.startswith(b"REPLICATE|user1|"))
        info = leader.info()
        self.assertGreaterEqual(int(info["total_net_repl_output_bytes"]), 5000)
        self.assertLess(int(info["total_net_repl_output_bytes"]), int(info["total_net_output_bytes"]))
        self.assertEqual(info["total_net_repl_input_bytes"], "0")

    def test_the_first_write_is_the_line_of_the_specification(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        link = self.join(cluster)
        link.read_line()
        wait_until(lambda: cluster.leader().info().get("follower0", "").find("state=spec-only") > 0, what="its stream")
        cluster.leader().set("user1", "Alice")
        self.assertEqual(link.read_lines_until(lambda line: line.startswith(b"REPL"))[-1], b"REPLICATE|user1|Alice|1")

    def test_hears_x_lines_only_where_the_plain_form_cannot_say_it(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        awkward = {b"bar|key": b"1", b"line\nkey": b"2", b"cr": b"3\r", b"nul": b"\x004", b"100%": b"5%|\xff"}
        for key, value in awkward.items():
            leader.execute("SET", key, value)
        leader.execute("SET", "session", "token", "PXAT", 4000000000000)
        link = self.join(cluster)
        link.read_line()
        state = [link.read_line() for _ in range(6)]
        leader.execute("FLUSHALL")
        for key, value in awkward.items():
            leader.execute("SET", key, value)
        leader.execute("SET", "session", "token", "PXAT", 4000000000000)
        self.assertEqual(link.read_line(), b"FLUSH|1")
        stream = without_clock(link.read_lines_until(lambda line: line.startswith(b"REPLICATEX|session")))

        # State and stream say the same things in the same words.
        for version, lines in ((1, state), (2, stream)):
            self.assertEqual(len(lines), 6)
            lines.sort()
            for line, pattern in zip(lines, (
                rb"REPLICATEX\|bar%%7Ckey\|1\|%d\|\d{13}\|0",
                rb"REPLICATEX\|cr\|3%%0D\|%d\|\d{13}\|0",
                rb"REPLICATEX\|line%%0Akey\|2\|%d\|\d{13}\|0",
                rb"REPLICATEX\|nul\|%%004\|%d\|\d{13}\|0",
                rb"REPLICATEX\|session\|token\|%d\|\d{13}\|4000000000000",
                rb"REPLICATE\|100%%\|5%%\|\xff\|%d",
            )):
                self.assertRegex(line, b"^" + pattern % version + b"$")

    def test_hears_no_link_lines_and_is_kept_without_ever_answering(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        link = self.join(cluster)
        link.read_line()
        until = time.monotonic() + 6  # longer than the 5 s after which a silent kvnode peer is given up
        written = 0
        while time.monotonic() < until:
            leader.set("heartbeat", str(written))
            written += 1
            self.assertEqual(
                link.read_lines_until(lambda line: line.startswith(b"REPLICATE"))[-1],
                b"REPLICATE|heartbeat|%d|%d" % (written - 1, written),
            )
            time.sleep(0.25)
        self.assertGreater(written, 10)

    def test_is_dialled_again_when_its_connection_breaks(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        cluster.leader().set("user1", "Alice")
        with FakeFollower(cluster) as fake:
            fake.announce()
            for _ in range(3):
                with fake.accept() as link:
                    self.assertRegex(link.read_line(), LEAD)
                    self.assertEqual(link.read_line(), b"REPLICATE|user1|Alice|1")


class SpecificationOnlyLeader(ClusterTestCase):
    """Bare lines on a node's replication port, from a peer that said nothing else."""

    def lonely_follower(self) -> Node:
        cluster = self.make_cluster(groups=1, followers=1)
        return cluster.followers()[0].start().wait_listening()

    def test_a_bare_line_is_applied_if_it_is_newer(self) -> None:
        follower = self.lonely_follower()
        with LineConnection(follower.port) as peer:
            for line, value in (
                ("REPLICATE|user1|Alice|1", "Alice"),
                ("REPLICATE|user1|Old|1", "Alice"),  # as old
                ("REPLICATE|user1|Bob|5", "Bob"),
                ("REPLICATE|user1|Late|4", "Bob"),  # older
                ("REPLICATE|user1|a|b|6", "a|b"),
                ("REPLICATE|user1||7", ""),
                ("REPLICATE|user1|with CR|8\r", "with CR"),
                ("DELETE|user1|8", "with CR"),  # as old
                ("DELETE|user1|9", None),
                ("REPLICATEX|user1|per%25cent%0a|10|1700000000123|0", "per%cent\n"),
            ):
                peer.send_line(line)
                peer.send_line("WHO")  # its answer says that the line before it has been read
                self.assertRegex(peer.read_line(), b"^ANNOUNCE|")
                self.assertRegex(peer.read_line(), b"^ENDPOINTS|")
                self.assertEqual(follower.get("user1"), value, line)
            answer = follower.http("GET", "/get?key=user1").json()
            self.assertEqual((answer["version"], answer["timestamp"]), (10, "2023-11-14T22:13:20.123Z"))

    def test_a_line_may_arrive_byte_by_byte_and_many_at_once(self) -> None:
        follower = self.lonely_follower()
        with LineConnection(follower.port) as peer:
            for byte in b"REPLICATE|slow|bytes|1\n":
                peer.send(bytes([byte]))
            follower.wait_healthy()  # it had nothing before
            self.assertEqual(follower.get("slow"), "bytes")
            peer.send(b"".join(b"REPLICATE|many%d|%d|1\n" % (i, i) for i in range(10000)))
            wait_until(lambda: follower.execute("DBSIZE") == 10001, what="ten thousand lines")
            self.assertEqual(follower.get("many9999"), "9999")

    def assert_refused(self, node: Node, line: str) -> None:
        refused = node.count("lines_refused")
        with LineConnection(node.port) as peer:
            peer.send_line(line)
            self.assertRegex(peer.read_line(), rb"^ERROR\|.+")
            self.assertTrue(peer.is_closed())
        self.assertEqual(node.count("lines_refused"), refused + 1)

    def test_a_leader_refuses_it(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        leader.set("user1", "Alice")
        before = leader.digest(), leader.position()
        mallory = ("REPLICATE|user1|Mallory|9", "REPLICATE|new|1|1", "DELETE|user1|9", "FLUSH|9", "CLOCK|1", "BATCH|1")
        for line in mallory:
            self.assert_refused(leader, line)
        self.assertEqual((leader.digest(), leader.position()), before)

    def test_a_follower_with_a_live_leader_refuses_it(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        follower = cluster.followers()[0]
        cluster.leader().set("user1", "Alice")
        before = cluster.wait_same_data()
        for line in ("REPLICATE|user1|Mallory|9", "REPLICATE|new|1|1", "DELETE|user1|9"):
            self.assert_refused(follower, line)
        self.assertEqual(follower.digest(), before)
        self.assertEqual(follower.info()["master_link_status"], "up")

        # Its leader gone, the group may be fed by hand.
        cluster.leader().stop()
        wait_until(lambda: follower.info()["master_link_status"] == "down", what="the link is down")
        with LineConnection(follower.port) as peer:
            peer.send_line("REPLICATE|user1|Alice Smith|2")
            wait_until(lambda: follower.get("user1") == "Alice Smith", what="the bare line")

    def test_what_only_a_leader_may_say_is_refused_without_lead(self) -> None:
        follower = self.lonely_follower()
        for line in ("EXPIREX|user1|0", "FLUSH|1", "BATCH|2"):
            self.assert_refused(follower, line)


class KvnodeFollower(ClusterTestCase):
    """A leader's every word to a follower that speaks the whole protocol."""

    def test_full_then_stream_then_continue(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0, id="a1b2c3d4")
        leader = cluster.leader()
        written = unix_ms(leader.set("user1", "Alice")["timestamp"])
        leader.set("gone", "1")
        leader.http("DELETE", "/delete?key=gone")
        with FakeFollower(cluster, endpoints=True) as fake:
            fake.announce()
            link, history, index = fake.accept_and_sync()

            # The state: X lines with their own timestamps. The floor is the deletion's version, 2.
            self.assertEqual(link.read_line(), b"FULL|%s|%d|2" % (history, index))
            self.assertEqual(link.read_line(), b"REPLICATEX|user1|Alice|1|%d|0" % written)
            self.assertEqual(link.read_line(), b"END|1|%d" % index)

            # The stream: a CLOCK goes before a plain line when the time is not what was said last.
            # New keys begin above the floor.
            expected, clock = [], 0
            for i in range(3):
                timestamp = unix_ms(leader.set(f"plain{i}", "v|w")["timestamp"])
                if timestamp != clock:
                    expected.append(b"CLOCK|%d" % timestamp)
                    clock = timestamp
                expected.append(b"REPLICATE|plain%d|v|w|3" % i)
            leader.execute("SET", "100%|", b"\n\0\r")
            awkward = unix_ms(leader.http("GET", "/get?key=100%25%7C").json()["timestamp"])
            expected.append(b"REPLICATEX|100%%25%%7C|%%0A%%00%%0D|3|%d|0" % awkward)
            leader.execute("DEL", "plain1", "100%|", "absent")
            expected += [b"DELETE|plain1|4", b"DELETEX|100%25%7C|4"]
            leader.execute("SET", "session", "t", "PXAT", 4000000000000)
            session = unix_ms(leader.http("GET", "/get?key=session").json()["timestamp"])
            expected.append(b"REPLICATEX|session|t|5|%d|4000000000000" % session)
            leader.execute("PERSIST", "session")
            expected.append(b"EXPIREX|session|0")
            before = int(time.time() * 1000)
            leader.execute("EXPIRE", "session", 1000)
            after = int(time.time() * 1000)
            leader.execute("FLUSHALL")
            lines = link.read_lines_until(lambda line: line.startswith(b"FLUSH"))
            deadline = int(re.fullmatch(rb"EXPIREX\|session\|(\d+)", lines[-2])[1])
            self.assertTrue(before + 1000_000 <= deadline <= after + 1000_000, (before, deadline, after))
            self.assertEqual(lines[:-2], expected)
            self.assertEqual(lines[-1], b"FLUSH|5")

            # Idle: PING names the position that a follower has when it has counted every line.
            at = index + len(lines)
            self.assertEqual(leader.position(), at)
            self.assertEqual(link.read_line(), b"PING|%d" % at)
            link.send_line(b"ACK|%d" % at)
            wait_until(lambda: f"acked={at},lag_lines=0,lag_ms=0" in leader.info()["follower0"], what="the ACK")
            link.close()

            # Back at once, where it was two lines ago: the tail, and no FULL.
            fulls = leader.count("sync_full")
            link, _, told = fake.accept_and_sync(history, at - 2)
            self.assertEqual(told, at)
            self.assertEqual(link.read_line(), b"CONTINUE|%s|%d" % (history, at - 2))
            self.assertEqual(link.read_line(), lines[-2])
            self.assertEqual(link.read_line(), lines[-1])
            self.assertEqual(link.read_line(), b"PING|%d" % at)
            self.assertEqual(leader.count("sync_full"), fulls)
            self.assertEqual(leader.count("sync_partial_ok"), 1)
            link.close()

            # A position that this history never had, and one of a history nobody knows.
            link, _, _ = fake.accept_and_sync(history, at + 1)
            self.assertEqual(link.read_line(), b"FULL|%s|%d|5" % (history, at))
            self.assertEqual(link.read_line(), b"END|0|%d" % at)
            link.close()

    def test_ping_when_idle_but_once_a_second(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        with FakeFollower(cluster, endpoints=True) as fake:
            began = time.monotonic()
            fake.announce()
            link, history, _ = fake.accept_and_sync()
            self.assertEqual(link.read_line(), b"FULL|%s|0|0" % history)
            self.assertEqual(link.read_line(), b"END|0|0")
            for pings in range(1, 5):
                self.assertEqual(link.read_line(), b"PING|0")
                link.send_line("ACK|0")
                self.assertGreater(time.monotonic() - began, 0.9 * pings)
            link.close()

    def test_a_silent_follower_is_dialled_again_after_5_s(self) -> None:
        """Who has sent ENDPOINTS, be it after LEAD, is waited for: the 500 ms do not apply."""
        cluster = self.start_cluster(groups=1, followers=0)
        cluster.leader().set("key", "value")
        with FakeFollower(cluster, "early", endpoints=True) as early, FakeFollower(cluster, "late") as late:
            began = time.monotonic()
            links = []
            for fake in (early, late):
                fake.announce()
                links.append(fake.accept())
                self.addCleanup(links[-1].close)
            cluster.leader().pause()  # so that the 500 ms are not over before it is here
            late.endpoints = True
            late.announce()
            cluster.leader().resume()
            for link, fake in zip(links, (early, late)):
                self.assertRegex(link.read_line(), LEAD)
                self.assertEqual(link.sock.recv(100), b"", "not a word more")
                self.assertGreater(time.monotonic() - began, 4.5)
                fake.accept().close()

    def test_a_follower_that_says_error_is_named_with_its_reason(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        with FakeFollower(cluster, endpoints=True) as fake:
            fake.announce()
            with fake.accept() as link:
                link.send_line("ERROR|I do not like you")
                self.assertTrue(link.is_closed())
            wait_until(lambda: "I do not like you" in cluster.leader().log(), what="the reason in the log")
            fake.accept().close()


    def test_a_follower_that_cannot_be_dialled_is_in_the_log_once(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        with cluster.discovery() as peer:
            peer.send(f"ANNOUNCE|closed|{HOST}|{free_port()}|0|false")
        wait_until(lambda: "event=cannot-dial node=closed " in leader.log(), what="it is in the log")
        wait_until(lambda: leader.cluster()["nodes"], what="it goes on")
        time.sleep(1)  # it is dialled again and again
        self.assertEqual(leader.log().count("event=cannot-dial node=closed "), 1)

    def test_strangers_that_say_nothing_do_not_keep_the_leader_out(self) -> None:
        cluster = self.make_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        follower.start().wait_listening()
        talker = LineConnection(follower.port)
        self.addCleanup(talker.close)
        talker.send_line("REPLICATE|bare|1|1")
        strangers = [socket.create_connection((HOST, follower.port)) for _ in range(1100)]
        for stranger in strangers:
            self.addCleanup(stranger.close)
        talker.send_line("REPLICATE|bare|2|2")
        follower.wait_healthy()
        wait_until(lambda: follower.get("bare") == "2", what="a peer that has said something is no stranger")
        leader.start().wait_healthy()
        leader.set("key", "value")
        wait_until(lambda: follower.get("key") == "value", what="the follower follows")
        self.assertIn("event=peer-dropped ", follower.log())


class KvnodeLeader(ClusterTestCase):
    """A follower's every answer to a leader that speaks the whole protocol."""

    def setUp(self) -> None:
        super().setUp()
        self.follower = self.make_cluster(groups=1, followers=1).followers()[0].start(id="f0110e4").wait_listening()

    def lead(self, history: str, **more: object) -> tuple[LineConnection, bytes]:
        link, answer = lead(self.follower, history, **more)
        self.addCleanup(link.close)
        return link, answer

    def test_sync_full_stream_ack_and_sync_again(self) -> None:
        follower, mine = self.follower, history_id()
        link, answer = self.lead(mine, index=7)
        self.assertEqual(answer, b"SYNC|f0110e4|-|0")
        link.send_line(f"FULL|{mine}|7|3")
        link.send_line("REPLICATEX|a|1|4|1700000000000|0")
        link.send_line("REPLICATEX|b%7C|%00|5|1700000000001|4000000000000")
        link.send_line("END|2|7")
        link.send_line("CLOCK|1700000000002")
        link.send_line("REPLICATE|c|3|6")
        link.send_line("PING|9")
        self.assertEqual(link.read_lines_until(lambda line: line == b"ACK|9")[-1], b"ACK|9")
        self.assertEqual(follower.http("GET", "/get?key=c").json()["timestamp"], "2023-11-14T22:13:20.002Z")
        self.assertEqual(follower.execute("GET", b"b|"), b"\0")

        # A batch is applied when its last line is there, and counts as its lines and one.
        link.send_line("BATCH|3")
        link.send_line("DELETE|a|5")
        link.send_line("WHO?")  # unknown, inside of it: passed over, and a line of it
        self.assertEqual(follower.get("a"), "1")
        link.send_line("EXPIREX|c|4000000000000")
        link.send_line("PING|13")
        self.assertEqual(link.read_lines_until(lambda line: line == b"ACK|13")[-1], b"ACK|13")
        self.assertIsNone(follower.get("a"))
        self.assertGreater(follower.execute("PTTL", "c"), 10**12)

        # The link breaks. It knows where it is.
        link.close()
        wait_until(lambda: follower.info()["master_link_status"] == "down", what="the link is down")
        link, answer = self.lead(mine, index=14)
        self.assertEqual(answer, b"SYNC|f0110e4|%s|13" % mine.encode())
        link.send_line(f"CONTINUE|{mine}|13")
        link.send_line("REPLICATE|d|4|1")  # the leader's word holds, whatever the version
        link.send_line("PING|14")
        self.assertEqual(link.read_lines_until(lambda line: line == b"ACK|14")[-1], b"ACK|14")
        self.assertEqual(follower.get("d"), "4")

    def test_it_keeps_the_history_that_it_follows(self) -> None:
        follower, mine = self.follower, history_id()
        link, _ = self.lead(mine)
        tail = ("CLOCK|1700000000002", "REPLICATE|a|1|1", "FUTURE|a|1", "BATCH|2", "REPLICATE|b|2|1", "FUTURE", "FLOOR|9")
        for line in (f"FULL|{mine}|7|3", "END|0|7", *tail, "PING|14"):
            link.send_line(line)
        self.assertEqual(link.read_lines_until(lambda line: line == b"ACK|14")[-1], b"ACK|14")
        info, history = follower.info(), follower.cluster()["history"]
        self.assertEqual((info["history_id"], info["history_index"]), (mine, "14"))
        self.assertEqual((history["index"], history["first_index"]), (14, 8))
        self.assertEqual(follower.count("repl_backlog_histlen"), sum(len(line) + 1 for line in tail))

        # What its leader knows and it does not is counted, and said once a link.
        self.assertEqual((follower.count("lines_unknown"), history["lines_unknown"]), (2, 2))
        self.assertEqual(follower.log().count("event=unknown-line"), 1)
        self.assertEqual((follower.get("a"), follower.get("b")), ("1", "2"))

    def test_acknowledges_while_lines_arrive(self) -> None:
        """Without a PING, which has an answer of its own."""
        mine = history_id()
        link, _ = self.lead(mine)
        link.send_line(f"FULL|{mine}|0|0")
        link.send_line("END|0|0")
        for index in range(1, 6):
            link.send_line(f"DELETE|none|{index}")
            link.read_lines_until(lambda line: line == b"ACK|%d" % index)

    def test_gives_up_a_leader_that_is_silent_for_5_s(self) -> None:
        began = time.monotonic()
        link, _ = self.lead(history_id())
        self.assertTrue(link.is_closed())
        self.assertGreater(time.monotonic() - began, 4.5)

    def test_refuses_another_group_a_second_leader_and_itself(self) -> None:
        older, younger = history_id(1700000000000), history_id()
        link, answer = self.lead(younger, group=5, known=False)
        self.assertEqual(answer, b"ERROR|wrong group: node f0110e4 is in group 0")
        self.assertTrue(link.is_closed())
        link, answer = self.lead(younger, node_id="f0110e4", known=False)
        self.assertRegex(answer, rb"^ERROR\|")
        first, answer = self.lead(older, node_id="first")
        self.assertEqual(answer, b"SYNC|f0110e4|-|0")
        link, answer = self.lead(younger, node_id="second")
        self.assertRegex(answer, rb"^ERROR\|two leaders: .*first")
        first.send_line("WHO")
        self.assertRegex(first.read_line(), rb"^ANNOUNCE\|f0110e4\|")

    def test_a_wrong_count_is_mended_by_a_full(self) -> None:
        mine = history_id()
        link, _ = self.lead(mine)
        link.send_line(f"FULL|{mine}|5|0")
        link.send_line("END|0|5")
        link.send_line("PING|6")  # one line more than was sent
        self.assertRegex(link.read_lines_until(lambda line: not line.startswith(b"ACK"))[-1], rb"^ERROR\|")
        self.assertTrue(link.is_closed())
        link, answer = self.lead(mine)
        self.assertEqual(answer, b"SYNC|f0110e4|-|0")


class BadLines(ClusterTestCase):
    MALFORMED = (
        b"REPLICATE", b"REPLICATE|", b"REPLICATE|k", b"REPLICATE|k|v", b"REPLICATE|k|v|", b"REPLICATE|k|v|x",
        b"REPLICATE|k|v|0", b"REPLICATE|k|v|-1", b"REPLICATE|k|v|01x", b"REPLICATE|k|v|18446744073709551616",
        b"REPLICATE|k|v| 1", b"REPLICATEX|k|v|1", b"REPLICATEX|k|v|1|0", b"REPLICATEX|k%|v|1|0|0",
        b"REPLICATEX|k%4|v|1|0|0", b"REPLICATEX|k%zz|v|1|0|0", b"REPLICATEX|k|v|1|0|0|0", b"REPLICATEX|k|v|1|x|0",
        b"REPLICATEX|k|v|1|281474976710656|0", b"DELETE|k", b"DELETE|k|x", b"DELETE|k|1|2", b"DELETEX|%|1",
        b"EXPIREX|k", b"FLUSH|", b"CLOCK|", b"CLOCK|now", b"BATCH|0", b"BATCH|1048577", b"LEAD|x|0|1",
        b"LEAD|x y|0|0000000000000001|0", b"LEAD|x|16384|0000000000000001|0", b"LEAD|x|0|000000000000000G|0",
        b"LEAD|x|0|0000000000000000|0", b"SYNC|x|-|1", b"PING|", b"ACK|x", b"END|1", b"MESSAGE|k",
    )
    OUT_OF_PLACE = (b"SYNC|x|-|0", b"CONTINUE|0000000000000001|0", b"FULL|0000000000000001|0|0", b"END|0|0", b"PING|0",
                    b"ACK|0", b"PULL")
    UNKNOWN = (b"", b"HELLO", b"HELLO|", b"\x16\x03\x01", b"replicate|k|v|1", b"REPLICATE2|k|v|1", b"*1\r", b"GET / HTTP/1.1\r", b"\x00\xff",
               b"WATCH|k", b" REPLICATE|k|v|1")

    def test_a_malformed_line_is_answered_and_closes(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        cluster.leader().set("k", "untouched")
        before = cluster.wait_same_data()
        for node in cluster.nodes:
            malformed = node.count("lines_malformed")
            for line in self.MALFORMED + self.OUT_OF_PLACE:
                with self.subTest(node=node.name, line=line), LineConnection(node.port) as peer:
                    peer.send_line(line)
                    peer.send_line("REPLICATE|k|after it|99")  # not read any more
                    self.assertRegex(peer.read_line(), rb"^ERROR\|[^\n]+$")
                    self.assertTrue(peer.is_closed())
            self.assertEqual(node.count("lines_malformed"), malformed + len(self.MALFORMED + self.OUT_OF_PLACE))
            self.assertEqual(node.digest(), before)
        self.assertEqual(cluster.followers()[0].info()["master_link_status"], "up")

    def test_an_unknown_verb_is_ignored_and_counted(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        for node in cluster.nodes:
            unknown = node.count("lines_unknown")
            with LineConnection(node.port) as peer:
                peer.send_line("WHO")
                self.assertRegex(peer.read_line(), rb"^ANNOUNCE\|")
                self.assertRegex(peer.read_line(), rb"^ENDPOINTS\|")
                self.assertRegex(peer.read_line(), rb"^UPTIME\|")
                for line in self.UNKNOWN:
                    peer.send_line(line)
                peer.send_line("WHO")
                self.assertRegex(peer.read_line(), rb"^ANNOUNCE\|")
            self.assertEqual(node.count("lines_unknown"), unknown + len(self.UNKNOWN))

    def test_cluster_links_are_those_of_replication(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2)
        leader = cluster.leader()
        ids = {node.name: node.http("GET", "/health").json()["node"] for node in cluster.nodes}
        wait_until(lambda: leader.count("followers_online") == 2, what="both are linked")
        before = time.time_ns() // 1_000_000
        linked = {link["node"]: link for link in self.links(leader)}
        self.assertEqual(set(linked), {ids[node.name] for node in cluster.followers()})
        for link in linked.values():
            self.assertEqual(link["direction"], "to")
            self.assertLessEqual(link["create-time"], before)
            self.assertGreater(link["create-time"], before - 60_000)
            self.assertLessEqual(link["send-buffer-used"], link["send-buffer-allocated"])
            self.assertIn(link["events"], ("r", "rw"))
        for follower in cluster.followers():
            (link,) = self.links(follower)
            self.assertEqual((link["direction"], link["node"]), ("from", ids[leader.name]))

    @staticmethod
    def links(node) -> list[dict]:
        text = lambda value: value.decode() if isinstance(value, bytes) else value
        flat = node.execute("CLUSTER", "LINKS")
        return [dict(zip(map(text, link[0::2]), map(text, link[1::2]))) for link in flat]

    def test_who_is_answered_with_announce_and_endpoints(self) -> None:
        cluster = self.make_cluster(groups=1, followers=1)
        for node, node_id in zip(cluster.nodes, ("a1b2c3d4", "b2c3d4e5")):
            node.start(id=node_id)
        cluster.wait_formed()
        for node, is_leader in zip(cluster.nodes, (b"true", b"false")):
            with LineConnection(node.port) as peer:
                for _ in range(2):
                    peer.send_line("WHO")
                    node_id = str(node.flags["id"]).encode()
                    announce = b"ANNOUNCE|%s|127.0.0.1|%d|0|%s" % (node_id, node.port, is_leader)
                    self.assertEqual(peer.read_line(), announce)
                    self.assertEqual(peer.read_line(), b"ENDPOINTS|%s|%d|%d|true|0" % (node_id, node.api, node.redis))
                    self.assertRegex(peer.read_line(), rb"^UPTIME\|%s\|\d+$" % node_id)


if __name__ == "__main__":
    main()
