#!/usr/bin/env python3
"""Values of many megabytes on their way to clients that read slowly, while the keys change."""
from __future__ import annotations

import random
from typing import Callable

from harness import ClusterTestCase, Connection, Node, main
from wire import RespClient, encode_command

SIZE = 12 << 20  # more than the sockets' buffers take


class BeingSent(ClusterTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.node: Node = self.start_cluster(groups=1, followers=0).leader()
        self.value = random.randbytes(SIZE // 8) * 8
        self.node.execute("SET", "k", self.value)

    def asked(self, *commands: tuple[str, ...]) -> RespClient:
        """A client that has asked, and read the first kilobyte of the answer only."""
        client = self.node.resp()
        self.addCleanup(client.close)
        client.send(b"".join(encode_command(*command) for command in commands))
        client._buffer += client.sock.recv(1024)
        return client

    def changes(self) -> list[Callable[[], None]]:
        return [
            lambda: self.node.execute("SETRANGE", "k", 1000, "x" * 1000),
            lambda: self.node.execute("APPEND", "k", "more"),
            lambda: self.node.execute("SET", "k", self.value[::-1]),
            lambda: self.node.execute("PEXPIRE", "k", 1),
            lambda: self.node.execute("RENAME", "k", "other"),
            lambda: self.node.execute("DEL", "k"),
            lambda: self.node.execute("FLUSHALL"),
        ]

    def test_whatever_becomes_of_the_key_the_answer_is_what_it_was(self) -> None:
        for change in self.changes():
            self.node.execute("SET", "k", self.value)
            readers = [self.asked(("GET", "k"), ("PING",)) for _ in range(2)]
            ranges = self.asked(("GETRANGE", "k", "10", str(SIZE - 10)), ("PING",))
            change()
            for reader in readers:
                self.assertTrue(reader.read_reply() == self.value)
                self.assertEqual(reader.read_reply(), "PONG")
            self.assertTrue(ranges.read_reply() == self.value[10:SIZE - 9])
            self.assertEqual(ranges.read_reply(), "PONG")

    def test_the_same_over_http(self) -> None:
        for change in self.changes():
            self.node.execute("SET", "k", self.value)
            with Connection(self.node.api) as client:
                request = b"GET /get?key=k HTTP/1.1\r\nHost: localhost\r\nAccept: application/octet-stream\r\n\r\n"
                client.send(2 * request)
                client._buffer += client.sock.recv(1024)
                change()
                client.read_until(b"\r\n\r\n")
                self.assertTrue(client.read_exactly(SIZE) == self.value)
                self.assertTrue(client.read_until(b"\r\n").startswith(b"HTTP/1.1 "))

    def test_many_in_one_pipeline_and_in_a_transaction(self) -> None:
        gets = [("GET", "k")] * 3
        client = self.asked(*gets, ("MULTI",), *gets, ("EXEC",), ("GETDEL", "k"), ("GET", "k"))
        for _ in range(3):
            self.assertTrue(client.read_reply() == self.value)
        for expected in ("OK", "QUEUED", "QUEUED", "QUEUED"):
            self.assertEqual(client.read_reply(), expected)
        self.assertTrue(client.read_reply() == [self.value] * 3)
        self.assertTrue(client.read_reply() == self.value)
        self.assertIsNone(client.read_reply())

    def test_readers_that_stay_take_no_memory_and_those_that_leave_give_it_back(self) -> None:
        before = self.node.resident_bytes()
        readers = [self.asked(("GET", "k")) for _ in range(20)]
        self.node.execute("PING")
        self.assertLess(self.node.resident_bytes() - before, SIZE)
        self.node.execute("DEL", "k")
        self.assertTrue(readers[0].read_reply() == self.value)
        for reader in readers[1:]:
            reader.close()
        self.node.execute("SET", "k", self.value)
        self.assertEqual(self.node.execute("STRLEN", "k"), SIZE)


if __name__ == "__main__":
    main()
