#!/usr/bin/env python3
"""Values of many megabytes on their way: to clients that read slowly, while the keys change; from clients that have not
sent all of them yet, while other things happen."""
from __future__ import annotations

import random
from typing import Callable

from harness import ClusterTestCase, Connection, Node, main
from wire import RespClient, RespError, encode_command, wait_until

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


class BeingReceived(ClusterTestCase):
    """A large value is read straight to its place in the store, and becomes visible when its command is run."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.start_cluster(groups=1, followers=1)
        self.node: Node = self.cluster.leader()
        self.value = random.randbytes(SIZE // 8) * 8

    def client(self, node: Node) -> RespClient:
        client = node.resp()
        self.addCleanup(client.close)
        return client

    def waiting(self, node: Node, number: int) -> int:
        """Bytes of input that the client with that id has waiting."""
        for line in node.execute("CLIENT", "LIST").decode().splitlines():
            fields = dict(field.split("=", 1) for field in line.split(" ") if "=" in field)
            if fields["id"] == str(number):
                return int(fields["qbuf"])
        return -1

    def begun(self, node: Node, *command: bytes, left: int = 1000) -> tuple[RespClient, bytes]:
        """A client of which the node has all of the command but the last bytes, and those."""
        client = self.client(node)
        number = client.execute("CLIENT", "ID")
        data = encode_command(*command)
        client.send(data[:-left])
        wait_until(lambda: self.waiting(node, number) == len(data) - left, what="the node has what was sent")
        return client, data[-left:]

    def finish(self, begun: tuple[RespClient, bytes]) -> object:
        """The reply; the next one is to the next command."""
        client, rest = begun
        client.send(rest + encode_command("PING"))
        reply = client.read_reply()
        self.assertEqual(client.read_reply(), "PONG")
        return reply

    def test_sizes_in_a_pipeline_with_commands_between_and_behind(self) -> None:
        sizes = (65535, 65536, 65537, 131072, 262143, 262144, 262145, 1 << 20, 3 << 20, SIZE, 40 << 20)
        commands = []
        for i, size in enumerate(sizes):
            value = (self.value * (size // SIZE + 1))[:size]
            commands += [("SET", f"k{i}", value), ("STRLEN", f"k{i}"), ("SETEX", f"t{i}", "1000", value), ("INCR", "n")]
        replies = self.client(self.node).pipeline(commands)
        self.assertEqual(replies, [reply for i, size in enumerate(sizes) for reply in ("OK", size, "OK", i + 1)])
        for i, size in enumerate(sizes):
            for name in "kt":
                value = self.node.execute("GET", f"{name}{i}")
                self.assertTrue(value == (self.value * (size // SIZE + 1))[:size], size)
        self.cluster.wait_same_data()

    def test_byte_by_byte_over_the_end_of_a_value_and_the_beginning_of_the_next(self) -> None:
        for size in (65535, 262143, 262144, 300000):
            client = self.client(self.node)
            data = encode_command("SET", "k", self.value[:size]) * 2 + encode_command("PING")
            end = len(data) // 2
            client.send(data[:100])
            client.send(data[100:end - 50])
            for i in range(end - 50, end + 100):
                client.send(data[i:i + 1])
            client.send(data[end + 100:-50])
            for i in range(len(data) - 50, len(data)):
                client.send(data[i:i + 1])
            self.assertEqual([client.read_reply() for _ in range(3)], ["OK", "OK", "PONG"])
            self.assertTrue(self.node.execute("GET", "k") == self.value[:size])

    def test_it_is_visible_when_it_is_whole(self) -> None:
        self.node.execute("SET", "k", "before")
        first, second = (self.begun(self.node, b"SET", b"k", value) for value in (self.value, self.value[::-1]))
        self.assertEqual(self.node.execute("GET", "k"), b"before")
        self.assertEqual(self.finish(second), "OK")
        self.assertTrue(self.node.execute("GET", "k") == self.value[::-1])
        self.node.execute("FLUSHALL")
        self.assertIsNone(self.node.execute("GET", "k"))
        self.assertEqual(self.finish(first), "OK")
        self.assertTrue(self.node.execute("GET", "k") == self.value)
        self.cluster.wait_same_data()

    def test_where_it_may_not_be_written(self) -> None:
        follower = self.cluster.followers()[0]
        reply = self.finish(self.begun(follower, b"SET", b"k", self.value))
        self.assertIsInstance(reply, RespError)
        self.assertTrue(str(reply).startswith("MOVED "), reply)
        begun = self.begun(self.node, b"SET", b"k", self.value)
        self.node.execute("SET", "small", "1")
        self.node.execute("CONFIG", "SET", "maxmemory", "1")
        self.assertTrue(str(self.finish(begun)).startswith("OOM "))
        self.assertEqual(self.node.execute("EXISTS", "k"), 0)

    def test_what_goes_when_memory_is_short(self) -> None:
        self.node.execute("CONFIG", "SET", "maxmemory", str(8 << 20), "maxmemory-policy", "allkeys-lru")
        replies = self.client(self.node).pipeline([("SET", f"k{i}", self.value[:1 << 20]) for i in range(100)])
        self.assertEqual(replies, ["OK"] * 100)
        self.assertGreater(self.node.count("evicted_keys"), 80)
        self.assertLessEqual(self.node.count("used_memory_dataset"), 12 << 20)
        self.cluster.wait_same_data()

    def test_a_client_that_leaves_or_is_closed_gives_its_memory_back(self) -> None:
        begun = [self.begun(self.node, b"SET", b"k", self.value) for _ in range(3)]
        self.assertGreater(self.node.count("mem_clients_normal"), 3 * (SIZE - 1000))
        begun[0][0].close()
        begun[1][0].sock.shutdown(1)
        self.assertTrue(begun[1][0].is_closed())
        self.assertEqual(self.node.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), 1)
        self.assertTrue(begun[2][0].is_closed())
        wait_until(lambda: self.node.count("mem_clients_normal") < SIZE, what="their memory is back")
        self.assertEqual(self.node.execute("EXISTS", "k"), 0)

    def test_one_that_says_no_more_behind_it_is_answered(self) -> None:
        client, rest = self.begun(self.node, b"SET", b"k", self.value)
        client.send(rest)
        client.sock.shutdown(1)
        self.assertEqual(client.read_reply(), "OK")
        self.assertTrue(client.is_closed())
        self.assertTrue(self.node.execute("GET", "k") == self.value)

    def test_what_is_only_claimed_takes_no_memory(self) -> None:
        before = self.node.resident_bytes()
        clients = [self.client(self.node) for _ in range(40)]
        for i, client in enumerate(clients):
            claim = 512 << 20 if i % 2 == 0 else 2 << 20
            client.send(b"PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % claim)
            self.assertEqual(client.read_reply(), "PONG")
        self.node.execute("PING")
        # One of 2 MB may be a huge page by its first bytes; those of 512 MB are claims.
        self.assertLess(self.node.resident_bytes() - before, (20 * 2 + 16) << 20)

    def test_a_silent_client_is_closed_in_the_middle_of_it(self) -> None:
        client, _ = self.begun(self.node, b"SET", b"k", self.value)
        self.node.execute("CONFIG", "SET", "timeout", "1")
        self.assertTrue(client.is_closed())


if __name__ == "__main__":
    main()
