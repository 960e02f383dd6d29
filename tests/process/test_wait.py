#!/usr/bin/env python3
"""WAIT: a client hears how many followers have its writes, at once when they have."""
from __future__ import annotations

import socket
import time

from harness import ClusterTestCase, main, wait_until
from wire import encode_command


class Wait(ClusterTestCase):
    def test_answers_when_the_followers_have_the_write(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2)
        cluster.wait_replicated()
        with cluster.leader().resp() as client:
            for i in range(40):
                client.execute("SET", f"key{i}", i)
                self.assertEqual(client.execute("WAIT", 2, 0), 2)
                for follower in cluster.followers():
                    self.assertEqual(follower.get(f"key{i}"), str(i))

    def test_counts_only_those_that_have_it(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2)
        cluster.wait_replicated()
        away = cluster.followers()[0]
        away.pause()
        self.addCleanup(away.resume)
        with cluster.leader().resp() as client:
            client.execute("SET", "a", 1)
            self.assertEqual(client.execute("WAIT", 1, 0), 1)
            began = time.monotonic()
            self.assertEqual(client.execute("WAIT", 2, 300), 1)
            self.assertGreaterEqual(time.monotonic() - began, 0.29)
            away.resume()
            self.assertEqual(client.execute("WAIT", 2, 0), 2)

    def test_among_the_writes_of_others(self) -> None:
        """What asks the followers comes between the lines of a stream that does not end: no link breaks by it."""
        cluster = self.start_cluster(groups=1, followers=2)
        cluster.wait_replicated()
        leader = cluster.leader()
        synced = leader.count("sync_full") + leader.count("sync_partial_ok")
        writers = [leader.resp() for _ in range(4)]
        pipeline = b"".join(encode_command("SET", f"other{i % 97}", "x" * (i % 1000)) for i in range(500))
        with leader.resp() as client:
            for i in range(30):
                for writer in writers:
                    writer.send(pipeline)
                client.execute("SET", "mine", i)
                self.assertEqual(client.execute("WAIT", 2, 0), 2)
                for follower in cluster.followers():
                    self.assertEqual(follower.get("mine"), str(i))
                for writer in writers:
                    for _ in range(500):
                        self.assertEqual(writer.read_reply(), "OK")
        for writer in writers:
            writer.close()
        cluster.wait_same_data()
        self.assertEqual(leader.count("sync_full") + leader.count("sync_partial_ok"), synced)

    def test_a_follower_refuses(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        with cluster.followers()[0].resp() as client:
            with self.assertRaisesRegex(Exception, "WAIT cannot be used with replica instances"):
                client.execute("WAIT", 0, 0)

    def test_a_client_that_leaves_while_it_waits(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        leader.execute("SET", "a", 1)
        with leader.resp() as client:
            client.send(encode_command("WAIT", 1, 0))
            wait_until(lambda: leader.count("connected_clients") == 2, what="the client that waits")
        wait_until(lambda: leader.count("connected_clients") == 1, what="its end")

    def test_a_client_that_says_no_more(self) -> None:
        """As `nc -N` does: it has shut down its side, and waits for its answers."""
        cluster = self.start_cluster(groups=1, followers=0)
        with cluster.leader().resp() as client:
            client.send(encode_command("WAIT", 1, 1500) + encode_command("PING"))
            client.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(client.read_reply(), 0)
            self.assertEqual(client.read_reply(), "PONG")


if __name__ == "__main__":
    main()
