#!/usr/bin/env python3
"""A password guards both doors for clients, and stands in the way of neither replication nor of the node's end."""
import base64

from harness import ClusterTestCase, Connection, Node, main


def basic(pair: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


class Password(ClusterTestCase):
    def test_rest_wants_it_as_resp_does(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader = cluster.leader()
        self.assertEqual(leader.http("GET", "/keys").status, 200)
        client = leader.resp()
        client.execute("CONFIG", "SET", "requirepass", "open: sesame")

        for headers in ({}, basic("default:open"), basic("default:open: sesame!"), basic("root:open: sesame"),
                        basic("open: sesame"), {"Authorization": "Basic ???"}, {"Authorization": "Basic"},
                        {"Authorization": "Bearer open"}, {"Authorization": "open: sesame"}):
            refused = leader.http("POST", "/set", {"key": "a", "value": "b"}, headers=headers)
            self.assertEqual(refused.status, 401, headers)
            self.assertIn("Basic", refused.headers["www-authenticate"])
            self.assertEqual(refused.json()["code"], "NOAUTH")

        for headers in (basic("default:open: sesame"), {"Authorization": "Bearer open: sesame"},
                        {"Authorization": "bEARER open: sesame"}):
            self.assertEqual(leader.http("POST", "/set", {"key": "a", "value": "b"}, headers=headers).status, 200)
        self.assert_refused_at_the_head(leader)
        for method, path, status in (("GET", "/health", 200), ("HEAD", "/health", 200), ("GET", "/health?x=y", 200),
                                     ("GET", "/healthy", 401), ("GET", "/cluster", 401), ("OPTIONS", "*", 401)):
            self.assertEqual(leader.http(method, path).status, status, (method, path))
        client.execute("CONFIG", "SET", "requirepass", "")
        self.assertEqual(leader.http("GET", "/keys").status, 200)
        cluster.wait_replicated()
        self.assertEqual(cluster.followers()[0].get("a"), "b")

    def test_a_load_balancer_needs_none(self) -> None:
        """Started with the flag, a node is found healthy by one that does not know it."""
        node = self.make_cluster(groups=1, followers=0, requirepass="secret").leader().start().wait_healthy()
        self.assertEqual(node.http("GET", "/get?key=a").status, 401)

    def assert_refused_at_the_head(self, node: Node) -> None:
        """Nobody is asked for a body, or may leave one, whose head has no password."""
        head = b"POST /set?key=k HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
        for body in (b"Content-Length: 1000000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3b9aca00\r\n"):
            for expect in (b"Expect: 100-continue\r\n", b""):
                with self.subTest(body=body, expect=expect), Connection(node.api) as connection:
                    connection.send(head + expect + body + (b"" if expect else b"the beginning"))
                    answer = connection.read_until(b"\r\n\r\n")
                    self.assertTrue(answer.startswith(b"HTTP/1.1 401 "), answer)
                    self.assertIn(b"\r\nConnection: close", answer)
                    self.assertTrue(connection.is_closed())
        with Connection(node.api) as connection:
            connection.send(head + b"Authorization: Bearer open: sesame\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
            self.assertEqual(connection.read_until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue")
            connection.send(b"v")
            self.assertEqual(connection.read_until(b"\r\n"), b"HTTP/1.1 200 OK")


if __name__ == "__main__":
    main()
