#!/usr/bin/env python3
"""The REST API (DESIGN.md 8), endpoint by endpoint, and HTTP/1.1 as a careful peer sees it."""
import base64
import json
import socket
import threading
import time
from typing import Any, Iterator, Optional
from urllib.parse import quote

from harness import SANITIZE, Connection, LineConnection, Node, Response, main, wait_until
from peers import unix_ms
from rest import HttpConnection, RestTestCase, json_text

RFC3339 = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
# Bytes that something on the way could take for something else.
NASTY = [
    b"", b" ", b"+", b"%", b"%41", b"a|b", b"a\nb", b"a\r\n", b"\0", b"a\0b", b"\xff\xfe", b"\xed\xa0\x80",
    "ä€😀".encode(), b'"\\/\b\f\t', b"&=?#;", b"{}[]", b"\\u0000", b"\x7f\x01",
]


class Keys(RestTestCase):
    def test_set_get_and_delete(self) -> None:
        node = self.start_node()
        answer = node.http("POST", "/set", {"key": "test", "value": "hello"})
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers["etag"], '"1"')
        written = answer.json()
        self.assertEqual((set(written), written["key"], written["version"]), ({"key", "version", "timestamp"}, "test", 1))
        self.assertRegex(written["timestamp"], RFC3339)

        read = node.http("GET", "/get?key=test")
        self.assertEqual((read.status, read.headers["etag"], read.headers["vary"]), (200, '"1"', "Accept"))
        self.assertEqual(read.json(), {**written, "value": "hello"})
        self.assertRegex(read.headers["date"], r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")

        self.assertEqual(node.set("test", "again")["version"], 2)
        deleted = node.http("DELETE", "/delete?key=test")
        self.assertEqual((deleted.status, deleted.json()), (200, {"key": "test", "deleted": True, "version": 3}))
        self.assert_problem(node.http("DELETE", "/delete?key=test"), 404, "NOTFOUND")
        self.assert_problem(node.http("GET", "/get?key=test"), 404, "NOTFOUND")
        self.assertEqual(node.set("test", "new")["version"], 4, "a version never repeats")

    def test_every_byte_comes_back_equal(self) -> None:
        node = self.start_node()
        for data in NASTY:
            key = b"k" + data
            body = {"key": json_text(key), "value": json_text(data)}
            self.assertEqual(node.http("POST", "/set", body).json()["key"], json_text(key), data)
            path = "/get?key=" + quote(key, safe="")
            self.assertEqual(node.http("GET", path).json()["value"], json_text(data), data)
            raw = node.http("GET", path, headers={"Accept": "application/octet-stream"})
            self.assertEqual((raw.body, raw.headers["content-type"]), (data, "application/octet-stream"))
            self.assertRegex(raw.headers["kvnode-timestamp"], RFC3339)
            self.assertEqual(node.execute("GET", key), data)

            path = "/set?key=" + quote(key, safe="")
            answer = node.http("POST", path, data + b"2", headers={"Content-Type": "application/x-anything"})
            self.assertEqual((answer.status, answer.json()["version"]), (200, 2), data)
            self.assertEqual(node.execute("GET", key), data + b"2")
        listed = node.http("GET", "/keys").json()
        self.assertEqual(listed["count"], len(NASTY))
        expected = [json_text(b"k" + data) for data in NASTY]
        self.assertEqual(sorted(map(json.dumps, listed["keys"])), sorted(map(json.dumps, expected)))

    def test_the_key_of_a_query(self) -> None:
        node = self.start_node()
        node.execute("SET", "a b+c", "1")
        self.assertEqual(node.http("GET", "/get?key=a+b%2Bc").status, 200)
        self.assertEqual(node.http("GET", "/get?x=1&%6bey=a%20b%2bc&x=2").status, 200, "others are ignored")
        node.execute("SET", "", "empty")
        for path in ("/get?key=", "/get?key"):
            self.assertEqual(node.http("GET", path).json()["value"], "empty")
        for path in ("/get", "/get?", "/get?Key=a", "/get?key=a&key=a", "/get?key=%", "/get?key=%4", "/get?key=%zz"):
            self.assert_problem(node.http("GET", path), 400, "BADREQUEST")

    def assert_lives(self, node: Node, written: Response, key: str, ms: int) -> None:
        """From the moment of the write on."""
        self.assertEqual(written.status, 200, written)
        self.assertEqual(node.execute("PEXPIRETIME", key), unix_ms(written.json()["timestamp"]) + ms)

    def test_time_to_live(self) -> None:
        node = self.start_node()
        written = node.http("POST", "/set", {"key": "k", "value": "v", "ttl": 100})
        self.assert_lives(node, written, "k", 100_000)
        written = node.http("POST", "/set?key=raw&ttl=50.5", b"v", headers={"Content-Type": "text/plain"})
        self.assert_lives(node, written, "raw", 50_500)
        node.set("k", "without")
        self.assertEqual(node.execute("PTTL", "k"), -1)
        node.http("POST", "/set", {"key": "k", "value": "v", "ttl": 0.05})
        wait_until(lambda: node.get("k") is None, what="the key expired")
        for ttl in (0, -1, "1", True, 1e18, []):
            self.assert_problem(node.http("POST", "/set", {"key": "k", "value": "v", "ttl": ttl}), 400, "ERR")
        for text in ("0", "-1", "x", "", "1e3"):
            answer = node.http("POST", f"/set?key=k&ttl={text}", b"v", headers={"Content-Type": "text/plain"})
            self.assert_problem(answer, 400, "ERR")
            self.assert_problem(node.http("POST", f"/set?ttl={text}", {"key": "k", "value": "v"}), 400, "ERR")

        # null is none, of every member that may be left out.
        for query, body in (("", {"key": "k", "value": "n", "ttl": None}), ("?key=k", {"key": None, "value": "n"}),
                            ("?key=k", {"key": None, "value": "n", "ttl": None})):
            node.execute("SET", "k", "v", "EX", 100)
            self.assertEqual(node.http("POST", "/set" + query, body).status, 200, body)
            self.assertEqual((node.get("k"), node.execute("PTTL", "k")), ("n", -1))
        written = node.http("POST", "/set?ttl=70", {"key": "k", "value": "v", "ttl": None})
        self.assert_lives(node, written, "k", 70_000)
        for body in ({"key": None, "value": "v"}, {"key": "k", "value": None}, {"key": "k", "ttl": None}):
            self.assert_problem(node.http("POST", "/set", body), 400, "BADREQUEST")

        # With JSON the query may say it, too; twice it has to be the same.
        for query, member in (("?ttl=70", {}), ("?ttl=70.0", {"ttl": 70}), ("?key=k", {"ttl": 7e1})):
            written = node.http("POST", "/set" + query, {"key": "k", "value": "v", **member})
            self.assert_lives(node, written, "k", 70_000)
        answer = node.http("POST", "/set?ttl=71", {"key": "k", "value": "other", "ttl": 70})
        self.assert_problem(answer, 400, "BADREQUEST")
        self.assertEqual(node.get("k"), "v")

    def test_bodies_that_are_refused(self) -> None:
        node = self.start_node()
        bodies: list[bytes] = [
            b"", b"{", b"[]", b'"x"', b"null", b"key=a&value=b", b'{"key":"k"}', b'{"value":"v"}',
            b'{"key":"k","value":"v"} x', b'{"key":"k","value":"v"}{}', b'{"key":"k","value":"v"}\0',
            b'{"key":"k","key":"k","value":"v"}', b'{"key":"k","value":"v","value":"w"}',
            b'{"key":1,"value":"v"}', b'{"key":"k","value":1}', b'{"key":"k","value":null}', b'{"key":"k","value":{}}',
            b'{"key":"k","value":{"base64":"A"}}', b'{"key":"k","value":{"base64":"AA==","more":1}}',
            b'{"key":"k","value":"\\u0000"}', b'{"key":"k","value":"a\0b"}', b'{"key":"k","value":"a\nb"}',
            b'{"key":"k","value":"\\ud800"}', b'{"key":"k","value":"\xff"}', b'{"key":"k","value":"\xed\xa0\x80"}',
            b'{"key":"k","value":"v","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
            b'{"key":"k","value":"v","x":[' + b"0," * 5000 + b"0]}",
        ]
        for body in bodies:
            answer = node.http("POST", "/set", body, headers={"Content-Type": "application/json"})
            self.assert_problem(answer, 400, "BADREQUEST")
        self.assertEqual(node.execute("DBSIZE"), 0)
        taken = node.http("POST", "/set", b'{"key":"k","value":"\\\\u0000"}', headers={"Content-Type": "application/json"})
        self.assertEqual((taken.status, node.execute("GET", "k")), (200, b"\\u0000"), "an escaped backslash")

    def test_media_types(self) -> None:
        node = self.start_node()
        document = b'{"key":"k","value":"v"}'

        def post(path: str, kind: Optional[str], body: bytes = document) -> Response:
            connection = self.connect(node)
            header = "" if kind is None else f"Content-Type: {kind}\r\n"
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{header}Content-Length: {len(body)}\r\n\r\n"
            return connection.ask(head.encode() + body)

        for kind in ("application/json", "Application/JSON; charset=utf-8", None):
            self.assertEqual(post("/set", kind).status, 200, kind)
            self.assertEqual(node.execute("GET", "k"), b"v")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""):
            self.assert_problem(post("/set", kind), 415, "MEDIATYPE")
        for kind in ("text/plain", "application/x-www-form-urlencoded", None):
            self.assertEqual(post("/set?key=raw", kind).status, 200, kind)
            self.assertEqual(node.execute("GET", "raw"), document)
        self.assertEqual(post("/set?key=k", "application/json", b'{"value":"w"}').status, 200)
        self.assertEqual(node.execute("GET", "k"), b"w")
        self.assertEqual(post("/set?key=k", "application/json").status, 200)
        self.assert_problem(post("/set?key=other", "application/json"), 400, "BADREQUEST")

    def test_content_encodings(self) -> None:
        node = self.start_node()
        for path, body in (("/set", {"key": "k", "value": "v"}), ("/set?key=k", b"v")):
            for coding in ("identity", "Identity, identity", ""):
                self.assertEqual(node.http("POST", path, body, headers={"Content-Encoding": coding}).status, 200, coding)
            for coding in ("gzip", "identity, gzip", "br", "nothing"):
                answer = node.http("POST", path, body, headers={"Content-Encoding": coding})
                self.assert_problem(answer, 415, "MEDIATYPE")
                self.assertEqual(answer.headers["accept-encoding"], "identity")

    def test_conditions(self) -> None:
        node = self.start_node()

        def write(method: str, path: str, **headers: str) -> Response:
            body = {"key": "k", "value": "v"} if method == "POST" else None
            return node.http(method, path, body, headers={k.replace("_", "-"): v for k, v in headers.items()})

        self.assert_problem(write("POST", "/set", If_Match="*"), 412, "PRECONDITION")
        self.assert_problem(write("POST", "/set", If_Match='"1"'), 412, "PRECONDITION")
        self.assertEqual(write("POST", "/set", If_None_Match="*").json()["version"], 1)
        self.assert_problem(write("POST", "/set", If_None_Match="*"), 412, "PRECONDITION")
        self.assert_problem(write("POST", "/set", If_None_Match='"1"'), 412, "PRECONDITION")
        self.assertEqual(write("POST", "/set", If_Match='"1"').json()["version"], 2)
        self.assertEqual(write("POST", "/set", If_Match='"7", "2"').json()["version"], 3)
        self.assertEqual(write("POST", "/set", If_Match="*").json()["version"], 4)
        self.assert_problem(write("POST", "/set", If_Match='W/"4"'), 412, "PRECONDITION")
        self.assertEqual(node.http("GET", "/get?key=k").json()["version"], 4)

        for tags in ('"4"', 'W/"4"', '"1", "4"', "*"):
            read = node.http("GET", "/get?key=k", headers={"If-None-Match": tags})
            self.assertEqual((read.status, read.body, read.headers["etag"]), (304, b"", '"4"'), tags)
        self.assertEqual(node.http("GET", "/get?key=k", headers={"If-None-Match": '"3"'}).status, 200)
        self.assertEqual(node.http("GET", "/get?key=none", headers={"If-None-Match": "*"}).status, 404)
        for tags in ("4", '"4', "*, *", '"4" "5"', ""):
            for name in ("If-Match", "If-None-Match"):
                self.assert_problem(node.http("GET", "/get?key=k", headers={name: tags}), 400, "BADREQUEST")
                self.assert_problem(write("POST", "/set", **{name: tags}), 400, "BADREQUEST")

        self.assert_problem(write("DELETE", "/delete?key=k", If_Match='"3"'), 412, "PRECONDITION")
        self.assertEqual(write("DELETE", "/delete?key=k", If_Match='"4"').json()["version"], 5)
        for tags in ('"4"', "*", '"5"', "4"):
            self.assert_problem(write("DELETE", "/delete?key=k", If_Match=tags), 404, "NOTFOUND")
            self.assert_problem(write("DELETE", "/delete?key=k", If_None_Match=tags), 404, "NOTFOUND")

    def test_what_is_accepted(self) -> None:
        node = self.start_node()
        node.set("k", "v")
        for accept in ("*/*", "application/json", "text/html", "application/octet-stream;q=0",
                       "application/json, application/octet-stream;q=0.9"):
            self.assertEqual(node.http("GET", "/get?key=k", headers={"Accept": accept}).json()["value"], "v", accept)
        for accept in ("application/octet-stream", "application/octet-stream, */*;q=0.1"):
            self.assertEqual(node.http("GET", "/get?key=k", headers={"Accept": accept}).body, b"v", accept)

    def test_versions_are_exact_beyond_double_precision(self) -> None:
        """A follower takes a bare line of a peer that knows only the specification, with the version that it says."""
        cluster = self.make_cluster(groups=1, followers=1)
        node = cluster.followers()[0].start()
        wait_until(lambda: node.http("GET", "/health", timeout=2).status == 503, what="it answers")
        self.assertEqual(node.http("GET", "/health").json()["status"], "empty")
        with LineConnection(node.port) as peer:
            peer.send_line(b"REPLICATE|big|v|9007199254740993")
            node.wait_healthy()
            wait_until(lambda: node.get("big") == "v", what="the line was applied")
        answer = node.http("GET", "/get?key=big")
        self.assertIn(b'"version":9007199254740993,', answer.body)
        self.assertEqual(answer.headers["etag"], '"9007199254740993"')
        for tag, status in (("9007199254740993", 304), ("9007199254740992", 200)):
            self.assertEqual(node.http("GET", "/get?key=big", headers={"If-None-Match": f'"{tag}"'}).status, status)

    def test_large_values(self) -> None:
        node = self.start_node()
        data = bytes(range(256)) * (40 << 10)
        headers = {"Content-Type": "application/octet-stream"}
        self.assertEqual(node.http("POST", "/set?key=big", data, headers=headers).status, 200)
        raw = node.http("GET", "/get?key=big", headers={"Accept": "application/octet-stream"})
        self.assertEqual(len(raw.body), len(data))
        self.assertTrue(raw.body == data)
        answer = node.http("GET", "/get?key=big").json()
        self.assertTrue(base64.b64decode(answer["value"]["base64"]) == data)
        text = "ä\n" * (1 << 20)
        self.assertEqual(node.http("POST", "/set", {"key": "text", "value": text}).status, 200)
        self.assertTrue(node.http("GET", "/get?key=text").json()["value"] == text)


class Listing(RestTestCase):
    def pages(self, node: Node, query: str) -> Iterator[dict[str, Any]]:
        cursor = ""
        for _ in range(100_000):
            answer = node.http("GET", f"/keys?{query}{cursor}")
            self.assertEqual(answer.status, 200)
            page = answer.json()
            self.assertEqual(page["count"], len(page["keys"]))
            yield page
            if "cursor" not in page:
                return
            cursor = "&cursor=" + quote(page["cursor"])
        self.fail("the pages do not end")

    def fill(self, node: Node, names: list[str]) -> None:
        with node.resp() as client:
            for i in range(0, len(names), 1000):
                client.pipeline([("SET", name, "v") for name in names[i : i + 1000]])

    def test_all_keys_and_some(self) -> None:
        node = self.start_node()
        self.assertEqual(node.http("GET", "/keys").json(), {"keys": [], "count": 0})
        names = [f"user:{i}" for i in range(3000)] + [f"group:{i}" for i in range(50)]
        self.fill(node, names)
        listed = node.http("GET", "/keys").json()
        self.assertEqual((sorted(listed["keys"]), listed["count"]), (sorted(names), len(names)))
        self.assertNotIn("cursor", listed)
        for query, expected in (
            ("prefix=group:", [n for n in names if n.startswith("group:")]),
            ("match=*:1?", [n for n in names if len(n.split(":")[1]) == 2 and n.split(":")[1][0] == "1"]),
            ("match=user:*&prefix=user:29", [n for n in names if n.startswith("user:29")]),
            ("match=%5Bgu%5D*:7", ["group:7", "user:7"]),
            ("prefix=nothing", []),
        ):
            self.assertEqual(sorted(node.http("GET", "/keys?" + query).json()["keys"]), sorted(expected), query)

    def test_pages(self) -> None:
        node = self.start_node()
        names = [f"key{i}" for i in range(500)]
        self.fill(node, names)
        for limit in (1, 3, 7, 64, 499, 500, 501):
            pages = list(self.pages(node, f"limit={limit}"))
            self.assertTrue(all(page["count"] <= limit for page in pages))
            keys = [key for page in pages for key in page["keys"]]
            self.assertEqual(sorted(keys), sorted(names), limit)
            self.assertTrue(all(page["count"] == limit for page in pages[:-1]), "but the last one they are full")
        keys = [key for page in self.pages(node, "limit=5&prefix=key1") for key in page["keys"]]
        self.assertEqual(sorted(keys), sorted(name for name in names if name.startswith("key1")))

    def test_a_key_that_stays_is_listed_whatever_comes_and_goes(self) -> None:
        node = self.start_node()
        stays = [f"stays{i}" for i in range(300)]
        self.fill(node, stays)
        found: set[str] = set()
        with node.resp() as client:
            for i, page in enumerate(self.pages(node, "limit=3")):
                found.update(page["keys"])
                # Growing for the first pages, shrinking for the rest: buckets split and merge beneath the cursor.
                names = [f"goes{j}" for j in range(i * 200, i * 200 + 200)]
                if i < 20:
                    client.pipeline([("SET", name, "v") for name in names])
                elif i < 40:
                    client.pipeline([("DEL", f"goes{j}") for j in range((i - 20) * 200, (i - 19) * 200)])
        self.assertLessEqual(set(stays), found)

    def test_bad_parameters(self) -> None:
        node = self.start_node()
        for query in ("limit=0", "limit=-1", "limit=x", "limit=", "limit=1&limit=1", "cursor=", "cursor=x", "cursor=1.2",
                      "cursor=1.2.3.4", "match=%"):
            self.assert_problem(node.http("GET", "/keys?" + query), 400, "BADREQUEST")
        self.assertEqual(node.http("GET", "/keys?cursor=ffffffffffffffff.ff.ff").status, 200, "an invented one")

    def test_a_long_list_to_a_slow_reader(self) -> None:
        node = self.start_node()
        # More than the sockets' buffers take in.
        names = [f"{i:0400d}" for i in range(25_000 if SANITIZE else 50_000)]
        self.fill(node, names)
        reader = HttpConnection(node.api)
        self.addCleanup(reader.close)
        # The list, and behind it a request that has to wait for its end.
        reader.send(b"GET /keys HTTP/1.1\r\nHost: localhost\r\n\r\nGET /get?key=x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: node.cluster()["stats"]["clients"] >= 2, what="it is connected")
        # Others are served meanwhile; one more that vanishes in the middle does no harm.
        for _ in range(3):
            goner = Connection(node.api)
            goner.send(b"GET /keys HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertTrue(goner.read_exactly(1000))
            goner.close()
            node.set("other", "v")
        listed = reader.read_response()
        self.assertGreaterEqual(set(listed.json()["keys"]), set(names))
        self.assertEqual(reader.read_response().status, 404)
        self.assertEqual(node.execute("FLUSHALL"), "OK")

    def test_http_1_0_and_head(self) -> None:
        node = self.start_node()
        self.fill(node, ["a", "b"])
        with HttpConnection(node.api) as connection:
            connection.send(b"GET /keys HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            head = connection.read_until(b"\r\n\r\n").lower()
            self.assertNotIn(b"transfer-encoding", head)
            self.assertIn(b"connection: close", head)
            body = b""
            try:
                while True:
                    body += connection.read_exactly(1)
            except EOFError:
                pass
            self.assertEqual(sorted(json.loads(body)["keys"]), ["a", "b"])
        with HttpConnection(node.api) as connection:
            answer = connection.ask("HEAD /keys HTTP/1.1\r\nHost: localhost\r\n\r\n", head=True)
            self.assertEqual((answer.status, answer.headers["transfer-encoding"]), (200, "chunked"))
            self.assertEqual(connection.ask("GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n").json()["value"], "v")


class Protocol(RestTestCase):
    def test_pipelining(self) -> None:
        node = self.start_node()
        connection = self.connect(node)
        count = 2000
        requests = b""
        for i in range(count):
            body = b'{"key":"k%d","value":"%d"}' % (i, i)
            requests += b"POST /set HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            requests += b"GET /get?key=k%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % i
            if i % 500 == 0:
                requests += b"GET /keys?prefix=k0 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        threading.Thread(target=connection.send, args=(requests,), daemon=True).start()
        for i in range(count):
            self.assertEqual(connection.read_response().json()["key"], f"k{i}")
            self.assertEqual(connection.read_response().json()["value"], str(i))
            if i % 500 == 0:
                self.assertEqual(connection.read_response().json()["keys"], ["k0"])

    def test_byte_by_byte(self) -> None:
        node = self.start_node()
        connection = self.connect(node)
        for byte in b'POST /set HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n' \
                    b'A\r\n{"key":"k"\r\nD\r\n,"value":"v"}\r\n0\r\n\r\n':
            connection.send(bytes([byte]))
        self.assertEqual(connection.read_response().status, 200)
        self.assertEqual(node.get("k"), "v")

    def test_what_two_parsers_could_read_differently_is_refused(self) -> None:
        node = self.start_node()
        hidden = "GET /get?key=secret HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for head, status in (
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            ("Content-Length: 0\r\nContent-Length: 5\r\n\r\n", 400),
            ("Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
            ("Transfer-Encoding: xchunked\r\n\r\n", 400),
            ("Content-Length : 5\r\n\r\n", 400),
            ("X: a\r\n Content-Length: 5\r\n\r\n", 400),
            ("X: a\n\r\n", 400),
            ("Host: b\r\n\r\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\n\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\n b\r\n\r\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", 400),
        ):
            connection = self.connect(node)
            answer = connection.ask("POST /set?key=k HTTP/1.1\r\nHost: localhost\r\n" + head + hidden)
            self.assert_problem(answer, status, "BADREQUEST")
            self.assertEqual(answer.headers["connection"], "close", head)
            with self.assertRaises(EOFError, msg=head):
                connection.read_response()
        for text in ("GET / HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", "*1\r\n$4\r\nPING\r\n", "BREW / HTTP/1.1\r\n"):
            connection = self.connect(node)
            self.assertIn(connection.ask(text).status, (400, 501, 505), text)
            self.assertTrue(connection.is_closed())
        for text, has_body in (("HEAD / HTTP/1.1\r\n\r\n", False), ("HEAD / HTTP/2.0\r\nHost: localhost\r\n\r\n", False),
                               ("HEAD /\r\n\r\n", False), ("HEADER / HTTP/1.1\r\n", True)):
            connection = self.connect(node)
            answer = connection.ask(text, head=not has_body)
            self.assertEqual(answer.headers["content-type"], "application/problem+json", text)
            with self.assertRaises(EOFError, msg=text):
                connection.read_exactly(1)

    def test_limits(self) -> None:
        node = self.start_node()
        for head, status in (
            ("GET /get?key=" + "x" * (64 << 10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
            ("GET /get?key=" + "x" * (200 << 10), 414),
            ("GET / HTTP/1.1\r\nHost: localhost\r\nX: " + "x" * (64 << 10) + "\r\n\r\n", 431),
            ("GET / HTTP/1.1\r\nHost: localhost\r\n" + "X: y\r\n" * (20 << 10), 431),
            ("POST /set HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2000000000\r\n\r\n", 413),
        ):
            connection = self.connect(node)
            self.assert_problem(connection.ask(head), status, "TOOLARGE")
            self.assertTrue(connection.is_closed())
            if head.startswith("GET"):
                connection = self.connect(node)
                self.assertEqual(connection.ask(head.replace("GET", "HEAD", 1), head=True).status, status)
                with self.assertRaises(EOFError, msg="no body"):
                    connection.read_exactly(1)
        path = "/get?key=" + "x" * ((64 << 10) - len("/get?key="))
        self.assertEqual(node.http("GET", path).status, 404, "just as long as allowed")

    def test_keep_alive(self) -> None:
        node = self.start_node()
        for request, stays in (
            ("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", True),
            ("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", False),
            ("GET /health HTTP/1.0\r\n\r\n", False),
            ("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        ):
            connection = self.connect(node)
            answer = connection.ask(request)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers.get("connection") == "close", not stays, request)
            if stays:
                self.assertEqual(connection.ask(request).status, 200)
            else:
                self.assertTrue(connection.is_closed())

    def test_a_client_that_has_said_all_gets_its_answers(self) -> None:
        node = self.start_node()
        connection = self.connect(node)
        connection.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /keys HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(connection.read_response().status, 200)
        self.assertEqual(connection.read_response().json()["count"], 0)
        self.assertTrue(connection.is_closed())

    def test_methods_and_paths(self) -> None:
        node = self.start_node()
        node.set("k", "v")
        for path in ("/get?key=k", "/get?key=none", "/cluster", "/health", "/nowhere"):
            get, head = node.http("GET", path), node.http("HEAD", path)
            self.assertEqual((head.status, head.body), (get.status, b""))
            self.assertEqual(head.headers["content-type"], get.headers["content-type"])
            if path != "/cluster":  # where times are told
                self.assertEqual(head.headers["content-length"], get.headers["content-length"])
        for path in ("/", "/nowhere", "/get/", "/GET", "//get", "/get%20"):
            self.assert_problem(node.http("GET", path), 404, "NOTFOUND")
        for path, allow in (("/get", "GET, HEAD, OPTIONS"), ("/set", "POST, OPTIONS"), ("/delete", "DELETE, OPTIONS"),
                            ("/keys", "GET, HEAD, OPTIONS"), ("/export", "GET, HEAD, OPTIONS"), ("/health", "GET, HEAD, OPTIONS")):
            options = node.http("OPTIONS", path)
            self.assertEqual((options.status, options.headers["allow"]), (204, allow), path)
            answer = node.http("PUT", path, b"")
            self.assert_problem(answer, 405, "METHOD")
            self.assertEqual(answer.headers["allow"], allow)
        options = node.http("OPTIONS", "*")
        self.assertEqual((options.status, options.headers["allow"]), (204, "GET, HEAD, POST, DELETE, OPTIONS"))
        for method in ("GET", "PUT", "DELETE"):
            self.assert_problem(node.http(method, "*"), 404, "NOTFOUND")
        self.assertEqual(node.http("GET", "/set").status, 405)
        self.assertEqual(node.http("POST", "/delete?key=k", b"").status, 405)

    def test_slow_senders(self) -> None:
        node = self.start_node()
        begin = time.monotonic()
        head, body, chunks = (self.connect(node) for _ in range(3))
        head.send(b"GET /get?key=k HTTP/1.1\r\nHost: ")
        body.send(b"POST /set?key=k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nbegin")
        chunks.send(b"POST /set?key=k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        idle = self.connect(node)
        self.assertEqual(idle.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200)
        uploader = self.connect(node)
        size, step = 25 << 14, 1 << 14
        uploader.send(b"POST /set?key=slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)

        def trickle() -> None:
            for _ in range(25):
                time.sleep(0.6)  # the pace of a link of 27 KB/s
                uploader.send(b"x" * step)
                if time.monotonic() - begin < 9:  # and no more when it may be closed: what it is told is still to be read
                    chunks.send(b"1\r\nx\r\n")
        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        for connection in (head, body, chunks):
            answer = connection.read_response()
            self.assert_problem(answer, 408, "TIMEOUT")
            self.assertGreater(time.monotonic() - begin, 9.5, "after 10 s")
            if connection is not chunks:
                self.assertTrue(connection.is_closed())
        self.assertEqual(uploader.read_response().status, 200, "one that makes progress is not cut off")
        self.assertGreater(time.monotonic() - begin, 14)
        self.assertEqual(len(node.execute("GET", "slow")), size)
        self.assertEqual(idle.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200, "an idle one stays")

    def test_a_slow_reader_gets_the_whole_of_a_last_reply(self) -> None:
        """Much more than the sockets' buffers take in, for longer than the 5 s in which the reader has to take some."""
        node = self.start_node()
        size = 32 << 20
        node.execute("SET", "big", b"x" * size)
        begin = time.monotonic()
        readers: list[tuple[HttpConnection, int]] = []
        for port, request in (
            (node.api, b"GET /get?key=big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
            (node.redis, b"GET big\r\nQUIT\r\n"),
        ):
            reader = HttpConnection(port)
            self.addCleanup(reader.close)
            reader.send(request)
            readers.append(reader)
        received = [0, 0]
        while min(received) < size:
            time.sleep(0.1)
            for i, reader in enumerate(readers):
                wanted = min(size, int((time.monotonic() - begin) / 7 * size)) - received[i]
                received[i] += len(reader.read_exactly(max(0, wanted)))
        self.assertGreater(time.monotonic() - begin, 6.5)

    def test_too_many_clients(self) -> None:
        node = self.start_node(max_clients=3)

        def admitted() -> Optional[HttpConnection]:
            client = self.connect(node)
            return client if client.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200 else None

        # Those that asked whether the node is healthy may still be counted.
        clients = [wait_until(admitted, what="a client is admitted") for _ in range(3)]
        refused = self.connect(node)
        self.assert_problem(refused.read_response(), 503, "ERR")
        self.assertTrue(refused.is_closed())
        clients[0].close()
        wait_until(admitted, what="there is room for one again")


    def test_a_pause_of_writes(self) -> None:
        """CLIENT PAUSE holds writes over RESP; over HTTP they are refused, and reads go on."""
        node = self.start_node()
        node.set("k", "v")
        self.assertEqual(node.execute("CLIENT", "PAUSE", 60000, "WRITE"), "OK")
        answer = node.http("POST", "/set", {"key": "k", "value": "w"})
        self.assert_problem(answer, 503, "PAUSED")
        self.assertEqual(answer.headers["retry-after"], "1")
        self.assert_problem(node.http("DELETE", "/delete?key=k"), 503, "PAUSED")
        self.assertEqual(node.get("k"), "v")
        self.assertEqual(node.execute("CLIENT", "UNPAUSE"), "OK")
        self.assertEqual(node.set("k", "w")["version"], 2)


class ClusterView(RestTestCase):
    def test_redirects_and_health(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        leader.set("k", "v")
        cluster.wait_replicated()
        for method, path, body in (
            ("POST", "/set", {"key": "k", "value": "w"}),
            ("POST", "/set?key=a%20b&x=%2f", b"w"),
            ("DELETE", "/delete?key=k", None),
        ):
            headers = {"Content-Type": "text/plain"} if isinstance(body, bytes) else None
            answer = follower.http(method, path, body, headers=headers)
            self.assert_problem(answer, 307, "MOVED")
            self.assertEqual(answer.headers["location"], f"http://127.0.0.1:{leader.api}{path}")
        health = follower.http("GET", "/health").json()
        self.assertEqual((health["status"], health["role"], health["keys"]), ("ok", "follower", 1))
        self.assertEqual(health["leader"], leader.http("GET", "/health").json()["node"])

        leader.stop()
        wait_until(lambda: follower.http("GET", "/health").json()["status"] == "degraded", what="the leader is missed")
        health_answer = follower.http("GET", "/health")
        self.assertEqual(health_answer.status, 200)
        self.assertTrue(health_answer.json()["why"])
        answer = follower.http("POST", "/set", {"key": "k", "value": "w"})
        self.assert_problem(answer, 503, "CLUSTERDOWN")
        self.assertEqual(answer.headers["retry-after"], "1")
        self.assertEqual(follower.get("k"), "v", "reads go on")

    def test_the_cluster(self) -> None:
        cluster = self.start_cluster(groups=2, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        wait_until(lambda: all(len(n.cluster()["groups"]) == 2 for n in cluster.nodes), what="both groups are in the ring")
        owned = [node for node in cluster.nodes if node.is_leader]
        for i in range(20):
            for node in owned:
                node.http("POST", "/set", {"key": f"k{i}", "value": "v"})
        cluster.wait_replicated()
        wait_until(lambda: leader.cluster()["history"]["index"] == follower.cluster()["history"]["index"])
        view = leader.cluster()
        own = view["self"]
        self.assertEqual((own["host"], own["port"], own["api_port"], own["redis_port"], own["group"], own["role"]),
                         ("127.0.0.1", leader.port, leader.api, leader.redis, 0, "leader"))
        self.assertEqual({group["id"] for group in view["groups"]}, {0, 1})
        self.assertEqual(sum(group["slots"] for group in view["groups"]), 16384)
        self.assertEqual(view["slots_owned"], next(g["slots"] for g in view["groups"] if g["id"] == 0))
        self.assertEqual(view["groups"][0]["leader"], own["id"])
        self.assertEqual([group["members"] for group in view["groups"]], [2, 2])
        self.assertEqual((view["ring"]["virtual_nodes"], view["ring"]["groups"], view["ring"]["slots"]), (150, 2, 16384))
        self.assertEqual({node["port"] for node in view["nodes"]}, {node.port for node in cluster.nodes})
        self.assertRegex(view["history"]["id"], "^[0-9a-f]{16}$")
        self.assertGreater(view["history"]["index"], 0)

        def link() -> dict[str, Any]:
            return next(node for node in leader.cluster()["nodes"] if node["port"] == follower.port)

        wait_until(lambda: link().get("lag_lines") == 0 and link()["position"] == view["history"]["index"],
                   what="the follower has acknowledged everything")
        seen = link()
        self.assertEqual((seen["role"], seen["alive"], seen["link"], seen["api_port"], seen["redis_port"]),
                         ("follower", True, "online", follower.api, follower.redis))
        self.assertRegex(seen["last_seen"], RFC3339)
        self.assertLess(seen["last_seen_ms"], 10_000)
        mirror = follower.cluster()
        self.assertEqual(mirror["history"]["id"], view["history"]["id"])
        self.assertEqual((mirror["self"]["role"], mirror["self"]["leader"]), ("follower", own["id"]))
        self.assertEqual(set(view["stats"]["loop_stall_us"]), {"p50", "p99", "p99.9", "max"})


if __name__ == "__main__":
    main()
