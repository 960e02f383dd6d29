"""rest.py: HTTP by hand, and what the tests of the REST API share."""
from __future__ import annotations

import base64
from typing import Any, Iterator, Union

from harness import TIMEOUT_S, Cluster, ClusterTestCase, Connection, Node, Response


def json_text(data: bytes) -> Any:
    """Bytes as the API says them in JSON."""
    try:
        if b"\0" not in data:
            return data.decode()
    except UnicodeDecodeError:
        pass
    return {"base64": base64.b64encode(data).decode()}


class HttpConnection(Connection):
    """HTTP by hand: several requests on one connection, in the very bytes."""

    def read_response(self, head: bool = False) -> Response:
        lines = self.read_until(b"\r\n\r\n").split(b"\r\n")
        headers = {k.lower(): v.strip() for k, v in (line.decode().split(":", 1) for line in lines[1:])}
        status = int(lines[0].split()[1])
        if head or status in (100, 204, 304):
            return Response(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Response(status, headers, b"".join(self._chunks()))
        return Response(status, headers, self.read_exactly(int(headers["content-length"])))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.read_until(b"\r\n"), 16):
            yield self.read_exactly(size)
            assert self.read_exactly(2) == b"\r\n"
        assert self.read_until(b"\r\n") == b""

    def ask(self, text: Union[str, bytes], head: bool = False) -> Response:
        self.send(text.encode() if isinstance(text, str) else text)
        return self.read_response(head)


class RestTestCase(ClusterTestCase):
    def start_node(self, **flags: Any) -> Node:
        self.cluster: Cluster = self.start_cluster(groups=1, followers=0, **flags)
        return self.cluster.leader()

    def connect(self, node: Node, timeout: float = TIMEOUT_S) -> HttpConnection:
        connection = HttpConnection(node.api, timeout=timeout)
        self.addCleanup(connection.close)
        return connection

    def assert_problem(self, answer: Response, status: int, code: str) -> dict[str, Any]:
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        problem = answer.json()
        self.assertEqual((problem["status"], problem["code"]), (status, code), problem)
        self.assertTrue(problem["type"] and problem["title"] and problem["detail"], problem)
        return problem
