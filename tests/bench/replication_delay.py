#!/usr/bin/env python3
"""replication_delay.py: how long a write takes to be readable on a follower, on one host, at a steady rate of writes.

    tests/bench/replication_delay.py [--rates 10000,50000] [--seconds 5] [--redis]

A process writes to the leader, a piece every millisecond, without waiting for the answers; the last write of a piece
is a marker. Another reads the marker from the follower again and again. The delay of a piece is from when it left its
writer to when the follower showed its marker, or a later one: so it has the write itself in it, and one read. --redis
measures redis-server and a replica in the same way."""
from __future__ import annotations

import argparse
import gc
import socket
import statistics
import time

from load import MARKER, TICK_S, PacedWriter, resp
from servers import HOST, Kvnode, Redis, Replicated

WARM_UP_S = 0.5


def watch_marker(port: int, writer: PacedWriter, seconds: float) -> list[tuple[int, int]]:
    """(number, when it was first seen in ns) for each number that the follower showed."""
    seen: list[tuple[int, int]] = []
    question = resp(b"GET", MARKER)
    deadline = time.monotonic() + seconds + 10
    last = -1
    with socket.create_connection((HOST, port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while last < writer.ticks - 1 and time.monotonic() < deadline:
            sock.sendall(question)
            # "$5\r\n12345\r\n", or "$-1\r\n" as long as there is none: small enough to come in one piece.
            words = sock.recv(64).split(b"\r\n")
            now = time.monotonic_ns()
            number = int(words[1]) if len(words) > 2 else -1
            if number > last:
                last = number
                seen.append((number, now))
            time.sleep(0.0001)
    if last < writer.ticks - 1:
        raise RuntimeError(f"the follower shows marker {last} of {writer.ticks - 1}")
    return seen


def delays_ms(writer: PacedWriter, seen: list[tuple[int, int]]) -> list[float]:
    """Of every piece, also of those whose marker was overwritten before it was read."""
    delays, number = [], 0
    for shown, at_ns in seen:
        while number <= shown:
            delays.append((at_ns - writer.sent_ns[number]) / 1e6)
            number += 1
    return delays[int(WARM_UP_S / TICK_S):]


def measure(system: Replicated, rate: int, seconds: float) -> None:
    with system.client() as leader:
        leader.execute("DEL", MARKER)
    system.wait_caught_up()
    gc.disable()
    syncs = system.full_syncs()
    writer = PacedWriter(system.port, rate, seconds + WARM_UP_S)
    assert system.follower_port is not None
    seen = watch_marker(system.follower_port, writer, seconds + WARM_UP_S)
    writer.wait()
    gc.enable()
    delays = sorted(delays_ms(writer, seen))
    at = lambda share: delays[min(len(delays) - 1, int(share * len(delays)))]
    print(
        f"{system.name:7} {rate:>7} writes/s wanted, {writer.rate():>7.0f} done: delay ms  p50 {at(0.5):.2f}  p99 {at(0.99):.2f}"
        f"  p99.9 {at(0.999):.2f}  max {delays[-1]:.2f}  mean {statistics.fmean(delays):.2f}"
        f"  ({len(delays)} samples, {system.full_syncs() - syncs} full syncs)", flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="10000,50000", help="writes a second, separated by commas")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--redis", action="store_true", help="redis-server, too")
    words = parser.parse_args()
    for kind in (Redis, Kvnode) if words.redis else (Kvnode,):
        with kind(follower=True) as system:
            for rate in map(int, words.rates.split(",")):
                measure(system, rate, words.seconds)


if __name__ == "__main__":
    main()
