#!/usr/bin/env python3
"""What everybody may send, and what nobody should: every byte through every door; too much, slow, many; garbage."""
import base64
import random
import resource
import select
import socket
import struct
import time
from typing import Callable, Optional
from urllib.parse import quote

from harness import (
    HOST, SANITIZE, TIMEOUT_S, ClusterTestCase, Connection, LineConnection, Node, http_request, main, wait_until,
)
from peers import pipeline_all

MEGABYTE = 1 << 20

AWKWARD = [
    b"plain", b"bar|bar", b"|", b"||1", b"line\nfeed", b"\n", b"carriage\r", b"\r\n", b"nul\0nul", b"\0",
    b"100%", b"%", b"%7C", b"%zz", b"\xff\xfe\x80", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x94\x91", "ключ 鍵 🔑".encode(),
    b"a b", b"+", b"&=?#/\\\"'", b"\x7f\x1b[0m", b"1", b"-1", b"REPLICATE|k|v|1", b"$5\r\nhello\r\n", bytes(range(256)),
]
EMPTY = b""


def pairs() -> dict[bytes, bytes]:
    """Every awkward text as a key and as a value, and two values that no buffer has in one piece."""
    shifted = AWKWARD[5:] + AWKWARD[:5]
    return {
        **dict(zip(AWKWARD, shifted)), EMPTY: b"of the empty key", b"empty": EMPTY,
        b"large": bytes(range(256)) * 1024, b"all the same": b"%" * 100_000,
    }


def as_json(data: bytes) -> object:
    """A string, or what the API takes and gives in its place."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    return {"base64": base64.b64encode(data).decode()} if "\0" in text else text


def from_json(value: object) -> bytes:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode()


def percent(data: bytes) -> bytes:
    return b"".join(b"%%%02X" % byte if byte in b"%|\n\r\0" else bytes([byte]) for byte in data)


def get_path(key: bytes) -> str:
    return "/get?key=" + quote(key, safe="")


class EveryByteThroughEveryDoor(ClusterTestCase):
    def assert_holds(self, node: Node, wanted: dict[bytes, bytes]) -> None:
        """Read over RESP, over REST as JSON and raw, and listed by both."""
        with node.resp() as client:
            for key, value in wanted.items():
                self.assertEqual(client.execute("GET", key), value, (node, key))
            self.assertEqual(sorted(client.execute("KEYS", "*")), sorted(wanted))
        for key, value in wanted.items():
            answer = node.http("GET", get_path(key))
            self.assertEqual(answer.status, 200, (node, key, answer))
            said = answer.json()
            self.assertEqual((from_json(said["key"]), from_json(said["value"])), (key, value), (node, key))
            raw = node.http("GET", get_path(key), headers={"Accept": "application/octet-stream"})
            self.assertEqual((raw.status, raw.body), (200, value), (node, key))
        listed = node.http("GET", "/keys").json()["keys"]
        self.assertEqual(sorted(from_json(key) for key in listed), sorted(wanted), node)

    def through(self, write: Callable[[Node, bytes, bytes], None]) -> None:
        """Written to the leader: equal there, on a follower by the stream, on one that comes later by the state."""
        cluster = self.start_cluster(groups=1, followers=1)
        wanted = pairs()
        for key, value in wanted.items():
            write(cluster.leader(), key, value)
        late = cluster.add_node()
        late.start().wait_healthy()
        cluster.wait_same_data()
        for node in cluster.nodes:
            self.assert_holds(node, wanted)

        # And back from a follower, when the leader has lost everything.
        before = cluster.leader().digest()
        cluster.leader().kill()
        cluster.leader().start().wait_healthy()
        self.assertEqual(cluster.leader().digest(), before)

        # Deleted through the other door.
        for key in wanted:
            answer = cluster.leader().http("DELETE", "/delete?key=" + quote(key, safe=""))
            self.assertEqual((answer.status, from_json(answer.json()["key"])), (200, key))
        cluster.wait_same_data()
        for node in cluster.nodes:
            wait_until(lambda: node.execute("DBSIZE") == 0, what=f"{node.name} has deleted all")

    def test_resp(self) -> None:
        def write(node: Node, key: bytes, value: bytes) -> None:
            self.assertEqual(node.execute("SET", key, value), "OK")

        self.through(write)

    def test_rest_json(self) -> None:
        def write(node: Node, key: bytes, value: bytes) -> None:
            answer = node.http("POST", "/set", {"key": as_json(key), "value": as_json(value)})
            self.assertEqual(answer.status, 200, (key, answer))
            self.assertEqual(from_json(answer.json()["key"]), key)

        self.through(write)

    def test_rest_json_all_base64(self) -> None:
        def write(node: Node, key: bytes, value: bytes) -> None:
            key_text, value_text = base64.b64encode(key).decode(), base64.b64encode(value).decode()
            answer = node.http("POST", "/set", {"key": {"base64": key_text}, "value": {"base64": value_text}})
            self.assertEqual(answer.status, 200, (key, answer))

        self.through(write)

    def test_rest_raw(self) -> None:
        def write(node: Node, key: bytes, value: bytes) -> None:
            path = "/set?key=" + quote(key, safe="")
            answer = node.http("POST", path, value, headers={"Content-Type": "application/octet-stream"})
            self.assertEqual(answer.status, 200, (key, answer))

        self.through(write)

    def test_replication_lines(self) -> None:
        """Bare lines to a follower without a leader: plain where the plain form can say it, else X; then all in X."""
        cluster = self.make_cluster(groups=1, followers=1)
        follower = cluster.followers()[0].start().wait_listening()
        wanted = pairs()
        with LineConnection(follower.port) as peer:
            for key, value in wanted.items():
                # The form that kvnode itself would write.
                if any(byte in key for byte in b"|\n\r\0") or any(byte in value for byte in b"\n\r\0"):
                    peer.send_line(b"REPLICATEX|%s|%s|1|1700000000000|0" % (percent(key), percent(value)))
                else:
                    peer.send_line(b"REPLICATE|%s|%s|1" % (key, value))
            follower.wait_healthy()  # it had nothing before
            wait_until(lambda: follower.execute("DBSIZE") == len(wanted), what="all lines")
            self.assert_holds(follower, wanted)
            for key, value in wanted.items():
                escaped = b"".join(b"%%%02x" % byte for byte in key)  # every byte, in lower case
                peer.send_line(b"REPLICATEX|%s|%s|2|1700000000000|0" % (escaped, percent(value + b"!")))
            peer.send_line("WHO")
            peer.read_line()
            self.assert_holds(follower, {key: value + b"!" for key, value in wanted.items()})


class TooMuch(ClusterTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.start_cluster(groups=1, followers=0).leader()
        self.node.set("key", "value")
        self.before = self.node.resident_bytes()

    def tearDown(self) -> None:
        self.assertEqual(self.node.get("key"), "value")
        super().tearDown()

    def assert_small(self, limit: int = 8 * MEGABYTE) -> None:
        if not SANITIZE:
            self.assertLess(self.node.resident_bytes() - self.before, limit)

    def test_resp_lengths_over_the_limits_are_protocol_errors(self) -> None:
        for sent, reason in (
            (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870913\r\n", "invalid bulk length"),
            (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$-5\r\n", "invalid bulk length"),
            (b"*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n", "invalid bulk length"),
            (b"*1048577\r\n", "invalid multibulk length"),
            (b"*99999999999999999999\r\n", "invalid multibulk length"),
            (b"*1\r\n!", "expected '$', got '!'"),
            (b"*1\r\n$" + b"1" * 70000, "too big bulk count string"),
            (b"*" + b"1" * 70000, "too big mbulk count string"),
            (b"GET " + b"k" * 70000, "too big inline request"),
            (b"GET \"unbalanced\r\n", "unbalanced quotes in request"),
        ):
            with self.subTest(sent=sent[:50]), self.node.resp() as client:
                errors = self.node.count("protocol_errors")
                client.send(sent)
                self.assertEqual(str(client.read_reply()), f"ERR Protocol error: {reason}")
                self.assertTrue(client.is_closed())
                self.assertEqual(self.node.count("protocol_errors"), errors + 1)
        self.assert_small()

    def test_what_is_only_claimed_takes_no_memory(self) -> None:
        clients = [self.node.resp() for _ in range(50)]
        for client in clients:
            self.addCleanup(client.close)
            client.send(b"*1048576\r\n$3\r\nSET\r\n$536870912\r\nonly the beginning" + b"x" * 10_000)
        others = [Connection(self.node.api) for _ in range(50)]
        for other in others:
            self.addCleanup(other.close)
            other.send(b"POST /set?key=k HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n")
            other.send(b"Content-Length: 536870912\r\n\r\nonly the beginning")
        wait_until(lambda: self.node.count("total_net_input_bytes") > 50 * 10_200, what="all of it has been read")
        for client in clients:  # and what comes behind a beginning
            client.send(b"x" * 10_000)
        wait_until(lambda: self.node.count("total_net_input_bytes") > 50 * 20_200, what="all of it has been read")
        self.assert_small(32 * MEGABYTE)
        self.assertEqual(self.node.execute("GET", "key"), b"value")

    def test_http_over_the_limits(self) -> None:
        head = b"Host: localhost\r\n"
        post = b"POST /set HTTP/1.1\r\nContent-Type: application/json\r\n" + head
        for sent, status in (
            (post + b"Content-Length: 2147483648\r\n\r\n", 413),
            (post + b"Content-Length: 18446744073709551615\r\n\r\n", 413),
            (post + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
            (post + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", 400),
            (b"POST /set?key=k HTTP/1.1\r\n" + head + b"Content-Length: 1073741825\r\n\r\n", 413),
            (b"GET /get?key=" + b"k" * 70000 + b" HTTP/1.1\r\n" + head + b"\r\n", 414),
            (b"GET / HTTP/1.1\r\n" + head + b"X: " + b"x" * 70000 + b"\r\n\r\n", 431),
            (b"GET / HTTP/1.1\r\n" + head + b"X: y\r\n" * 20000 + b"\r\n", 431),
        ):
            with self.subTest(sent=sent[:60], status=status), Connection(self.node.api) as client:
                client.send(sent)
                self.assertEqual(client.read_until(b"\r\n").split(b" ")[1], b"%d" % status)
                self.assertTrue(client.is_closed())
        self.assert_small()

    def test_a_key_over_64_mb_is_refused_through_both_doors(self) -> None:
        key = b"k" * (64 * MEGABYTE + 1)
        with self.node.resp() as client:
            (refused,) = client.pipeline([("SET", key, "v")])
            self.assertEqual(str(refused), "ERR key exceeds maximum allowed size (64MB)")
            self.assertEqual(client.execute("SET", key[:-1], "v"), "OK")
            self.assertEqual(client.execute("DEL", key[:-1]), 1)
        answer = self.node.http("POST", "/set", {"key": key.decode(), "value": "v"})
        self.assertEqual(answer.status, 413)
        if not SANITIZE:
            wait_until(lambda: self.node.resident_bytes() - self.before < 100 * MEGABYTE, what="memory is given back")

    def test_ten_megabytes_are_fine(self) -> None:
        value = random.randbytes(10 * MEGABYTE)
        with self.node.resp() as client:
            self.assertEqual(client.execute("SET", "large", value), "OK")
            self.assertEqual(client.execute("GET", "large"), value)
        raw = {"Accept": "application/octet-stream"}
        answer = self.node.http("GET", "/get?key=large", headers=raw)
        self.assertEqual(answer.body, value)


class TooSlow(ClusterTestCase):
    def test_half_sent_http_is_closed_after_10_s_and_a_resp_client_may_idle(self) -> None:
        node = self.start_cluster(groups=1, followers=0).leader()
        head = b"POST /set?key=k HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
        began = time.monotonic()
        half = {
            "a method": b"PO", "a header": head + b"X-Slow: ", "no end of the head": head,
            "half a body": head + b"Content-Length: 100\r\n\r\n0123456789",
            "half a chunk": head + b"Transfer-Encoding: chunked\r\n\r\n64\r\n0123456789",
        }
        slow: dict[str, Connection] = {}
        for name, sent in half.items():
            slow[name] = Connection(node.api)
            slow[name].send(sent)
        trickle = slow["trickle"] = Connection(node.api)
        trickle.send(head)
        silent, patient = Connection(node.api), node.resp()
        for connection in (*slow.values(), silent, patient):
            self.addCleanup(connection.close)
        patient.send(b"*3\r\n$3\r\nSET\r\n$4\r\nslow\r\n$7\r\npat")

        while time.monotonic() - began < 8:
            time.sleep(0.5)
            trickle.send(b"X")  # a byte now and then buys no time
            readable = select.select([connection.sock for connection in slow.values()], [], [], 0)[0]
            if time.monotonic() - began < 9.9:
                self.assertEqual(readable, [], "too early")
        for name, connection in slow.items():
            with self.subTest(half=name):
                self.assertEqual(connection.read_until(b"\r\n"), b"HTTP/1.1 408 Request Timeout")
                self.assertTrue(connection.is_closed())

        patient.send(b"ient\r\n")
        self.assertEqual(patient.read_reply(), "OK")
        silent.send(b"GET /get?key=slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.assertEqual(silent.read_until(b"\r\n"), b"HTTP/1.1 200 OK")
        self.assertEqual(node.get("slow"), "patient")

    def test_a_client_that_does_not_read_its_replies_is_not_fed_for_ever(self) -> None:
        node = self.start_cluster(groups=1, followers=0).leader()
        node.execute("SET", "large", b"x" * MEGABYTE)
        before = node.resident_bytes()
        command = b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n"
        greedy = [node.resp() for _ in range(4)]
        for client in greedy:
            self.addCleanup(client.close)
            client.send(command * 2000)  # 2 GB of replies each, and nobody reads
        until = time.monotonic() + 2
        while time.monotonic() < until:
            if not SANITIZE:
                self.assertLess(node.resident_bytes() - before, 100 * MEGABYTE)
            self.assertEqual(node.execute("PING"), "PONG")
        for _ in range(100):
            self.assertEqual(len(greedy[0].read_reply()), MEGABYTE, "once it reads, it gets them all")


class TooMany(ClusterTestCase):
    REFUSAL = b"-ERR max number of clients reached\r\n"

    def start(self, descriptors: Optional[int] = None, **flags: object) -> Node:
        cluster = self.make_cluster(groups=1, followers=0, **flags)
        node = cluster.leader()
        if descriptors is not None:
            node.before_exec = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        cluster.start()
        return node

    def connect(self, port: int, count: int) -> list[socket.socket]:
        connections = []
        for _ in range(count):
            connections.append(socket.create_connection((HOST, port), TIMEOUT_S))
            self.addCleanup(connections[-1].close)
        return connections

    def answers(self, connection: socket.socket) -> bytes:
        """What it says to a PING, or said without being asked."""
        try:
            connection.sendall(b"PING\r\n")
        except ConnectionError:
            pass
        try:
            return connection.recv(100)
        except ConnectionError:
            return b""

    def clients_told_to(self, connection: socket.socket) -> int:
        """The number of clients, asked on a connection that stays: one more would take a place that is counted."""
        connection.sendall(b"INFO clients\r\n")
        return int(connection.recv(4096).split(b"connected_clients:")[1].split()[0])

    def test_over_max_clients_each_is_refused_with_a_text(self) -> None:
        node = self.start(max_clients=50)
        served = self.connect(node.redis, 1)
        wait_until(lambda: self.clients_told_to(served[0]) == 1, what="nobody but the one who asks")
        served += self.connect(node.redis, 49)
        for connection in served:
            self.assertEqual(self.answers(connection), b"+PONG\r\n")
        for connection in self.connect(node.redis, 30):
            self.assertEqual(connection.recv(100), self.REFUSAL)
            self.assertEqual(connection.recv(100), b"")
        for _ in range(10):
            answer = http_request(node.api, "GET", "/health")
            self.assertEqual((answer.status, answer.headers["content-type"]), (503, "application/problem+json"))
            self.assertEqual(answer.json()["detail"], "max number of clients reached")
            self.assertIn("retry-after", answer.headers)
        for connection in served:
            self.assertEqual(self.answers(connection), b"+PONG\r\n", "who is in stays in")

        served[0].close()
        wait_until(lambda: self.answers(self.connect(node.redis, 1)[0]) == b"+PONG\r\n", what="one place is free")
        for connection in served[1:]:
            connection.close()
        wait_until(lambda: node.http("GET", "/health").status == 200, what="all places are free")
        self.assertGreaterEqual(node.count("rejected_connections"), 40)

    def test_at_the_descriptor_limit(self) -> None:
        """1500 descriptors: clients get half of them; peers that say nothing make room for those that come."""
        node = self.start(descriptors=1500)
        self.assertIn("event=descriptor-limit", node.log())
        clients = self.connect(node.redis, 900)
        replies = [self.answers(connection) for connection in clients]
        served = [connection for connection, reply in zip(clients, replies) if reply == b"+PONG\r\n"]
        self.assertEqual(set(replies), {b"+PONG\r\n", self.REFUSAL})
        self.assertEqual(len(served), 750)

        # More of them than there are descriptors: the last one is answered, the first ones are gone.
        peers = self.connect(node.port, 1000)
        peers[-1].sendall(b"WHO\n")
        self.assertTrue(peers[-1].recv(100).startswith(b"ANNOUNCE|"))
        self.assertEqual(peers[0].recv(100), b"")
        self.assertIn("event=peer-dropped ", node.log())
        for connection in served:
            self.assertEqual(self.answers(connection), b"+PONG\r\n")

        for connection in clients + peers:
            connection.close()
        node.wait_healthy()
        self.assertEqual(self.answers(self.connect(node.redis, 1)[0]), b"+PONG\r\n")
        wait_until(lambda: node.open_files() < 50, what="all descriptors are free")

    def test_ten_thousand_clients(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 11500:
            self.skipTest(f"the hard limit of descriptors is {hard}: 10,000 clients need 11,500")
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        node = self.start()
        wait_until(lambda: node.count("connected_clients") == 1, what="nobody but the one who asks")
        before = node.resident_bytes()
        clients = self.connect(node.redis, 10_000)
        for connection in clients:
            connection.sendall(b"PING\r\n")
        for connection in clients:
            self.assertEqual(connection.recv(100), b"+PONG\r\n")
        if not SANITIZE:
            self.assertLess(node.resident_bytes() - before, 10_000 * 1024, "1 KB a client at most")
        (late,) = self.connect(node.redis, 1)
        self.assertEqual(late.recv(100), self.REFUSAL)
        self.assertEqual(http_request(node.api, "GET", "/health").status, 503)
        for connection in clients:
            connection.close()
        node.wait_healthy()
        self.assertEqual(node.execute("PING"), "PONG")


TLS_HELLO = bytes.fromhex(
    "16030100c4010000c00303000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
    "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000813021303130100ff0100006f"
) + bytes(111)


class Garbage(ClusterTestCase):
    ROUNDS = 40 if SANITIZE else 150

    def samples(self) -> list[bytes]:
        http = b"GET /get?key=k HTTP/1.1\r\nHost: localhost\r\n\r\n"
        resp = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
        line = b"REPLICATE|k|v|1\n"
        post = b"POST /set HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n{\"ke"
        whole = random.choice((http, post, resp, line, TLS_HELLO))
        torn = bytearray(whole * 3)
        for _ in range(random.randrange(1, 5)):
            torn[random.randrange(len(torn))] = random.randrange(256)
        return [
            random.randbytes(random.randrange(1, 5000)), random.randbytes(200) + b"\n", bytes(torn),
            whole[: random.randrange(len(whole))], TLS_HELLO, http, resp, line, b"", b"\0" * 1000, b"\n" * 100,
            b"\r\n\r\n", b"*-1\r\n*0\r\n\r\n", b"|" * 500 + b"\n",
        ]

    def throw(self, port: int, sample: bytes) -> None:
        """Sends it, and ends the connection in one of the ways in which connections end."""
        connection = socket.create_connection((HOST, port), TIMEOUT_S)
        end = random.randrange(4)
        try:
            connection.sendall(sample)
            if end == 0:  # half-open: it still reads
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(0.02)
                while connection.recv(1 << 16):
                    pass
            elif end == 1:  # a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        connection.close()

    def test_on_every_port(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader = cluster.leader()
        with leader.resp() as client:
            pipeline_all(client, [("SET", f"key{i}", "value") for i in range(1000)])
        before = cluster.wait_same_data()
        files = {node: node.open_files() for node in cluster.nodes}
        errors = {node: node.count("protocol_errors") for node in cluster.nodes}
        resident: dict[Node, int] = {}
        for round_number in range(self.ROUNDS):
            for node in cluster.nodes:
                for port in (node.port, node.api, node.redis):
                    self.throw(port, random.choice(self.samples()))
            if round_number == self.ROUNDS // 3:  # by then buffers have grown to what they need
                resident = {node: node.resident_bytes() for node in cluster.nodes}
        for node in cluster.nodes:
            node.wait_healthy()
            wait_until(lambda: node.open_files() <= files[node] + 2, what=f"{node.name} has closed them all")
            self.assertGreater(node.count("protocol_errors"), errors[node])
            self.assertGreater(node.count("lines_unknown") + node.count("lines_malformed"), 0)
            if not SANITIZE:
                self.assertLess(node.resident_bytes() - resident[node], 4 * MEGABYTE, node)
        self.assertEqual(cluster.wait_same_data(), before, "nothing was written")
        self.assertEqual(cluster.followers()[0].info()["master_link_status"], "up")

    def test_each_front_end_says_so_in_its_own_words(self) -> None:
        node = self.start_cluster(groups=1, followers=0).leader()
        with Connection(node.api) as client:  # RESP on the HTTP port
            client.send(b"*1\r\n$4\r\nPING\r\n")
            self.assertEqual(client.read_until(b"\r\n"), b"HTTP/1.1 400 Bad Request")
            self.assertTrue(client.is_closed())
        with Connection(node.api) as client:
            client.send(TLS_HELLO)
            self.assertEqual(client.read_until(b"\r\n"), b"HTTP/1.1 400 Bad Request")
            self.assertTrue(client.is_closed())
        with Connection(node.redis) as client:  # HTTP on the RESP port: a browser that was talked into it
            client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nSET key from-a-page\r\n")
            self.assertTrue(client.is_closed())
        with Connection(node.redis) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nSET key from-a-page\r\n")
            self.assertTrue(client.is_closed())
        self.assertIsNone(node.get("key"))

    def test_on_the_discovery_port(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        before = {node: node.info() for node in cluster.nodes}
        known = cluster.leader().known_nodes()
        sent = 0
        words = b"ANNOUNCE ENDPOINTS WHO LEAVE | a1b2c3d4 127.0.0.1 8000 0 65536 true -1".split() + [b"\n", b"\0", b""]
        with cluster.discovery() as peer:
            received = {node: node.count("datagrams_received") for node in cluster.nodes}
            for i in range(2000):
                kind = random.randrange(3)
                if kind == 0:
                    peer.send(random.randbytes(random.randrange(1, 2000)))
                elif kind == 1:
                    peer.send(b"X" + b"|".join(random.choices(words, k=random.randrange(1, 9))))
                else:
                    peer.send(b"ANNOUNCE|" + b"|".join(random.choices(words, k=random.randrange(5, 9))) + b"|")
                sent += 1
                if i % 20 == 19:  # no more than a socket's buffer holds
                    for node in cluster.nodes:
                        read = lambda: node.count("datagrams_received") - received[node]
                        wait_until(lambda: read() > i, what="they are read")
            peer.send("ANNOUNCE|good|127.0.0.1|19998|0|false")
            for node in cluster.nodes:
                wait_until(lambda: 19998 in node.known_nodes(), what="the good one behind them")
        for node in cluster.nodes:
            info, names = node.info(), ("datagrams_malformed", "datagrams_unknown")
            counted = sum(int(info[name]) - int(before[node][name]) for name in names)
            self.assertGreater(counted, sent // 2)
            self.assertEqual(node.known_nodes(), known | {19998})


if __name__ == "__main__":
    main()
