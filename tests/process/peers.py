"""peers.py: nodes that a test plays itself, line by line; and slots and ring, computed without kvnode's code.

    with FakeFollower(cluster) as fake:
        fake.announce()                      # as the specification has it: no ENDPOINTS, no WHO
        link = fake.accept()                 # the group's leader dials
        link.read_line()                     # b"LEAD|..."

A fake leader is a LineConnection to a follower's port; lead() says LEAD for it, and has a FakeNode answer WHO, without
which it is not believed.
"""
from __future__ import annotations

import binascii
import bisect
import hashlib
import re
import socket
import threading
import time
from datetime import datetime
from typing import Iterable, Optional, Sequence, Union

from harness import (
    HOST, TIMEOUT_S, Cluster, DiscoverySocket, LineConnection, LineServer, Node, RespClient, free_port, wait_until,
)

SLOTS = 16384
VIRTUAL_NODES = 150

LEAD = re.compile(rb"^LEAD\|([A-Za-z0-9_-]{1,40})\|(\d+)\|([0-9a-f]{16})\|(\d+)$")
CLOCK = re.compile(rb"^CLOCK\|\d+$")


class FakeFollower:
    """A follower of a group that a test plays. With endpoints it is no spec-only peer: it is waited for."""

    def __init__(self, cluster: Cluster, node_id: str = "fake0001", group: int = 0, endpoints: bool = False):
        self.node_id = node_id
        self.group = group
        self.endpoints = endpoints
        self.port = free_port()
        self._server = LineServer(self.port)
        self._discovery = cluster.discovery()

    def __enter__(self) -> "FakeFollower":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.close()
        self._discovery.close()

    def announce(self) -> None:
        self._discovery.send(f"ANNOUNCE|{self.node_id}|{HOST}|{self.port}|{self.group}|false")
        if self.endpoints:
            self._discovery.send(f"ENDPOINTS|{self.node_id}|1|1")

    def accept(self, timeout: float = TIMEOUT_S) -> LineConnection:
        return self._server.accept(timeout)

    def accept_and_sync(self, history: Union[bytes, str] = b"-", index: int = 0) -> tuple[LineConnection, bytes, int]:
        """Takes the leader's call, and answers its LEAD with SYNC; returns the link, the history's id and its index."""
        link = self.accept()
        said = LEAD.match(link.read_line())
        assert said is not None, "LEAD comes first"
        text = history.decode() if isinstance(history, bytes) else history
        link.send_line(f"SYNC|{self.node_id}|{text}|{index}")
        return link, said[3], int(said[4])


class FakeNode:
    """A node that announces itself and answers WHO on its port, as long as it is open; no more."""

    def __init__(self, discovery_port: int, node_id: str, group: int = 0, leader: bool = False):
        self.node_id = node_id
        self.port = free_port()
        self.facts = f"ANNOUNCE|{node_id}|{HOST}|{self.port}|{group}|{str(leader).lower()}"
        self.asked = 0  # how often WHO was
        self._discovery = DiscoverySocket(discovery_port)
        self._server = LineServer(self.port)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def __enter__(self) -> "FakeNode":
        self.announce()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def announce(self) -> None:
        self._discovery.send(self.facts)

    def leave(self) -> None:
        self._discovery.send(f"LEAVE|{self.node_id}")

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._server.close()
        self._discovery.close()

    def _answer(self) -> None:
        while not self._stop.is_set():
            try:
                with self._server.accept(0.02) as link:
                    if link.read_line() == b"WHO":
                        self.asked += 1
                        link.send_line(self.facts)
            except (OSError, EOFError):
                continue  # nobody, or one who does not ask


class FakeStarter:
    """The leader of a group that starts, and never gets so far that it serves: it answers WHO."""

    def __init__(self, cluster: Cluster, group: int):
        self.port = free_port()
        self._said = [f"ANNOUNCE|starter|{HOST}|{self.port}|{group}|true", "ENDPOINTS|starter|1|1|false|0"]
        self._server = LineServer(self.port)
        self._discovery = cluster.discovery()

    def __enter__(self) -> "FakeStarter":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self._discovery.close()

    def announce(self) -> None:
        """Says who it is, and answers the node that asks."""
        for datagram in self._said:
            self._discovery.send(datagram)
        with self._server.accept() as link:
            assert link.read_line() == b"WHO"
            for line in self._said:
                link.send_line(line)

    def leave(self) -> None:
        self._discovery.send("LEAVE|starter")


class Relay:
    """Stands where a node says it is, and passes what comes on to where it is bound: at most `most` bytes (None: all) of each
    connection towards the node, then no more until release(): what is slow is so for as long as a test wants."""

    def __init__(self, port: int, to_port: int, most: Optional[int]):
        self.port = port
        self._to_port = to_port
        self._most = most
        self._released = threading.Event()
        self._listener = socket.create_server((HOST, port), backlog=16)
        self._sockets: list[socket.socket] = []
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._released.set()
        for sock in [self._listener, *self._sockets]:
            sock.close()

    def release(self) -> None:
        """From now on everything passes."""
        self._released.set()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection((HOST, self._to_port), timeout=TIMEOUT_S)
            except OSError:
                continue
            far.settimeout(None)
            self._sockets += [near, far]
            threading.Thread(target=self._pump, args=(near, far, self._most), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, None), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, most: Optional[int]) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
                if most is not None:
                    most -= len(data)
                    if most <= 0:
                        self._released.wait()
        except OSError:
            pass
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def lead(
    node: Node, history: str, index: int = 0, node_id: str = "fakelead", group: int = 0, known: bool = True
) -> tuple[LineConnection, bytes]:
    """A fake leader's link to a node, after its LEAD; returns it and what the node answered. Without known nobody has
    heard of it."""
    line = f"LEAD|{node_id}|{group}|{history}|{index}"
    return introduced(node, line, node_id, group, leader=True) if known else say_first(node, line)


def say_first(node: Node, line: str) -> tuple[LineConnection, bytes]:
    link = LineConnection(node.port)
    link.send_line(line)
    return link, link.read_line()


def introduced(node: Node, line: str, node_id: str, group: int = 0, leader: bool = False) -> tuple[LineConnection, bytes]:
    """The same, of a node that is known to this one, and answers WHO until the line is answered."""
    with FakeNode(int(node.flags["discovery_port"] or 0), node_id, group, leader) as fake:
        wait_until(lambda: fake.port in node.known_nodes(), what=f"{node_id} is known")
        return say_first(node, line)


def history_id(at_ms: Optional[int] = None, random: int = 0) -> str:
    """48 bits of creation time in ms and 16 random ones, in hex."""
    return f"{(time.time_ns() // 1_000_000 if at_ms is None else at_ms) << 16 | random:016x}"


def without_clock(lines: Iterable[bytes]) -> list[bytes]:
    """What a peer that does not know CLOCK, and ignores it, reads."""
    return [line for line in lines if not CLOCK.match(line)]


def unix_ms(timestamp: str) -> int:
    """Of the RFC 3339 that the REST API writes."""
    whole, ms = timestamp.removesuffix("Z").split(".")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * 1000 + int(ms)


# --- writing much --------------------------------------------------------------------------------------------------


def pipeline_all(client: RespClient, commands: Sequence[Sequence[Union[bytes, str, int]]], depth: int = 1000) -> None:
    """All commands, `depth` at a time; every one must succeed."""
    for start in range(0, len(commands), depth):
        for reply in client.pipeline(commands[start : start + depth]):
            assert not isinstance(reply, Exception), reply


def fill(node: Node, count: int, prefix: str = "key", value: str = "value of ") -> None:
    """count keys, written to one node that owns them all."""
    with node.resp() as client:
        pipeline_all(client, [("SET", f"{prefix}{i}", f"{value}{i}") for i in range(count)])


# --- slots and ring, computed a second time (DESIGN.md 6) ----------------------------------------------------------


def key_slot(key: Union[str, bytes]) -> int:
    """CRC16/XMODEM of the key, or of its hash tag, modulo 16384."""
    data = key.encode() if isinstance(key, str) else key
    tag = re.search(rb"\{(.*?)\}", data, re.DOTALL)
    return binascii.crc_hqx(tag[1] if tag and tag[1] else data, 0) % SLOTS


def ring_owners(groups: Iterable[int]) -> list[int]:
    """The group of each slot."""
    points = sorted(
        (int.from_bytes(hashlib.sha256(f"group:{group}:vnode:{i}".encode()).digest()[:8], "big"), group)
        for group in groups
        for i in range(VIRTUAL_NODES)
    )
    positions = [position for position, _ in points]
    return [points[bisect.bisect_left(positions, slot << 50) % len(points)][1] for slot in range(SLOTS)]


def slot_map(client: RespClient) -> list[Optional[int]]:
    """CLUSTER SLOTS as the RESP port of each slot's leader."""
    owners: list[Optional[int]] = [None] * SLOTS
    for first, last, leader, *_ in client.execute("CLUSTER", "SLOTS"):
        for slot in range(first, last + 1):
            assert owners[slot] is None, f"slot {slot} twice"
            owners[slot] = leader[1]
    return owners


def keys_of_all_slots() -> list[str]:
    """One key for each slot, in the order of the slots."""
    keys: dict[int, str] = {}
    number = 0
    while len(keys) < SLOTS:
        keys.setdefault(key_slot(f"k{number}"), f"k{number}")
        number += 1
    return [keys[slot] for slot in range(SLOTS)]
