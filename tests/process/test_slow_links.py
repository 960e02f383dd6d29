#!/usr/bin/env python3
"""Replication links that are slow, stand still, or were not looked after: which of them are given up, and which not.

The time-out of a link is 5 s. The other end is played by the test, so that it takes what it is sent as slowly as it
likes."""
from __future__ import annotations

import socket
import time
from typing import Callable

from harness import ClusterTestCase, LineConnection, Node, main, wait_until
from peers import FakeFollower, history_id, lead

LINK_TIMEOUT_S = 5.0
VALUE = "v" * (14 << 20)  # of which the sockets' buffers take 4 MB
RATE = 1_300_000  # bytes a second: more than the time-out goes by before the node has room to read again


def take_slowly(link: LineConnection, speak: Callable[[], None], limit: int = 1 << 40) -> bytes:
    """Reads up to END, at most at RATE, until limit bytes, and speaks twice a second; returns the end of it."""
    link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)
    began = spoke = time.monotonic()
    read, tail = 0, b""
    while b"\nEND|" not in tail and read < limit:
        data = link.sock.recv(64 << 10)
        if not data:
            raise EOFError(f"closed by the node after {read} bytes and {time.monotonic() - began:.1f} s")
        read += len(data)
        tail = (tail + data)[-1000:]
        time.sleep(max(0.0, began + read / RATE - time.monotonic()))
        if time.monotonic() - spoke > 0.5:
            spoke = time.monotonic()
            speak()
    return tail


def stand_still(node: Node, speak: Callable[[], None]) -> None:
    """The node is stopped for longer than the time-out, while its peer goes on speaking."""
    node.pause()
    for _ in range(int(LINK_TIMEOUT_S + 2) * 2):
        speak()
        time.sleep(0.5)
    node.resume()


class OfALeader(ClusterTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.start_cluster(groups=1, followers=0)
        self.leader = self.cluster.leader()
        self.fake = FakeFollower(self.cluster, endpoints=True)
        self.addCleanup(self.fake.close)

    def join(self) -> LineConnection:
        self.fake.announce()
        link, _, _ = self.fake.accept_and_sync()
        self.addCleanup(link.close)
        return link

    def test_a_state_that_takes_longer_than_the_time_out_arrives(self) -> None:
        self.leader.execute("SET", "large", VALUE)
        link = self.join()
        tail = take_slowly(link, lambda: link.send_line("ACK|0"))
        self.assertIn(b"\nEND|1|", tail)
        self.assertNotIn("follower-link-down", self.leader.log())

    def test_a_follower_that_takes_no_more_is_given_up(self) -> None:
        self.leader.execute("SET", "large", VALUE)
        link = self.join()
        take_slowly(link, lambda: None, limit=1 << 20)
        wait_until(lambda: 'follower-link-down' in self.leader.log(), what="the link is given up")
        self.assertIn("timed out", self.leader.log())

    def test_one_that_was_stopped_itself_hears_first_what_was_said(self) -> None:
        link = self.join()
        link.read_lines_until(lambda line: line.startswith(b"END|"))
        stand_still(self.leader, lambda: link.send_line("ACK|0"))
        self.leader.execute("SET", "key", "value")
        link.read_lines_until(lambda line: line.startswith(b"REPLICATE|key|value|"))
        self.assertNotIn("follower-link-down", self.leader.log())


class OfAFollower(ClusterTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.start_cluster(groups=1, followers=1)
        self.follower = self.cluster.followers()[0]

    def take_over(self) -> LineConnection:
        """The leader is gone, and another one has dialled."""
        self.cluster.wait_replicated()
        self.cluster.leader().kill()
        wait_until(lambda: "leader-link-down" in self.follower.log(), what="the leader's end")
        link, _ = lead(self.follower, history_id())
        self.addCleanup(link.close)
        return link

    def test_a_state_that_takes_longer_than_the_time_out_is_given_back(self) -> None:
        self.cluster.leader().execute("SET", "large", VALUE)
        link = self.take_over()
        link.send_line("PULL")
        tail = take_slowly(link, lambda: link.send_line("PING|0"))
        self.assertIn(b"\nEND|1|", tail)
        self.assertEqual(self.follower.log().count("leader-link-down"), 1)

    def test_one_that_was_stopped_itself_hears_first_what_was_said(self) -> None:
        link = self.take_over()
        stand_still(self.follower, lambda: link.send_line("PING|0"))
        link.send_line("PULL")
        link.read_lines_until(lambda line: line.startswith(b"END|"))
        self.assertEqual(self.follower.log().count("leader-link-down"), 1)


if __name__ == "__main__":
    main()
