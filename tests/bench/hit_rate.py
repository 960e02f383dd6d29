#!/usr/bin/env python3
"""hit_rate.py: how often a cache of limited memory has what is asked for: kvnode beside redis-server, by Zipf's law.

    tests/bench/hit_rate.py [--skews 0.8,0.99,1.1] [--policies allkeys-lru,allkeys-lfu] [--keys 100000]
                            [--fits 10000] [--seconds 45] [--seed 1]

Both get the same stream of keys. Every key is asked for by GET, in portions of 64, and what was missing is then written by
SET. Both are made to hold the same number of keys, not of bytes (kvnode needs fewer for a key, and would win by that
alone): maxmemory is what the server says it uses with that many keys, and is then corrected during the warm-up, again and
again, by what DBSIZE is too high or too low. DBSIZE at the end is shown.

redis-server knows when a key was used to one second only. A stream as fast as the servers can take it would turn the
cache over in less than that, and all keys would look alike to Redis; so the measured part is spread over --seconds, in which
the cache is turned over a few times (0: as fast as it goes). All rows run at the same time, each with servers of its own.
`exact` is the same stream through a list in the exact order of use, for lru; for lfu it is a cache that knows the law and
always has the most frequent keys."""
from __future__ import annotations

import argparse
import bisect
import collections
import contextlib
import itertools
import random
import socket
import sys
import time
from dataclasses import dataclass, field

from load import resp
from servers import HOST, Kvnode, Redis, Replicated, missing_tools

PORTION = 64
VALUE = b"v" * 32
HIT, MISS, OK = b"$32\r\n" + VALUE + b"\r\n", b"$-1\r\n", b"+OK\r\n"
CORRECT_EVERY = 50  # portions of the warm-up
UNCOUNTED = 0.3     # of the paced part: redis-server's clock has to know the keys first
LIMIT_S = 30        # for an answer
TARGET_POINTS = 1.0


def name(key: int) -> bytes:
    return b"key:%08d" % key


class Zipf:
    """Key i (from 1) is asked for with a frequency of 1 / i ** skew; which key is how frequent is a matter of chance."""

    def __init__(self, keys: int, skew: float, seed: int) -> None:
        self._random = random.Random(seed)
        self.weights = [1 / i**skew for i in range(1, keys + 1)]
        self._sums = list(itertools.accumulate(self.weights))
        self._keys = list(range(keys))
        self._random.shuffle(self._keys)

    def draw(self, n: int) -> list[int]:
        total = self._sums[-1]
        return [self._keys[bisect.bisect_left(self._sums, self._random.random() * total)] for _ in range(n)]

    def best_hit_rate(self, fits: int) -> float:
        return self._sums[fits - 1] / self._sums[-1]


class Cache:
    """A server under a limit of memory, and what it had."""

    def __init__(self, server: Replicated, policy: str, fits: int, keys: int) -> None:
        self.server, self.fits = server, fits
        self.hits = self.asked = 0
        self._admin = server.client()
        self._sock = socket.create_connection((HOST, server.port), timeout=LIMIT_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        empty = self._used_bytes()
        for start in range(0, fits, PORTION):
            self._set([name(keys + i) for i in range(start, min(start + PORTION, fits))])
        self._limit = self._used_bytes()
        self._bytes_a_key = (self._limit - empty) / fits
        self._admin.execute("CONFIG", "SET", "maxmemory-policy", policy)
        self._admin.execute("CONFIG", "SET", "maxmemory", str(self._limit))

    def _used_bytes(self) -> int:
        return int(self._admin.info()["used_memory"])

    def count(self) -> int:
        return int(self._admin.execute("DBSIZE"))

    def correct(self) -> None:
        """Half of the way: the other half may be noise."""
        self._limit += int((self.fits - self.count()) * self._bytes_a_key / 2)
        self._admin.execute("CONFIG", "SET", "maxmemory", str(self._limit))

    def _receive(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            piece = self._sock.recv(1 << 16)
            if not piece:
                raise RuntimeError(f"{self.server.name} has closed the connection")
            data += piece
        return data

    def _set(self, names: list[bytes]) -> None:
        self._sock.sendall(b"".join(resp(b"SET", key, VALUE) for key in names))
        answer = self._receive(len(OK) * len(names))
        if answer != OK * len(names):
            raise RuntimeError(f"{self.server.name} answers {answer[:100]!r}")

    def _get(self, names: list[bytes]) -> list[bytes]:
        """Those that are missing."""
        self._sock.sendall(b"".join(resp(b"GET", key) for key in names))
        missing: list[bytes] = []
        data, at = b"", 0
        for key in names:
            while len(data) - at < len(MISS) or (data[at + 1] != MISS[1] and len(data) - at < len(HIT)):
                data, at = data[at:] + self._receive(1), 0
            if data[at + 1] == MISS[1]:
                missing.append(key)
                at += len(MISS)
            else:
                at += len(HIT)
        return missing

    def ask(self, keys: list[int], counted: bool) -> None:
        missing = self._get([name(key) for key in keys])
        if missing:
            self._set(list(dict.fromkeys(missing)))
        if counted:
            self.asked += len(keys)
            self.hits += len(keys) - len(missing)

    def hit_rate(self) -> float:
        return 100 * self.hits / self.asked


class ExactLru:
    def __init__(self, fits: int) -> None:
        self._order: collections.OrderedDict[int, None] = collections.OrderedDict()
        self._fits = fits
        self.hits = self.asked = 0

    def ask(self, keys: list[int], counted: bool) -> None:
        hits = sum(key in self._order for key in keys)
        for key in keys:
            self._order[key] = None
            self._order.move_to_end(key)
        while len(self._order) > self._fits:
            self._order.popitem(last=False)
        if counted:
            self.asked += len(keys)
            self.hits += hits

    def hit_rate(self) -> float:
        return 100 * self.hits / self.asked


@dataclass
class Row:
    skew: float
    policy: str
    zipf: Zipf
    exact: ExactLru
    caches: dict[str, Cache] = field(default_factory=dict)

    def ask(self, counted: bool) -> None:
        keys = self.zipf.draw(PORTION)
        self.exact.ask(keys, counted)
        for cache in self.caches.values():
            cache.ask(keys, counted)

    def exact_hit_rate(self, fits: int) -> float:
        return 100 * self.zipf.best_hit_rate(fits) if self.policy.endswith("lfu") else self.exact.hit_rate()


def open_rows(words: argparse.Namespace, stack: contextlib.ExitStack) -> list[Row]:
    rows = []
    for policy in words.policies.split(","):
        for skew in map(float, words.skews.split(",")):
            row = Row(skew, policy, Zipf(words.keys, skew, words.seed), ExactLru(words.fits))
            for kind in (Redis, Kvnode):
                row.caches[kind.name] = Cache(stack.enter_context(kind()), policy, words.fits, words.keys)
            rows.append(row)
    return rows


def warm_up(rows: list[Row], portions: int) -> None:
    for i in range(portions):
        for row in rows:
            row.ask(False)
            if i % CORRECT_EVERY == 0 and i > portions // 4:
                for cache in row.caches.values():
                    cache.correct()


def measure(rows: list[Row], portions: int, seconds: float) -> None:
    started = time.monotonic()
    for i in range(portions):
        for row in rows:
            row.ask(i > portions * UNCOUNTED)
        ahead = started + seconds * i / portions - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)


def show(rows: list[Row], fits: int) -> bool:
    good = True
    print(f"{'policy':13} {'skew':>4}   hit rate %: {'redis':>6} {'kvnode':>6} {'exact':>6}   kvnode - redis   keys held")
    for row in rows:
        redis, kvnode = row.caches["redis"], row.caches["kvnode"]
        points = kvnode.hit_rate() - redis.hit_rate()
        good = good and points > -TARGET_POINTS
        print(
            f"{row.policy:13} {row.skew:4}               {redis.hit_rate():6.2f} {kvnode.hit_rate():6.2f} "
            f"{row.exact_hit_rate(fits):6.2f}   {points:+.2f} {'within' if points > -TARGET_POINTS else 'MISSES'}     "
            f"{redis.count()}, {kvnode.count()}"
        )
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skews", default="0.8,0.99,1.1")
    parser.add_argument("--policies", default="allkeys-lru,allkeys-lfu")
    parser.add_argument("--keys", type=int, default=100_000, help="that are asked for")
    parser.add_argument("--fits", type=int, default=10_000, help="keys that memory has room for")
    parser.add_argument("--requests", type=int, default=100_000, help="of each row, and as many to warm up")
    parser.add_argument("--seconds", type=float, default=45, help="that the measured part takes; 0: as fast as it goes")
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    if missing_tools("redis-server"):
        print("hit_rate.py needs redis-server", file=sys.stderr)
        return 2
    with contextlib.ExitStack() as stack:
        rows = open_rows(words, stack)
        warm_up(rows, words.requests // PORTION)
        measure(rows, words.requests // PORTION, words.seconds)
        return 0 if show(rows, words.fits) else 1


if __name__ == "__main__":
    sys.exit(main())
