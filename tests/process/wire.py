"""wire.py: what the process tests speak with nodes: RESP, HTTP, replication lines, discovery datagrams.

Small clients on plain sockets, so that a test sees the very bytes. Every one has a time limit and is a context
manager. Nothing here knows how a node is started; that is harness.py.
"""
from __future__ import annotations

import http.client
import json
import select
import socket
import time
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Optional, TypeVar, Union
from urllib.parse import quote

HOST = "127.0.0.1"
BROADCAST = "127.255.255.255"
# What is waited for comes at once, and on a busy machine, under sanitizers, after this at the latest: no test passes or fails
# by how long it took. Longer than the node's own time-outs of 5 s and 10 s.
TIMEOUT_S = 60.0

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = TIMEOUT_S, what: str = "") -> T:
    """Returns the first true value of condition; AssertionError (naming `what`) when the seconds are over.

    A condition that cannot be asked yet (nobody listens, nobody answers, the connection ends) counts as false."""
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            last = value = condition()
            if value:
                return value
        except (OSError, EOFError, http.client.HTTPException) as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or condition} (last: {last!r})")
        time.sleep(0.01)


class Connection:
    """A TCP connection with a read buffer and a time limit for every read."""

    def __init__(self, port: int, host: str = HOST, timeout: float = TIMEOUT_S, sock: Optional[socket.socket] = None):
        self.sock = sock or socket.create_connection((host, port), timeout)
        self.sock.settimeout(timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _fill(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError(f"closed by the peer; unread: {bytes(self._buffer[:200])!r}")
        self._buffer += data

    def read_until(self, end: bytes) -> bytes:
        """What comes before `end`; `end` itself is consumed."""
        start = 0
        while (at := self._buffer.find(end, start)) < 0:
            start = max(0, len(self._buffer) - len(end))
            self._fill()
        data = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return data

    def read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def is_closed(self, timeout: float = TIMEOUT_S) -> bool:
        """Whether the peer closes the connection within the seconds; unread data is thrown away."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.sock], [], [], left)[0]:
                break
            try:
                if not self.sock.recv(1 << 16):
                    return True
            except ConnectionError:
                return True
        return False


# --- RESP ----------------------------------------------------------------------------------------------------------

Argument = Union[bytes, str, int, float]


class RespError(Exception):
    """An error reply. `code` is its first word: MOVED, ERR, ..."""

    def __init__(self, text: str):
        super().__init__(text)
        self.code = text.split(" ", 1)[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RespError) and str(self) == str(other)

    __hash__ = Exception.__hash__


class SimpleString(str):
    """A `+OK` reply, which a bulk string is never equal to by accident: bulk strings are bytes."""


def encode_command(*args: Argument) -> bytes:
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


class RespClient(Connection):
    """A Redis client. Bulk strings are bytes, simple strings SimpleString, errors RespError, RESP3 types Python's."""

    def execute(self, *args: Argument) -> Any:
        """Sends one command and returns its reply; raises an error reply."""
        self.send(encode_command(*args))
        reply = self.read_reply()
        if isinstance(reply, RespError):
            raise reply
        return reply

    def pipeline(self, commands: Iterable[Iterable[Argument]]) -> list[Any]:
        """Sends all at once; error replies are values in the list. For as much as fits into the sockets' buffers."""
        encoded = [encode_command(*command) for command in commands]
        self.send(b"".join(encoded))
        return [self.read_reply() for _ in encoded]

    def read_reply(self) -> Any:
        line = self.read_until(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind in (b"+", b"-", b"(", b":", b",", b"#", b"_"):
            return self._scalar(kind, rest)
        size = int(rest)
        if kind in (b"$", b"=", b"!"):
            if size < 0:
                return None
            data = self.read_exactly(size)
            if self.read_exactly(2) != b"\r\n":
                raise ValueError("a bulk string without CRLF behind it")
            return RespError(data.decode()) if kind == b"!" else data[4:] if kind == b"=" else data
        if kind in (b"*", b">"):
            return None if size < 0 else [self.read_reply() for _ in range(size)]
        if kind == b"~":
            return {self.read_reply() for _ in range(size)}
        if kind == b"%":
            return {self.read_reply(): self.read_reply() for _ in range(size)}
        raise ValueError(f"no RESP type: {line!r}")

    @staticmethod
    def _scalar(kind: bytes, text: bytes) -> Any:
        if kind == b"+":
            return SimpleString(text.decode())
        if kind == b"-":
            return RespError(text.decode())
        if kind == b",":
            return float(text)
        if kind == b"#":
            return {b"t": True, b"f": False}[text]
        if kind == b"_":
            return None
        return int(text)

    def info(self) -> dict[str, str]:
        """INFO as a dictionary over all sections."""
        lines = self.execute("INFO").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


# --- HTTP ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def http_request(
    port: int,
    method: str,
    path: str,
    body: Union[bytes, str, dict, None] = None,
    headers: Optional[dict[str, str]] = None,
    timeout: float = TIMEOUT_S,
) -> Response:
    """One request on a connection of its own; a dictionary is sent as JSON. Redirects are not followed."""
    headers = dict(headers or {})
    if isinstance(body, dict):
        headers.setdefault("Content-Type", "application/json")
        body = json.dumps(body)
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def http_get_key(port: int, key: Union[str, bytes]) -> Response:
    return http_request(port, "GET", "/get?key=" + quote(key, safe=""))


def http_set_key(port: int, key: str, value: str) -> Response:
    return http_request(port, "POST", "/set", {"key": key, "value": value})


# --- replication lines ---------------------------------------------------------------------------------------------


class LineConnection(Connection):
    """Lines over TCP: with a port a fake leader that dials a node; accepted by LineServer a fake follower."""

    def send_line(self, line: Union[bytes, str]) -> None:
        self.send((line.encode() if isinstance(line, str) else line) + b"\n")

    def read_line(self) -> bytes:
        return self.read_until(b"\n")

    def read_lines_until(self, last: Callable[[bytes], bool]) -> list[bytes]:
        """All lines up to and with the first for which `last` is true."""
        lines = [self.read_line()]
        while not last(lines[-1]):
            lines.append(self.read_line())
        return lines


class LineServer:
    """Listens as a follower would, and hands out the connections of the leaders that dial it."""

    def __init__(self, port: int):
        self.port = port
        self._listener = socket.create_server((HOST, port), backlog=16)

    def __enter__(self) -> "LineServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._listener.close()

    def accept(self, timeout: float = TIMEOUT_S) -> LineConnection:
        """The seconds are those until somebody dials; what he says has TIMEOUT_S."""
        self._listener.settimeout(timeout)
        sock, _ = self._listener.accept()
        return LineConnection(self.port, sock=sock)


# --- discovery -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Datagram:
    at: float  # time.monotonic() when it was read
    data: bytes


class DiscoverySocket:
    """Hears what is broadcast on a cluster's discovery port, and broadcasts to it."""

    def __init__(self, port: int):
        self.port = port
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((BROADCAST, port))
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._sender.bind((HOST, 0))

    def __enter__(self) -> "DiscoverySocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._listener.close()
        self._sender.close()

    def send(self, data: Union[bytes, str]) -> None:
        self._sender.sendto(data.encode() if isinstance(data, str) else data, (BROADCAST, self.port))

    def receive(self, timeout: float = TIMEOUT_S) -> Optional[Datagram]:
        """The next datagram, or None when the seconds are over."""
        self._listener.settimeout(max(timeout, 0.001))
        try:
            data = self._listener.recv(1 << 16)
        except TimeoutError:
            return None
        return Datagram(time.monotonic(), data)

    def wait_for(self, start: bytes, timeout: float = TIMEOUT_S) -> Datagram:
        """The next datagram that begins with `start`; others are passed over."""
        deadline = time.monotonic() + timeout
        while (datagram := self.receive(deadline - time.monotonic())) is not None:
            if datagram.data.startswith(start):
                return datagram
            if time.monotonic() >= deadline:
                break
        raise AssertionError(f"no datagram {start!r} within {timeout:g} s")

    def drain(self) -> list[Datagram]:
        """Everything that has already arrived."""
        found = []
        while (datagram := self.receive(0)) is not None:
            found.append(datagram)
        return found
