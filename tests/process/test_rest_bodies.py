#!/usr/bin/env python3
"""The bodies of requests: who may send one, what becomes of it, and what its head decides before it comes."""
from __future__ import annotations

import select
import socket
from typing import Any, Optional

from harness import SANITIZE, Node, main, wait_until
from rest import HttpConnection, RestTestCase

MB = 1 << 20


class BodyTestCase(RestTestCase):
    def head(self, request: str, *fields: str) -> bytes:
        return "\r\n".join([f"{request} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode()

    def expect(self, node: Node, request: str, *fields: str) -> HttpConnection:
        """Asks whether a body may come."""
        connection = self.connect(node)
        connection.send(self.head(request, "Expect: 100-continue", *fields))
        return connection

    def pour(self, connection: HttpConnection, size: int, piece: bytes = b"x" * (256 << 10)) -> int:
        """Sends so many bytes, until the other side has answered or does not want more; returns how many."""
        sent = 0
        try:
            while sent < size and not select.select([connection.sock], [], [], 0)[0]:
                sent += connection.sock.send(piece[sent % len(piece) :])
        except OSError:
            pass
        return sent


class Expectations(BodyTestCase):
    def test_a_body_that_is_wanted(self) -> None:
        node = self.start_node()
        for framing, body in (("Content-Length: 5", b"hello"), ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n")):
            connection = self.expect(node, "POST /set?key=k", framing)
            self.assertEqual(connection.read_response().status, 100)
            self.assertEqual(connection.ask(body).status, 200)
            self.assertEqual(node.get("k"), "hello")
            self.assertEqual(connection.ask(self.head("GET /get?key=k")).status, 200, "and the connection goes on")
            whole = self.head("POST /set?key=k", "Expect: 100-continue", framing) + body
            statuses = [connection.ask(whole).status]
            if statuses == [100]:
                statuses.append(connection.read_response().status)
            self.assertEqual(statuses[-1], 200, "who does not wait")

    def test_what_the_head_decides(self) -> None:
        node = self.start_node(max_clients=1000)
        node.execute("SET", "k", "v")
        raw, json_type = "Content-Type: text/plain", "Content-Type: application/json"
        for request, fields, status, code in (
            ("POST /nowhere", (), 404, "NOTFOUND"),
            ("PUT /set", (), 405, "METHOD"),
            ("POST /set?key=k", (raw, "Content-Encoding: gzip"), 415, "MEDIATYPE"),
            ("POST /set", (raw,), 415, "MEDIATYPE"),
            ("POST /set?key=k&ttl=0", (raw,), 400, "ERR"),
            ("POST /set?key=%", (raw,), 400, "BADREQUEST"),
            ("POST /set?key=k", (raw, "If-None-Match: *"), 412, "PRECONDITION"),
            ("POST /set?key=k", (raw, 'If-Match: "7"'), 412, "PRECONDITION"),
            ("POST /set?key=k", (json_type, "If-None-Match: *"), 412, "PRECONDITION"),
            ("POST /set?key=none", (raw, "If-Match: *"), 412, "PRECONDITION"),
            ("POST /set?key=k", (raw, "If-Match: 7"), 400, "BADREQUEST"),
            ("POST /set?key=k", (raw, "Origin: null"), 403, "NOPERM"),
        ):
            for framing in ("Content-Length: 30000000", "Transfer-Encoding: chunked"):
                with self.subTest(request=request, fields=fields, framing=framing):
                    connection = self.expect(node, request, *fields, framing)
                    answer = connection.read_response()
                    self.assert_problem(answer, status, code)
                    self.assertEqual(answer.headers["connection"], "close")
                    self.assertTrue(connection.is_closed())
                    # The same at once for those who send it unasked: and the answer reaches them.
                    connection = self.connect(node)
                    connection.send(self.head(request, *fields, framing))
                    self.assert_problem(connection.read_response(), status, code)
        for size, framing in ((600 * MB, raw), (1100 * MB, raw), (1100 * MB, json_type)):
            answer = self.expect(node, "POST /set?key=k", framing, f"Content-Length: {size}").read_response()
            self.assertEqual(answer.status, 413)
        self.assertEqual(node.get("k"), "v")

    def test_what_the_state_of_the_node_decides(self) -> None:
        node = self.start_node()
        types = (("?key=k", "text/plain"), ("?key=k", "application/json"), ("", "application/json"))

        def ask(query: str, kind: str) -> Any:
            return self.expect(node, "POST /set" + query, f"Content-Type: {kind}", "Content-Length: 30000000").read_response()

        for query, kind in types:
            self.assertEqual(ask(query, kind).status, 100)
        node.execute("CLIENT", "PAUSE", 60000, "WRITE")
        for query, kind in types:
            self.assert_problem(ask(query, kind), 503, "PAUSED")
        node.execute("CLIENT", "UNPAUSE")
        node.execute("SET", "k", "v")
        node.execute("CONFIG", "SET", "maxmemory", "1")
        for query, kind in types:
            self.assert_problem(ask(query, kind), 507, "OOM")

    def test_a_follower_sends_its_clients_on_before_the_body(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        for kind in ("text/plain", "application/json"):
            connection = self.expect(follower, "POST /set?key=k", f"Content-Type: {kind}", "Content-Length: 30000000")
            answer = connection.read_response()
            self.assert_problem(answer, 307, "MOVED")
            self.assertEqual(answer.headers["location"], f"http://127.0.0.1:{leader.api}/set?key=k")
            self.assertTrue(connection.is_closed())
        leader.stop()
        wait_until(lambda: follower.http("GET", "/health").json()["status"] == "degraded", what="the leader is missed")
        answer = self.expect(follower, "POST /set?key=k", "Content-Type: text/plain", "Content-Length: 9").read_response()
        self.assert_problem(answer, 503, "CLUSTERDOWN")

    def test_what_has_changed_while_the_body_came(self) -> None:
        node = self.start_node()
        connection = self.expect(node, "POST /set?key=k", "Content-Type: text/plain", "If-None-Match: *", "Content-Length: 5")
        self.assertEqual(connection.read_response().status, 100)
        node.set("k", "faster")
        self.assert_problem(connection.ask("later"), 412, "PRECONDITION")
        self.assertEqual(node.get("k"), "faster")


class Memory(BodyTestCase):
    def test_a_body_that_nobody_wants(self) -> None:
        node = self.start_node()
        node.set("k", "v")
        for request, status in (("GET /health", 200), ("GET /get?key=k", 200), ("HEAD /get?key=k", 200), ("GET /keys", 200),
                                ("OPTIONS /set", 204), ("DELETE /delete?key=none", 404)):
            head = request.startswith("HEAD")
            connection = self.connect(node)
            for size in (0, 5, 64 << 10):
                asked = self.head(request, f"Content-Length: {size}")
                connection.send(asked)
                self.assertEqual(connection.ask(b"x" * size, head=head).status, status, (request, size))
            connection.send(self.head(request, "Transfer-Encoding: chunked"))
            chunk = b"4000;a=b\r\n" + b"x" * 0x4000 + b"\r\n"
            self.assertEqual(connection.ask(4 * chunk + b"0\r\n\r\n", head=head).status, status, request)
            self.assertEqual(connection.ask(self.head(request), head=head).status, status, "nothing of it is left over")
            # Too long: at once, before any of it.
            answer = connection.ask(self.head(request, f"Content-Length: {(64 << 10) + 1}"), head=head)
            self.assertEqual(answer.status, 413)
            self.assertEqual(answer.headers["connection"], "close")
            connection = self.connect(node)
            connection.send(self.head(request, "Transfer-Encoding: chunked") + 4 * chunk)
            self.assertEqual(connection.ask(b"1\r\n", head=head).status, 413)
            # Nobody is asked for one.
            connection = self.expect(node, request, "Content-Length: 5")
            self.assertEqual(connection.read_response(head).status, status)
            self.assertTrue(connection.is_closed())

    def assert_takes_no_memory(self, node: Node, request: str, *fields: str) -> None:
        before = node.resident_bytes()
        connections = [self.connect(node) for _ in range(4)]
        for connection in connections:
            connection.send(self.head(request, *fields))
        for connection in connections:
            self.pour(connection, 100 * MB)
        grown = node.resident_bytes() - before
        self.assertLess(grown, (40 if SANITIZE else 8) * MB, (request, fields))
        for connection in connections:
            connection.close()
        self.assertEqual(node.http("GET", "/health").status, 200)

    def test_without_the_password(self) -> None:
        node = self.start_node(maxmemory="50mb")
        node.execute("CONFIG", "SET", "requirepass", "s")
        for request in ("GET /health", "POST /set?key=k", "GET /get?key=k", "POST /nowhere"):
            self.assert_takes_no_memory(node, request, f"Content-Length: {100 * MB}")
            self.assert_takes_no_memory(node, request, "Transfer-Encoding: chunked", "X: y")

    def test_all_bodies_together(self) -> None:
        node = self.start_node(api_body_memory="8mb")
        head = self.head("POST /set?key=k", "Content-Type: text/plain", f"Content-Length: {6 * MB}")
        answer = self.expect(node, "POST /set?key=k", "Content-Type: text/plain", f"Content-Length: {9 * MB}").read_response()
        self.assert_problem(answer, 413, "TOOLARGE")

        def filled() -> HttpConnection:
            connection = self.connect(node)
            connection.send(head)
            connection.send(b"x" * (5 * MB))
            return connection

        first = filled()

        def refused() -> Optional[Any]:
            answer = self.expect(node, "POST /set?key=k", "Content-Type: text/plain", f"Content-Length: {4 * MB}").read_response()
            return answer if answer.status != 100 else None

        answer = wait_until(refused, what="what has come of the first is counted")
        self.assert_problem(answer, 503, "BUSY")
        self.assertEqual(answer.headers["retry-after"], "1")
        # One that does not say how long it is: as soon as it is too much; and the others are not harmed.
        chunks = self.connect(node)
        chunks.send(self.head("POST /set?key=k", "Content-Type: text/plain", "Transfer-Encoding: chunked"))
        self.pour(chunks, 100 * MB, b"100000\r\n" + b"x" * MB + b"\r\n")
        self.assert_problem(chunks.read_response(), 503, "BUSY")
        self.assertEqual(first.ask(b"x" * MB).status, 200)
        alone = self.connect(node)
        alone.send(self.head("POST /set?key=k", "Content-Type: text/plain", "Transfer-Encoding: chunked"))
        self.pour(alone, 100 * MB, b"100000\r\n" + b"x" * MB + b"\r\n")
        self.assert_problem(alone.read_response(), 413, "TOOLARGE")
        # Who goes gives back what was counted.
        for _ in range(3):
            goner = filled()
            wait_until(refused, what="it is counted")
            goner.close()
            wait_until(lambda: refused() is None, what="there is room again")
        self.assertEqual(filled().ask(b"x" * MB).status, 200)
        self.assertEqual(node.execute("STRLEN", "k"), 6 * MB)


class Chunks(BodyTestCase):
    def post(self, node: Node, body: bytes) -> HttpConnection:
        connection = self.connect(node)
        connection.send(self.head("POST /set?key=k", "Content-Type: text/plain", "Transfer-Encoding: chunked") + body)
        return connection

    def test_extensions_are_ignored(self) -> None:
        node = self.start_node()
        for extension in (";a=b;c=d", ";a", " ; a = b", "\t;a", ';a="b c;d"', ';a="\\"\\\\"', ";a=\xe4", ";" + "x" * 60000):
            line = extension.encode("latin-1")
            body = b"5" + line + b"\r\nhello\r\n1" + line + b"\r\n!\r\n0" + line + b"\r\n\r\n"
            for pieces in (len(body), 7):
                connection = self.post(node, b"")
                for at in range(0, min(len(body), 2000), pieces):
                    connection.send(body[at : at + pieces])
                connection.send(body[(min(len(body), 2000) + pieces - 1) // pieces * pieces :])
                self.assertEqual(connection.read_response().status, 200, extension[:20])
                self.assertEqual(connection.ask(self.head("GET /get?key=k")).json()["value"], "hello!", extension[:20])
            node.execute("DEL", "k")

    def test_nothing_is_smuggled_in_one(self) -> None:
        node = self.start_node()
        hidden = b"POST /set?key=smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
        for line in (b"5;\n", b"5;a\n", b"5;a\nb", b"5;a\r", b"5;a\r\r", b"5\n;a", b'5;a="\r\n"', b'5;a="b', b'5;a="\\', b"5;", b"5 ",
                     b"5;a;", b"5;=b", b';a', b"5;a\0", b"5;\x0b", b"5;a\x7f", b"0;\n", b"0;a\n", b"0;a\r", b'0;a="\r\n"',
                     b"5;" + b"x" * (64 << 10)):
            connection = self.post(node, line + b"\r\nhello\r\n0\r\n\r\n" + hidden)
            self.assert_problem(connection.read_response(), 400, "BADREQUEST")
            self.assertTrue(connection.is_closed(), line[:20])
        self.assertEqual(node.execute("DBSIZE"), 0)


if __name__ == "__main__":
    main()
