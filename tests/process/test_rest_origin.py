#!/usr/bin/env python3
"""Who may ask over REST: a browser runs the pages of strangers, and says who they are. Without a browser nobody is
looked at."""
from __future__ import annotations

from typing import Any, Optional

from harness import Node, Response, main
from rest import RestTestCase

EVIL = "http://evil.example"
APP = "https://app.example"


class OriginTestCase(RestTestCase):
    def ask(self, node: Node, method: str, target: str, *fields: str, host: Optional[str] = "localhost",
            version: str = "1.1", body: str = "") -> Response:
        """On a connection of its own, with these header lines in these very bytes."""
        lines = [f"{method} {target} HTTP/{version}", *([] if host is None else [f"Host: {host}"]), *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return self.connect(node).ask("\r\n".join(lines) + "\r\n\r\n" + body, head=method == "HEAD")

    def write(self, node: Node, *fields: str, host: Optional[str] = "localhost", **more: Any) -> Response:
        return self.ask(node, "POST", "/set?key=k", "Content-Type: text/plain", *fields, host=host, body="v", **more)

    def assert_unreadable(self, answer: Response) -> None:
        self.assertFalse([name for name in answer.headers if name.startswith("access-control-")], answer.headers)


class Hosts(OriginTestCase):
    def test_only_names_that_are_this_node(self) -> None:
        node = self.start_node(api_hosts="db.example, Other")
        node.set("secret", "v")
        own = ["127.0.0.1", f"127.0.0.1:{node.api}", "10.1.2.3:1", "[::1]", "[::1]:9000", "[::ffff:127.0.0.1]", "localhost",
               "LocalHost:80", "localhost.", "localhost.:9000", "DB.example", "db.example.:9000", "other:", "OTHER"]
        foreign = ["evil.example", f"evil.example:{node.api}", "localhost.evil.example", "xlocalhost", "a.localhost",
                   "127.0.0.1.evil.example", "127.0.0.1.", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.256",
                   "[evil]", "[127.0.0.1]", "[v1.localhost]", "localhost..", "%6cocalhost", "", ":9000", "db.example.x", "db",
                   "db.example,Other"]
        for host in own:
            for method, target in (("GET", "/get?key=secret"), ("HEAD", "/health"), ("GET", "/cluster")):
                self.assertEqual(self.ask(node, method, target, host=host).status, 200, (host, target))
            self.assertEqual(self.write(node, host=host).status, 200, host)
        node.execute("DEL", "k")
        for host in foreign:
            for target in ("/get?key=secret", "/keys", "/cluster", "/health", "/nowhere"):
                self.assert_problem(self.ask(node, "GET", target, host=host), 421, "MISDIRECTED")
            # A page whose name was turned to this node is of one origin with it, as far as the browser knows.
            for fields in ((), (f"Origin: http://{host}", "Sec-Fetch-Site: same-origin")):
                self.assert_problem(self.write(node, *fields, host=host), 421, "MISDIRECTED")
            self.assertEqual(self.ask(node, "OPTIONS", "/set", host=host).status, 421)
        self.assertIsNone(node.get("k"))

    def test_what_a_target_and_an_old_version_say(self) -> None:
        node = self.start_node()
        # "MUST ignore the received Host header field" where the target names the host (RFC 9112, 3.2.2).
        for target, host, status in (
            ("http://localhost/health", "evil.example", 200), ("HTTPS://[::1]:9/health", "evil.example", 200),
            ("http://evil.example/health", "localhost", 421), (f"http://evil.example:{node.api}/health", "127.0.0.1", 421),
            ("http://localhost@evil.example/health", "localhost", 400), ("http://u:p@localhost/health", "localhost", 400),
            ("http:///health", "localhost", 400), ("http://localhost/health", "u@localhost", 400),
        ):
            self.assertEqual(self.ask(node, "GET", target, host=host).status, status, target)
        self.assertEqual(self.ask(node, "GET", "/health", host=None, version="1.0").status, 200)
        self.assertEqual(self.ask(node, "GET", "/health", host="evil.example", version="1.0").status, 421)
        self.assertEqual(self.ask(node, "GET", "/health", host=None).status, 400)
        for hosts in (("localhost", "evil.example"), ("evil.example", "localhost"), ("localhost", "localhost")):
            fields = [f"Host: {host}" for host in hosts]
            self.assertEqual(self.ask(node, "GET", "/health", *fields, host=None).status, 400, hosts)
            self.assertEqual(self.ask(node, "GET", "/health", *fields, host=None, version="1.0").status, 400, hosts)

    def test_a_password_is_a_name(self) -> None:
        """Who has turned a name of its own to this node still does not know the password."""
        node = self.start_node()
        self.assertEqual(self.ask(node, "GET", "/health", host="evil.example").status, 421)
        node.execute("CONFIG", "SET", "requirepass", "secret")
        self.assert_problem(self.ask(node, "GET", "/get?key=k", host="evil.example"), 401, "NOAUTH")
        allowed = "Authorization: Bearer secret"
        self.assertEqual(self.ask(node, "GET", "/get?key=k", allowed, host="any.example").status, 404)
        self.assertEqual(self.write(node, allowed, host="any.example").status, 200)
        # A browser may know it by heart: the origin is looked at all the same.
        self.assert_problem(self.write(node, allowed, f"Origin: {EVIL}", host="any.example"), 403, "NOPERM")

    def test_names_can_be_changed(self) -> None:
        node = self.start_node()
        self.assertEqual(self.ask(node, "GET", "/health", host="db.example").status, 421)
        node.execute("CONFIG", "SET", "api-hosts", "db.example")
        self.assertEqual(self.ask(node, "GET", "/health", host="db.example").status, 200)
        self.assertEqual(node.execute("CONFIG", "GET", "api-hosts"), [b"api-hosts", b"db.example"])


class Origins(OriginTestCase):
    def test_a_page_of_another_origin_writes_nothing(self) -> None:
        node = self.start_node(api_hosts="evil.example")
        here = f"localhost:{node.api}"
        foreign = [
            ["Origin: null"], ["Origin:"], [f"Origin: {EVIL}"], [f"Origin: {EVIL}", "Sec-Fetch-Site: same-origin"],
            ["Origin: http://localhost"], ["Origin: http://localhost:1"], ["Origin: http://127.0.0.1:" + str(node.api)],
            [f"Origin: http://{here}/"], [f"Origin: http://u@{here}"], [f"Origin: http://{here} {EVIL}"],
            [f"Origin: ftp://{here}"], [f"Origin: http://{here}.evil.example"], [f"Origin: http://localhost.:{node.api}"],
            ["Sec-Fetch-Site: cross-site"], ["Sec-Fetch-Site: same-site"], ["Sec-Fetch-Site: Same-Origin"],
            ["Sec-Fetch-Site:"], ["Sec-Fetch-Site: same-origin, none"], [f"Origin: http://{here}", "Sec-Fetch-Site: cross-site"],
            [f"Origin: http://{here}", "Sec-Fetch-Site: same-site"], ["Origin: null", "Sec-Fetch-Site: none"],
        ]
        node.set("stays", "v")
        for fields in foreign:
            with self.subTest(fields=fields):
                for method, target in (("POST", "/set?key=k"), ("DELETE", "/delete?key=stays"), ("PUT", "/set?key=k"),
                                       ("PATCH", "/nowhere")):
                    answer = self.ask(node, method, target, "Content-Type: text/plain", *fields, host=here, body="v")
                    self.assert_problem(answer, 403, "NOPERM")
                    self.assert_unreadable(answer)
                # What it reads is kept from it by its browser; and no read changes anything.
                answer = self.ask(node, "GET", "/get?key=stays", *fields, host=here)
                self.assertEqual(answer.status, 200)
                self.assert_unreadable(answer)
                for target in ("/set?key=k", "/delete?key=stays", "/get?key=k&value=v"):
                    for method in ("GET", "HEAD", "OPTIONS"):
                        self.ask(node, method, target, *fields, host=here)
        for fields in ([f"Origin: http://{here}", f"Origin: {EVIL}"], ["Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"]):
            self.assertEqual(self.write(node, *fields, host=here).status, 400)
        self.assertEqual((node.get("k"), node.get("stays")), (None, "v"))

    def test_its_own_pages_and_programs_write(self) -> None:
        node = self.start_node(api_hosts="db.example")
        for host in (f"localhost:{node.api}", f"127.0.0.1:{node.api}", f"[::1]:{node.api}", "db.example", "DB.EXAMPLE:80"):
            for fields in ([], ["Sec-Fetch-Site: none"], ["Sec-Fetch-Site: same-origin"],
                           [f"Origin: http://{host.lower()}"], [f"Origin: http://{host}", "Sec-Fetch-Site: same-origin"]):
                self.assertEqual(self.write(node, *fields, host=host).status, 200, (host, fields))
        self.assertEqual(self.write(node, "Origin: https://db.example", host="db.example").status, 200, "behind TLS")
        self.assertEqual(self.write(node, host=None, version="1.0").status, 200)

    def test_no_body_of_a_stranger_is_waited_for(self) -> None:
        node = self.start_node()
        connection = self.connect(node)
        answer = connection.ask(f"POST /set?key=k HTTP/1.1\r\nHost: localhost\r\nOrigin: {EVIL}\r\n"
                                "Expect: 100-continue\r\nContent-Length: 100000000\r\n\r\n")
        self.assert_problem(answer, 403, "NOPERM")
        self.assertTrue(connection.is_closed())

    def test_pages_that_are_allowed(self) -> None:
        node = self.start_node(api_origins=f"{APP}, http://localhost:3000")
        for origin in (APP, "http://localhost:3000", "HTTPS://App.example:443"):
            for site in ([], ["Sec-Fetch-Site: cross-site"]):
                answers = [self.write(node, f"Origin: {origin}", *site),
                           self.ask(node, "GET", "/get?key=k", f"Origin: {origin}", *site),
                           self.ask(node, "GET", "/get?key=k", f"Origin: {origin}", *site, 'If-None-Match: *'),
                           self.ask(node, "GET", "/keys", f"Origin: {origin}", *site),
                           self.ask(node, "GET", "/get?key=none", f"Origin: {origin}", *site),
                           self.ask(node, "PUT", "/set", f"Origin: {origin}", *site)]
                self.assertEqual([answer.status for answer in answers], [200, 200, 304, 200, 404, 405])
                for answer in answers:
                    self.assertEqual(answer.headers["access-control-allow-origin"], origin)
                    exposed = answer.headers["access-control-expose-headers"].split(", ")
                    self.assertLessEqual({"ETag", "Location", "Retry-After", "WWW-Authenticate"}, set(exposed))
                    self.assertNotIn("access-control-allow-credentials", answer.headers)
        for origin in ("http://app.example", "https://app.example:444", "https://x.app.example", "https://app.example.evil.example",
                       "https://app.exampl", "null", EVIL):
            self.assert_problem(self.write(node, f"Origin: {origin}"), 403, "NOPERM")
            answer = self.ask(node, "GET", "/keys", f"Origin: {origin}")
            self.assertEqual((answer.status, answer.headers["vary"]), (200, "Origin"))
            self.assert_unreadable(answer)
        self.assertEqual(self.ask(node, "GET", "/health").headers["vary"], "Origin", "a cache keeps them apart")
        node.execute("CONFIG", "SET", "api-origins", "")
        self.assert_problem(self.write(node, f"Origin: {APP}"), 403, "NOPERM")
        self.assertNotIn("vary", self.ask(node, "GET", "/health").headers)

    def test_preflight(self) -> None:
        node = self.start_node(api_origins=APP)
        node.execute("CONFIG", "SET", "requirepass", "secret")
        asks = ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type"]

        def preflight(origin: str, target: str = "/set") -> Response:
            return self.ask(node, "OPTIONS", target, f"Origin: {origin}", *asks)

        for target, methods in (("/set", "POST, OPTIONS"), ("/delete?key=k", "DELETE, OPTIONS"), ("/get", "GET, HEAD, OPTIONS")):
            answer = preflight(APP, target)
            self.assertEqual((answer.status, answer.body), (204, b""), "the browser asks without the password")
            self.assertEqual(answer.headers["access-control-allow-origin"], APP)
            self.assertEqual(answer.headers["access-control-allow-methods"], methods)
            self.assertLessEqual({"Authorization", "Content-Type", "If-Match", "If-None-Match"},
                                 set(answer.headers["access-control-allow-headers"].split(", ")))
            self.assertEqual(answer.headers["vary"], "Origin")
        self.assertEqual(preflight(APP, "/nowhere").status, 404)
        for origin in (EVIL, "null"):
            answer = preflight(origin)
            self.assert_problem(answer, 403, "NOPERM")
            self.assert_unreadable(answer)
        self.assertEqual(self.ask(node, "OPTIONS", "/set", f"Origin: {APP}").status, 401, "this is no preflight")
        answer = self.write(node, f"Origin: {APP}")
        self.assert_problem(answer, 401, "NOAUTH")
        self.assertEqual(answer.headers["access-control-allow-origin"], APP, "the page may read why")
        self.assertEqual(self.write(node, f"Origin: {APP}", "Authorization: Bearer secret").status, 200)

    def test_bad_lists_are_refused(self) -> None:
        node = self.start_node()
        with node.resp() as client:
            for name, value in (("api-origins", "null"), ("api-origins", "*"), ("api-origins", "app.example"),
                                ("api-origins", "https://app.example/"), ("api-hosts", "http://a"), ("api-hosts", "a:1")):
                with self.assertRaisesRegex(Exception, "argument must be", msg=value):
                    client.execute("CONFIG", "SET", name, value)


if __name__ == "__main__":
    main()
