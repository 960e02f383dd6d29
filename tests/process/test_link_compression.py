#!/usr/bin/env python3
"""Links with -link-compression lz4: what a leader sends behind SYNC is LZ4 frames, where both ends have the flag."""
import random
import re
from typing import Any, Optional

from harness import SANITIZE, Cluster, ClusterTestCase, LineConnection, Node, main, wait_until
from lz4 import Decoder, frame
from peers import FakeFollower, fill, history_id, introduced, pipeline_all
from test_journal import keep

KEYS = 20000 if not SANITIZE else 4000
OFFER = re.compile(rb"^LEAD\|([\w-]+)\|0\|([0-9a-f]{16})\|(\d+)\|-\|lz4$")


def sent(node: Node) -> tuple[int, int]:
    """What it has sent compressed: bytes as lines, and as frames."""
    info = node.info()
    return int(info["lz4_output_raw_bytes"]), int(info["lz4_output_bytes"])


def received(node: Node) -> tuple[int, int]:
    info = node.info()
    return int(info["lz4_input_raw_bytes"]), int(info["lz4_input_bytes"])


class PackedLink:
    """A leader's link, taken by SYNC with lz4: its lines."""

    def __init__(self, link: LineConnection):
        self._link, self._decoder, self._text = link, Decoder(), b""

    def read_line(self) -> bytes:
        while b"\n" not in self._text:
            self._text += self._decoder.feed(self._link.read_exactly(1))
        line, self._text = self._text.split(b"\n", 1)
        return line

    def read_until(self, start: bytes) -> list[bytes]:
        lines = [self.read_line()]
        while not lines[-1].startswith(start):
            lines.append(self.read_line())
        return lines


class BetweenNodes(ClusterTestCase):
    def make(self, followers: int = 1, **flags: Any) -> Cluster:
        return self.make_cluster(groups=1, followers=followers, link_compression="lz4", **flags)

    def link_bytes(self, node: Node) -> dict[bytes, int]:
        """Of its only link."""
        (link,) = node.execute("CLUSTER", "LINKS")
        pairs = dict(zip(link[::2], link[1::2]))
        return {name: pairs[name] for name in (b"lz4-raw-bytes", b"lz4-bytes")}

    def check_same(self, cluster: Cluster) -> None:
        cluster.wait_replicated()
        digests = {node.digest() for node in cluster.nodes}
        self.assertEqual(len(digests), 1)

    def write_all_kinds(self, node: Node, prefix: str) -> None:
        fill(node, KEYS, prefix=prefix, value='{"user": 17, "name": "Alice", "roles": ["admin"]} ')
        with node.resp() as client:
            pipeline_all(client, [("APPEND", f"{prefix}{i}", "more") for i in range(100)])
            pipeline_all(client, [("SET", b"\x00\r\n|%%~%d" % i, random.randbytes(1000)) for i in range(100)])
            client.execute("SET", prefix + "large", random.randbytes(3 << 20))
            client.execute("SET", prefix + "zeros", bytes(4 << 20))
            for command in ("MULTI", "INCR a", "INCR b", "DEL c", "EXEC"):
                client.execute(*command.split())

    def test_a_state_and_the_stream(self) -> None:
        cluster = self.make()
        leader, follower = cluster.leader().start().wait_healthy(), cluster.followers()[0]
        self.write_all_kinds(leader, "state")
        follower.start().wait_healthy()
        self.check_same(cluster)
        raw, packed = sent(leader)
        self.assertGreater(raw, 3 * packed)
        self.write_all_kinds(leader, "stream")
        self.check_same(cluster)
        self.assertGreater(sent(leader)[0], raw + (12 << 20))
        self.assertGreater(received(follower)[0], 3 * received(follower)[1])
        self.assertRegex(leader.info()["follower0"], r",lz4_raw_bytes=\d+,lz4_bytes=\d+$")
        wait_until(lambda: self.link_bytes(leader) == self.link_bytes(follower), what="both ends count alike")

    def test_wait_is_answered_and_nothing_waits_for_more(self) -> None:
        cluster = self.make(followers=2).start()
        leader = cluster.leader()
        with leader.resp() as client:
            for i in range(200):
                client.execute("SET", "k", i)
                self.assertEqual(client.execute("WAIT", 2, 60000), 2)

    def test_a_link_that_is_cut_is_continued(self) -> None:
        cluster = self.make().start()
        leader, follower = cluster.leader(), cluster.followers()[0]
        fill(leader, 1000)
        cluster.wait_same_data()
        for i in range(3):
            leader.execute("SET", "round", i)
            cluster.wait_same_data()
            follower.pause()
            fill(leader, 100, prefix=f"round{i}:")
            online = int(leader.info()["sync_partial_ok"])
            wait_until(lambda: leader.count("followers_online") == 0, what="the leader gives it up")
            follower.resume()
            wait_until(lambda: int(leader.info()["sync_partial_ok"]) > online, what="it is continued")
            self.check_same(cluster)
        self.assertEqual(int(leader.info()["sync_full"]), 1)
        self.assertGreater(sent(leader)[0], 1000, "what former links have sent still counts")

    def test_one_that_fell_out_of_the_backlog_is_continued_from_the_disk(self) -> None:
        cluster = keep(self.make(), backlog="64k").start()
        leader, follower = cluster.leader(), cluster.followers()[0]
        fill(leader, 4000, value="x" * 1000)
        cluster.wait_same_data()
        full = leader.count("sync_full")
        follower.kill()
        fill(leader, 2000, value="y" * 1000)
        raw, packed = sent(leader)
        follower.start().wait_healthy()
        self.check_same(cluster)
        self.assertEqual((leader.count("sync_full"), leader.count("sync_partial_from_disk")), (full, 1))
        more_raw, more_packed = sent(leader)
        self.assertGreater(more_raw - raw, 2_000_000)
        self.assertLess(more_packed - packed, 200_000)

    def test_one_without_the_flag_beside_one_with_it(self) -> None:
        for leaders, first, second in (("lz4", "lz4", None), ("lz4", None, None), (None, "lz4", None)):
            with self.subTest(leader=leaders, first=first, second=second):
                cluster = self.make_cluster(groups=1, followers=2)
                for node, flag in zip([cluster.leader(), *cluster.followers()], (leaders, first, second)):
                    node.flags["link_compression"] = flag
                cluster.start()
                leader, (one, other) = cluster.leader(), cluster.followers()
                fill(leader, 3000)
                self.check_same(cluster)
                self.assertEqual(received(one)[0] > 0, leaders is not None and first is not None)
                self.assertEqual(received(other), (0, 0))
                cluster.close()

    def test_a_leader_that_starts_empty_takes_it_back(self) -> None:
        cluster = self.make().start()
        leader = cluster.leader()
        fill(leader, 3000)
        before = cluster.wait_same_data()
        leader.kill()
        leader.start().wait_healthy()
        self.assertEqual(leader.digest(), before)
        self.check_same(cluster)

    def test_a_flag_that_is_wrong_is_said(self) -> None:
        cluster = self.make_cluster(groups=1, followers=0, link_compression="zip")
        node = cluster.leader().start()
        self.assertEqual(node.wait_exit(), 2)
        self.assertIn("-link-compression zip", node.log())


class FakePeers(ClusterTestCase):
    def start(self) -> Cluster:
        return self.start_cluster(groups=1, followers=0, link_compression="lz4")

    def join(self, cluster: Cluster, answer: Optional[str]) -> LineConnection:
        fake = FakeFollower(cluster, endpoints=answer is not None)
        self.addCleanup(fake.close)
        fake.announce()
        link = fake.accept()
        self.addCleanup(link.close)
        self.assertRegex(link.read_line(), OFFER)
        if answer is not None:
            link.send_line(answer)
        return link

    def test_behind_sync_all_is_frames(self) -> None:
        cluster = self.start()
        leader = cluster.leader()
        leader.set("user1", "Alice")
        link = self.join(cluster, "SYNC|fake0001|-|0|-|lz4")
        self.assertEqual(link.read_exactly(4), b"\x04\x22\x4d\x18", "the magic number of a frame")
        link._buffer[:0] = b"\x04\x22\x4d\x18"
        packed = PackedLink(link)
        state = packed.read_until(b"END|")
        self.assertRegex(state[0], rb"^FULL\|[0-9a-f]{16}\|\d+\|0$")
        self.assertRegex(state[1], rb"^REPLICATEX\|user1\|Alice\|1\|\d+\|0$")
        leader.set("user2", "Bob")
        self.assertEqual(packed.read_until(b"REPLICATE|")[-1], b"REPLICATE|user2|Bob|1")
        ping = packed.read_until(b"PING|")[-1]
        link.send_line(b"ACK" + ping[4:])  # plain
        wait_until(lambda: f"acked={ping[5:].decode()}," in leader.info()["follower0"], what="its ACK")
        link.send_line("WHAT?|is that")  # an unknown line is none to refuse
        link.send_line("ACK|x")
        self.assertEqual(packed.read_until(b"ERROR|")[-1], b"ERROR|bad index")

    def test_who_does_not_know_it_gets_lines(self) -> None:
        cluster = self.start()
        leader = cluster.leader()
        leader.set("user1", "Alice")
        link = self.join(cluster, "SYNC|fake0001|-|0")
        self.assertRegex(link.read_line(), rb"^FULL\|[0-9a-f]{16}\|\d+\|0$")
        self.assertRegex(link.read_line(), rb"^REPLICATEX\|user1\|Alice\|1\|")
        self.assertEqual(sent(leader), (0, 0))

    def test_a_peer_of_the_specification_gets_its_lines(self) -> None:
        cluster = self.start()
        cluster.leader().set("user1", "Alice")
        link = self.join(cluster, None)
        self.assertEqual(link.read_line(), b"REPLICATE|user1|Alice|1")

    def follow(self) -> tuple[Cluster, Node, Any]:
        cluster = self.make_cluster(groups=1, followers=1, link_compression="lz4")
        follower = cluster.followers()[0].start().wait_listening()

        def dial() -> LineConnection:
            link, answer = introduced(follower, f"LEAD|fakelead|0|{history_id()}|1|-|lz4", "fakelead", leader=True)
            self.addCleanup(link.close)
            self.assertRegex(answer, rb"^SYNC\|[\w-]+\|(-|[0-9a-f]{16})\|\d+\|-\|lz4$")
            return link

        return cluster, follower, dial

    def test_a_leader_may_cut_it_as_it_likes(self) -> None:
        _, follower, dial = self.follow()
        history = history_id()
        link = dial()
        lines = f"FULL|{history}|1|0\nREPLICATEX|k|v|1|1796100000000|0\nEND|1|1\n".encode()
        for byte in frame(lines):  # byte by byte
            link.send(bytes([byte]))
        bomb = b"".join(b"REPLICATE|k|%d|%d\n" % (i, i) for i in range(2, 200002))
        link.send(frame(bomb) + frame(b"PING|200001\n"))  # 200,000 lines in one piece, and a second frame
        link.read_lines_until(lambda line: line.startswith(b"ACK|200001"))
        self.assertEqual(follower.get("k"), "200001")
        link.send(frame(b"REPLICATE|zeros|" + bytes(50 << 20).replace(b"\0", b"0") + b"|1\nPING|200002\n"))
        link.read_lines_until(lambda line: line.startswith(b"ACK|200002"))
        self.assertEqual(follower.execute("STRLEN", "zeros"), 50 << 20)

    def test_what_is_no_frame_ends_the_link_and_nothing_else(self) -> None:
        _, follower, dial = self.follow()
        history = history_id()
        good = frame(f"FULL|{history}|1|0\nREPLICATEX|k|v|1|1796100000000|0\nEND|1|1\n".encode())
        for garbage in (
            f"FULL|{history}|1|0\n".encode(),
            random.randbytes(1000),
            bytes(100000),
            good[:7] + b"\xff\xff\xff\x7f" + good[11:],  # a block of 2 GB
            good + b"CLOCK|1\n",
        ):
            with self.subTest(garbage=garbage[:30]):
                refused = follower.log().count("no LZ4 frame that can be read")
                link = dial()
                link.send(garbage)
                self.assertRegex(
                    link.read_lines_until(lambda line: line.startswith(b"ERROR|"))[-1],
                    rb"^ERROR\|no LZ4 frame that can be read: ERROR_\w+$")
                link.close()
                wait_until(
                    lambda: follower.log().count("no LZ4 frame that can be read") > refused, what="a line in the log")
        link = dial()
        link.send(good + frame(b"PING|1\n"))
        link.read_lines_until(lambda line: line.startswith(b"ACK|1"))
        self.assertEqual(follower.get("k"), "v")

    def test_a_bomb_without_end_takes_no_memory(self) -> None:
        _, follower, dial = self.follow()
        link = dial()
        link.send(frame(f"FULL|{history_id()}|1|0\n".encode()))
        before = follower.resident_bytes()
        lines = frame(b"CLOCK|1\n" * 4_000_000)  # 32 MB in 130 KB
        self.assertLess(len(lines), 200_000)
        link.send(lines)
        link.send(frame(b"END|0|1\nPING|1\n"))
        link.read_lines_until(lambda line: line.startswith(b"ACK|1"))
        if not SANITIZE:
            self.assertLess(follower.resident_bytes() - before, 8 << 20)


if __name__ == "__main__":
    main()
