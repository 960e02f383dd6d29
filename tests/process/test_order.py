#!/usr/bin/env python3
"""Connections are served in the order in which something came on them, whatever the protocol.

The node is stopped while they are written to, so that it finds all of it at once."""
from __future__ import annotations

import json
from contextlib import ExitStack

from harness import ClusterTestCase, Connection, Node, main
from wire import RespClient, encode_command

MANY = 100  # more than libev asks epoll for at once


class Order(ClusterTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.node: Node = self.start_cluster(groups=1, followers=0).leader()
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)

    def clients(self, count: int) -> list[RespClient]:
        clients = [self.stack.enter_context(self.node.resp()) for _ in range(count)]
        for client in clients:
            client.execute("PING")
        return clients

    def http_connections(self, count: int) -> list[Connection]:
        connections = [self.stack.enter_context(Connection(self.node.api)) for _ in range(count)]
        for connection in connections:
            connection.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.read_json(connection)
        return connections

    @staticmethod
    def read_json(connection: Connection) -> dict:
        head = connection.read_until(b"\r\n\r\n").lower()
        size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return json.loads(connection.read_exactly(size))

    @staticmethod
    def post(key: str, value: str) -> bytes:
        return (f"POST /set?key={key} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
                f"Content-Length: {len(value)}\r\n\r\n{value}").encode()

    def test_of_resp_clients(self) -> None:
        clients = self.clients(MANY)
        for order in (range(MANY), range(MANY - 1, -1, -1)):
            self.node.execute("DEL", "k")
            self.node.pause()
            for i in order:
                clients[i].send(encode_command("APPEND", "k", f"{i},"))
            self.node.resume()
            for client in clients:
                client.read_reply()
            self.assertEqual(self.node.execute("GET", "k").decode(), "".join(f"{i}," for i in order))

    def test_of_clients_that_came_meanwhile(self) -> None:
        for _ in range(3):
            self.node.execute("DEL", "k")
            self.node.pause()
            clients = [self.stack.enter_context(self.node.resp()) for _ in range(20)]
            for i, client in enumerate(clients):
                client.send(encode_command("APPEND", "k", f"{i},"))
            self.node.resume()
            for client in clients:
                client.read_reply()
            self.assertEqual(self.node.execute("GET", "k").decode(), "".join(f"{i}," for i in range(20)))

    def test_of_both_protocols(self) -> None:
        clients, connections = self.clients(5), self.http_connections(5)
        before = self.node.set("k", "x")["version"]
        self.node.pause()
        for client, connection in zip(clients, connections):
            connection.send(self.post("k", "y"))
            client.send(encode_command("APPEND", "k", "z"))
        self.node.resume()
        versions = [self.read_json(connection)["version"] for connection in connections]
        self.assertEqual(versions, [before + 1 + 2 * i for i in range(5)])
        self.assertEqual([client.read_reply() for client in clients], [2] * 5)

    def test_who_has_unsubscribed_hears_no_more(self) -> None:
        for _ in range(5):
            listener, speaker = self.clients(2)
            listener.execute("SUBSCRIBE", "news")
            self.node.pause()
            listener.send(encode_command("UNSUBSCRIBE", "news"))
            speaker.send(encode_command("PUBLISH", "news", "late"))
            self.node.resume()
            self.assertEqual(speaker.read_reply(), 0)
            self.assertEqual(listener.read_reply()[0], b"unsubscribe")


if __name__ == "__main__":
    main()
