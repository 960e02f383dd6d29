#!/usr/bin/env python3
# ctest: timeout=300
"""A follower that has fallen out of its leader's backlog is continued from the leader's disk (README, "Kept on disk")."""
import re
from pathlib import Path
from typing import Callable

from harness import Cluster, ClusterTestCase, Node, main, wait_until
from peers import LEAD, FakeFollower, fill, pipeline_all
from test_failover_restart import link_state
from test_journal import Ledger, directory_of, keep, segments
from wire import LineConnection

LINE = re.compile(rb"^REPLICATE\|n(\d+)\|")


def from_disk(leader: Node) -> list[tuple[int, int]]:
    """Lines and bytes of each that was continued from the disk."""
    said = re.findall(r"event=continued-from-disk node=\S+ lines=(\d+) bytes=(\d+)", leader.log())
    return [(int(lines), int(size)) for lines, size in said]


def compact(node: Node) -> None:
    before = node.info()["aof_last_rewrite_time_sec"], segments(Path(str(node.flags["data"])))
    wait_until(lambda: node.info()["rdb_bgsave_in_progress"] == "0", what="no segment is being written")
    node.execute("BGREWRITEAOF")
    wait_until(
        lambda: node.info()["rdb_bgsave_in_progress"] == "0"
        and len(now := segments(Path(str(node.flags["data"])))) == 1
        and now != before[1],
        what="a new segment, and it alone",
    )


class Followers(ClusterTestCase):
    def make_group(self, followers: int = 1) -> tuple[Cluster, Node, list[Node]]:
        """With 4 MB of data, and a backlog of 64 KB."""
        cluster = keep(self.make_cluster(groups=1, followers=followers), backlog="64k").start()
        fill(cluster.leader(), 4000, value="x" * 1000)
        cluster.wait_same_data()
        return cluster, cluster.leader(), cluster.followers()

    def write_past_the_backlog(self, leader: Node) -> None:
        fill(leader, 2000, value="y" * 1000)
        leader.execute("DEL", "key3000", "key3001")
        leader.execute("MSET", "a", "1", "b", "2")

    def test_one_that_was_killed(self) -> None:
        cluster, leader, (follower,) = self.make_group()
        full = leader.info()["sync_full"]
        follower.kill()
        self.write_past_the_backlog(leader)
        follower.start().wait_healthy()
        cluster.wait_same_data()
        self.assertEqual(leader.info()["sync_full"], full)
        self.assertEqual(leader.info()["sync_partial_from_disk"], "1")
        ((lines, size),) = from_disk(leader)
        self.assertGreater(lines, 1900)
        self.assertGreater(size, 1900000)

    def test_those_that_slept_two_at_once_while_others_write(self) -> None:
        cluster, leader, followers = self.make_group(followers=2)
        full = leader.info()["sync_full"]
        ledgers = [Ledger(leader, f"counter{i}") for i in range(2)]
        for ledger in ledgers:
            ledger.start()
        for follower in followers:
            follower.pause()
        self.write_past_the_backlog(leader)
        wait_until(lambda: "online" not in [link_state(leader, x) for x in followers], what="their links are given up")
        self.write_past_the_backlog(leader)  # what was on its way to them does not bring them back into it
        for follower in followers:
            follower.resume()
        wait_until(lambda: len(from_disk(leader)) >= 2, what="they are continued")
        for ledger in ledgers:
            ledger.over.set()
            ledger.join()
        cluster.wait_same_data()
        self.assertEqual(leader.info()["sync_full"], full)

    def test_of_a_leader_that_was_killed(self) -> None:
        """Where the lines are in the segment that it had before, it knows from reading that."""
        cluster, leader, (follower,) = self.make_group()
        follower.kill()
        self.write_past_the_backlog(leader)
        leader.kill()
        leader.start().wait_healthy()
        follower.start().wait_healthy()
        cluster.wait_formed()
        cluster.wait_same_data()
        self.assertEqual(leader.info()["sync_full"], "0")
        self.assertEqual(leader.info()["sync_partial_from_disk"], "1")

    def test_behind_a_compaction_the_state_is_sent(self) -> None:
        cluster, leader, (follower,) = self.make_group()
        full = leader.count("sync_full")
        follower.kill()
        self.write_past_the_backlog(leader)
        compact(leader)
        follower.start().wait_healthy()
        cluster.wait_same_data()
        self.assertEqual(leader.count("sync_full"), full + 1)
        self.assertEqual(leader.info()["sync_partial_from_disk"], "0")

    def test_the_state_is_sent_when_it_is_less(self) -> None:
        cluster, leader, (follower,) = self.make_group()
        full = leader.count("sync_full")
        leader.execute("FLUSHALL")
        follower.kill()
        with leader.resp() as client:
            pipeline_all(client, [("SET", "counter", "x" * 1000)] * 2000)
        follower.start().wait_healthy()
        cluster.wait_same_data()
        self.assertEqual(leader.count("sync_full"), full + 1)

    def test_a_large_value_is_among_the_lines(self) -> None:
        cluster, leader, (follower,) = self.make_group()
        full = leader.info()["sync_full"]
        with leader.resp() as client:
            pipeline_all(client, [("SET", "large0", "z" * (20 << 20))])
        cluster.wait_same_data()
        follower.kill()
        with leader.resp() as client:
            pipeline_all(client, [("SET", "large1", "z" * (9 << 20)), ("SET", "between", "1"), ("SET", "large2", "z" * 70000)])
        fill(leader, 500, value="y" * 1000)
        follower.start().wait_healthy()
        cluster.wait_same_data()
        self.assertEqual(leader.info()["sync_full"], full)


class Read(ClusterTestCase):
    """By a follower that a test plays: line by line."""

    COUNT = 20000  # 20 MB: more than sockets hold

    def setUp(self) -> None:
        super().setUp()
        self.cluster = keep(self.make_cluster(groups=1, followers=0), backlog="64k").start()
        self.leader = self.cluster.leader()
        self.fake = FakeFollower(self.cluster, endpoints=True)
        self.addCleanup(self.fake.close)

    def write(self, first: int, count: int) -> None:
        with self.leader.resp() as client:
            pipeline_all(client, [("SET", f"n{i}", "x" * 1000) for i in range(first, first + count)])

    def sync(self) -> LineConnection:
        """From the beginning of the history."""
        self.fake.announce()
        link = self.fake.accept()
        self.addCleanup(link.close)
        said = LEAD.match(link.read_line())
        assert said is not None
        link.send_line(f"SYNC|{self.fake.node_id}|{said[3].decode()}|0")
        return link

    def read_numbers(self, link: LineConnection, count: int, meanwhile: Callable[[int], None] = lambda n: None) -> None:
        expected = 0
        while expected < count:
            line = link.read_line()
            if number := LINE.match(line):
                self.assertEqual(int(number[1]), expected, "the next line")
                expected += 1
                if expected % 1000 == 0:
                    link.send_line("ACK|0")
                    meanwhile(expected)
            else:
                self.assertRegex(line, rb"^(CLOCK|PING)\|\d+$")

    def test_a_segment_that_is_removed_while_it_is_read(self) -> None:
        self.write(0, self.COUNT)
        link = self.sync()
        self.assertRegex(link.read_line(), rb"^CONTINUE\|")
        compact(self.leader)
        self.write(self.COUNT, 1000)
        self.read_numbers(link, self.COUNT + 1000)
        self.assertEqual(self.leader.info()["sync_full"], "0")

    def test_a_reader_that_is_slower_than_the_writers(self) -> None:
        self.write(0, self.COUNT)
        link = self.sync()
        self.assertRegex(link.read_line(), rb"^CONTINUE\|")

        def write_on(read: int) -> None:
            if read <= 5000:
                self.write(self.COUNT + read - 1000, 1000)

        self.read_numbers(link, self.COUNT + 5000, write_on)
        self.assertEqual(self.leader.info()["sync_full"], "0")

    def test_damage_ends_the_link_and_the_next_is_sent_the_state(self) -> None:
        self.write(0, self.COUNT)
        (segment,) = segments(directory_of(self.cluster, self.leader))
        at = segment.read_bytes().index(f"REPLICATE|n{self.COUNT - 2000}|".encode())
        with segment.open("r+b") as file:
            file.seek(at + 100)
            file.write(b"X")
        link = self.sync()
        self.assertRegex(link.read_line(), rb"^CONTINUE\|")
        with self.assertRaises((EOFError, ConnectionResetError)):
            self.read_numbers(link, self.COUNT)
        self.assertIn("event=segment-not-read", self.leader.log())
        link = self.sync()
        self.assertRegex(link.read_line(), rb"^FULL\|")

    def test_links_and_a_node_that_end_while_it_reads(self) -> None:
        self.write(0, self.COUNT)
        before = self.leader.open_files()
        for _ in range(12):  # more than may read at once
            self.sync().close()
        wait_until(lambda: self.leader.open_files() <= before + 1, what="the files are closed")
        self.sync()
        self.assertEqual(self.leader.stop(), 0)


if __name__ == "__main__":
    main()
