"""load.py: what drives the servers: redis-benchmark, wrk, and for what those cannot speak (memcached) or do (an exact
state, a steady rate) prepared bytes over plain sockets."""
from __future__ import annotations

import gc
import itertools
import multiprocessing
import random
import re
import selectors
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Optional

from servers import BACKLOG_MB, HOST, Server

CONNECTIONS = 50
RUN_LIMIT_S = 120
# Of what is prepared for a run: 400,000 requests and more, which is seldom less than it sends.
PREPARED_BYTES = 32 << 20
HERE = Path(__file__).resolve().parent


# A run must not find in the processor's caches what the last one has left there: each draws other keys.
_seeds = itertools.count(1)


@dataclass
class Run:
    """What a load saw. Latencies in ms; None where the tool does not tell."""

    requests: int
    seconds: float
    p50: Optional[float] = None
    p99: Optional[float] = None
    p999: Optional[float] = None


# --- redis-benchmark -----------------------------------------------------------------------------------------------

_THROUGHPUT = re.compile(r"throughput summary: ([\d.]+|inf) requests per second")
_LEAST_SECONDS = 1e-3  # it counts whole ms, and a run may take less than one: "inf requests per second"
_SUMMARY = re.compile(r"latency summary \(msec\):\s+avg\s+min\s+p50\s+p95\s+p99\s+max\s+((?:[\d.]+\s+){5}[\d.]+)")
_PERCENTILE = re.compile(r"^([\d.]+)% <= ([\d.]+) milliseconds", re.MULTILINE)


def benchmark_command(port: int, words: list[str], requests: int, pipeline: int, value_bytes: int, keys: int, connections: int) -> list[str]:
    return [
        "redis-benchmark", "-h", HOST, "-p", str(port), "-c", str(connections), "-n", str(requests), "-P", str(pipeline),
        "-d", str(value_bytes), "-r", str(keys), "--precision", "3", *words,
    ]


def parse_benchmark(output: str, requests: int) -> Run:
    throughput, summary = _THROUGHPUT.search(output), _SUMMARY.search(output)
    if throughput is None or summary is None or "Error from server" in output:
        raise RuntimeError(f"redis-benchmark says:\n{output[-2000:]}")
    _, _, p50, _, p99, _ = (float(number) for number in summary.group(1).split())
    # Its steps halve what is left: 99.805 %, 99.902 %, ...
    p999 = next((float(ms) for percent, ms in _PERCENTILE.findall(output) if float(percent) >= 99.9), None)
    return Run(requests, max(requests / float(throughput.group(1)), _LEAST_SECONDS), p50, p99, p999)


def redis_benchmark(port: int, words: list[str], requests: int, pipeline: int, value_bytes: int, keys: int) -> Run:
    command = benchmark_command(port, words, requests, pipeline, value_bytes, keys, CONNECTIONS)
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=True)
    return parse_benchmark(done.stdout + done.stderr, requests)


def redis_benchmark_mixed(port: int, requests: int, pipeline: int, value_bytes: int, keys: int) -> Run:
    """Four reads for a write, from two redis-benchmarks at a time. Each has its share of the connections, too, so that
    they end at about the same time. The latencies are the readers'."""
    shares = {"get": requests * 4 // 5, "set": requests // 5}
    processes = {
        test: subprocess.Popen(
            benchmark_command(port, ["-t", test], share, pipeline, value_bytes, keys, round(CONNECTIONS * share / requests)),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for test, share in shares.items()
    }
    runs = {}
    try:
        for test, process in processes.items():
            runs[test] = parse_benchmark(process.communicate(timeout=RUN_LIMIT_S)[0], shares[test])
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    reads = runs["get"]
    return Run(sum(shares.values()), max(run.seconds for run in runs.values()), reads.p50, reads.p99, reads.p999)


# --- wrk -----------------------------------------------------------------------------------------------------------

_WRK = re.compile(r"BENCH requests=(\d+) errors=(\d+) us=(\d+) p50=(\d+) p99=(\d+) p999=(\d+)")


def wrk(port: int, api: str, method: str, seconds: float, value_bytes: int, keys: int) -> Run:
    """api: kvnode or webdis; method: GET or POST. See http.lua."""
    command = [
        "wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{max(1, round(seconds))}s", "-s", str(HERE / "http.lua"),
        f"http://{HOST}:{port}", "--", api, method, str(value_bytes), str(keys), str(next(_seeds)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=True)
    found = _WRK.search(done.stdout)
    if found is None:
        raise RuntimeError(f"wrk says:\n{done.stdout}{done.stderr}")
    requests, errors, us, p50, p99, p999 = (int(number) for number in found.groups())
    if errors > 0:
        raise RuntimeError(f"wrk counts {errors} errors:\n{done.stdout}")
    return Run(requests, us / 1e6, p50 / 1e3, p99 / 1e3, p999 / 1e3)


# --- prepared bytes ------------------------------------------------------------------------------------------------


def resp(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


@dataclass(frozen=True)
class Dialect:
    """How a server is told to set and to get, and how long its answers are. (The values hold no more than bytes.)"""

    set: Callable[[bytes, bytes], bytes]
    get: Callable[[bytes], bytes]
    set_reply_bytes: int
    get_reply_bytes: Callable[[int, int], int]  # of a key of so many bytes and a value of so many


RESP = Dialect(
    set=lambda key, value: resp(b"SET", key, value),
    get=lambda key: resp(b"GET", key),
    set_reply_bytes=len(b"+OK\r\n"),
    get_reply_bytes=lambda key, value: len(b"$%d\r\n\r\n" % value) + value,
)
MEMCACHED = Dialect(
    set=lambda key, value: b"set %b 0 0 %d\r\n%b\r\n" % (key, len(value), value),
    get=lambda key: b"get %b\r\n" % key,
    set_reply_bytes=len(b"STORED\r\n"),
    get_reply_bytes=lambda key, value: len(b"VALUE  0 %d\r\n\r\nEND\r\n" % value) + key + value,
)


def dialect_of(server: Server) -> Dialect:
    return MEMCACHED if server.name == "memcached" else RESP


def benchmark_key(number: int) -> bytes:
    """redis-benchmark's own key:__rand_int__, 16 bytes."""
    return b"key:%012d" % number


def short_key(number: int) -> bytes:
    """15 bytes, as in the target for memory."""
    return b"key%012d" % number


def receive_exactly(sock: socket.socket, size: int) -> None:
    while size > 0:
        chunk = sock.recv(min(size, 1 << 18))
        if not chunk:
            raise ConnectionError("the server closed the connection")
        size -= len(chunk)


def fill(server: Server, keys: int, value_bytes: int, key: Callable[[int], bytes] = benchmark_key) -> float:
    """Writes every key once, in random order; returns the seconds it took. Fails unless all are there."""
    dialect, value = dialect_of(server), b"x" * value_bytes
    numbers = list(range(keys))
    random.Random(1).shuffle(numbers)
    batch = max(1, min(1000, (1 << 20) // max(value_bytes, 1)))
    started = time.monotonic()
    with socket.create_connection((HOST, server.port), timeout=RUN_LIMIT_S) as sock:
        for first in range(0, keys, batch):
            part = numbers[first:first + batch]
            sock.sendall(b"".join([dialect.set(key(number), value) for number in part]))
            receive_exactly(sock, dialect.set_reply_bytes * len(part))
    seconds = time.monotonic() - started
    if dialect is RESP:
        with server.client() as client:
            if client.execute("DBSIZE") != keys or client.execute("GET", key(keys // 2)) != value:
                raise RuntimeError(f"{server.name} does not hold what was written")
    server.wait_caught_up()
    return seconds


def fill_backlog(server: Server, value_bytes: int) -> None:
    """Once round: else the first runs would measure how long the system takes to give the memory for it."""
    redis_benchmark(server.port, ["-t", "set"], BACKLOG_MB * 20, 16, 64 << 10, 1)
    with server.client() as client:
        client.execute("SET", benchmark_key(0), b"x" * value_bytes)
    server.wait_caught_up()


class _RawConnection:
    def __init__(self, port: int):
        self.sock = socket.create_connection((HOST, port), timeout=RUN_LIMIT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.missing_bytes = 0
        self.sent_at = 0.0


def drive_raw(server: Server, operation: str, requests: int, pipeline: int, value_bytes: int, keys: int) -> Run:
    """GET or SET over short_key, every one a hit. The pieces are made beforehand: so much faster than the server that
    its price can be measured, though one Python thread is no measure of throughput. No piece is sent twice, unless they
    would take more than PREPARED_BYTES."""
    dialect, value, chance = dialect_of(server), b"y" * value_bytes, random.Random(next(_seeds))
    if operation == "GET":
        encode, reply_bytes = dialect.get, dialect.get_reply_bytes(len(short_key(0)), value_bytes)
    else:
        encode, reply_bytes = (lambda key: dialect.set(key, value)), dialect.set_reply_bytes
    to_send = max(1, requests // pipeline)
    count = min(to_send, max(1, PREPARED_BYTES // (pipeline * len(encode(short_key(0))))))
    pieces = [b"".join([encode(short_key(number)) for number in chance.choices(range(keys), k=pipeline)]) for _ in range(count)]
    latencies: list[float] = []
    selector = selectors.DefaultSelector()
    connections = [_RawConnection(server.port) for _ in range(CONNECTIONS)]

    def send(connection: _RawConnection) -> bool:
        nonlocal to_send
        if to_send == 0:
            return False
        to_send -= 1
        connection.missing_bytes = reply_bytes * pipeline
        connection.sent_at = time.monotonic()
        connection.sock.sendall(pieces[to_send % len(pieces)])
        return True

    started = time.monotonic()
    open_count = 0
    for connection in connections:
        if send(connection):
            selector.register(connection.sock, selectors.EVENT_READ, connection)
            open_count += 1
    while open_count > 0:
        for selected, _ in selector.select(RUN_LIMIT_S):
            connection = selected.data
            connection.missing_bytes -= len(connection.sock.recv(1 << 16))
            if connection.missing_bytes == 0:
                latencies.append(time.monotonic() - connection.sent_at)
                if not send(connection):
                    selector.unregister(connection.sock)
                    open_count -= 1
            elif connection.missing_bytes < 0:
                raise RuntimeError(f"{server.name} answers {operation} with more bytes than expected")
        if time.monotonic() - started > RUN_LIMIT_S:
            raise TimeoutError(f"{server.name}: {operation} took too long")
    seconds = time.monotonic() - started
    for connection in connections:
        connection.sock.close()
    selector.close()
    latencies.sort()
    at = lambda share: 1e3 * latencies[min(len(latencies) - 1, int(share * len(latencies)))]
    return Run(len(latencies) * pipeline, seconds, at(0.5), at(0.99), at(0.999))


# --- parts of a large value ------------------------------------------------------------------------------------------

PART_KEY = b"large"
PART_DEPTH = 16
PARTS: dict[str, tuple[Callable[[random.Random, int], tuple[bytes, ...]], int]] = {
    # What comes behind the key, drawn for a value of so many bytes; and how many lines the reply has.
    "SETBIT": (lambda chance, size: (b"%d" % chance.randrange(size * 8), b"%d" % chance.randrange(2)), 1),
    "SETRANGE": (lambda chance, size: (b"%d" % chance.randrange(size - 8), b"%08d" % chance.randrange(10**8)), 1),
    "APPEND": (lambda chance, size: (b"%08d" % chance.randrange(10**8),), 1),
    "BITFIELD": (lambda chance, size: (b"SET", b"u16", b"#%d" % chance.randrange(size // 2), b"%d" % chance.randrange(65536)), 2),
}


def make_large(server: Server, value_bytes: int) -> None:
    with server.client() as client:
        client.execute("DEL", PART_KEY)
        client.execute("SETRANGE", PART_KEY, value_bytes - 1, "x")
    server.wait_caught_up()


def drive_parts(server: Server, operation: str, requests: int, value_bytes: int) -> Run:
    """A part of one large value is changed again and again, by one connection."""
    draw, reply_lines = PARTS[operation]
    chance = random.Random(next(_seeds))
    rounds = max(1, requests // PART_DEPTH)
    word = operation.encode()
    pieces = [
        b"".join([resp(word, PART_KEY, *draw(chance, value_bytes)) for _ in range(PART_DEPTH)]) for _ in range(min(rounds, 4000))
    ]
    latencies: list[float] = []
    with socket.create_connection((HOST, server.port), timeout=RUN_LIMIT_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.monotonic()
        for i in range(rounds):
            sent_at = time.monotonic()
            sock.sendall(pieces[i % len(pieces)])
            missing = reply_lines * PART_DEPTH
            while missing > 0:
                reply = sock.recv(1 << 16)
                if not reply or reply.startswith(b"-"):
                    raise RuntimeError(f"{server.name} answers {operation} with {reply[:80]!r}")
                missing -= reply.count(b"\n")
            latencies.append(time.monotonic() - sent_at)
        seconds = time.monotonic() - started
    latencies.sort()
    at = lambda share: 1e3 * latencies[min(len(latencies) - 1, int(share * len(latencies)))]
    return Run(rounds * PART_DEPTH, seconds, at(0.5), at(0.99), at(0.999))


# --- a steady rate -------------------------------------------------------------------------------------------------

TICK_S = 0.001
MARKER = b"bench:marker"


class PacedWriter:
    """A process that writes `rate` keys a second, a piece every ms. The last write of a piece sets MARKER to the piece's
    number; sent_ns[number] is when it left (CLOCK_MONOTONIC), 0 if it did not. stop() returns how many writes were
    answered."""

    def __init__(self, port: int, rate: int, limit_s: float, keys: int = 100_000, value_bytes: int = 32):
        self.ticks = int(limit_s / TICK_S)
        self.sent_ns = multiprocessing.Array("q", self.ticks, lock=False)
        self._stop = multiprocessing.Event()
        self._written = multiprocessing.Value("q", 0)
        self._process = multiprocessing.Process(
            target=self._main, args=(port, max(0, round(rate * TICK_S) - 1), keys, value_bytes), daemon=True
        )
        self._process.start()

    def stop(self) -> int:
        self._stop.set()
        self._process.join(RUN_LIMIT_S)
        if self._process.exitcode != 0:
            raise RuntimeError(f"the writer ended with {self._process.exitcode}")
        return self._written.value

    def wait(self) -> int:
        """Until its time is over."""
        self._process.join(RUN_LIMIT_S)
        return self.stop()

    def rate(self) -> float:
        """Writes a second, once it has stopped."""
        sent = [at for at in self.sent_ns if at > 0]
        return self._written.value / max((sent[-1] - sent[0]) / 1e9, TICK_S)

    def _pieces(self, count: int, keys: int, value_bytes: int) -> Iterator[bytes]:
        value, chance = b"w" * value_bytes, random.Random(3)
        made = [
            b"".join(resp(b"SET", benchmark_key(chance.randrange(keys)), value) for _ in range(count)) for _ in range(500)
        ]
        while True:
            yield from made

    def _main(self, port: int, count: int, keys: int, value_bytes: int) -> None:
        gc.disable()
        pieces = self._pieces(count, keys, value_bytes)
        next(pieces)
        missing_bytes = 0
        piece_reply_bytes = (count + 1) * RESP.set_reply_bytes
        with socket.create_connection((HOST, port), timeout=RUN_LIMIT_S) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            due = time.monotonic()
            for number in range(self.ticks):
                if self._stop.is_set():
                    break
                due += TICK_S
                pause = due - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                piece = next(pieces) + resp(b"SET", MARKER, b"%d" % number)
                self.sent_ns[number] = time.monotonic_ns()
                sock.sendall(piece)
                missing_bytes += piece_reply_bytes
                # It does not wait for the answers: a server that stalls must not slow down who measures it.
                try:
                    missing_bytes -= len(sock.recv(1 << 18, socket.MSG_DONTWAIT))
                except BlockingIOError:
                    pass
                self._written.value += count + 1
            receive_exactly(sock, missing_bytes)
