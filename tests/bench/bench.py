#!/usr/bin/env python3
"""bench.py: what a request costs on kvnode, side by side with redis-server, memcached and webdis.

    make bench                                  the whole, under 10 minutes on 2 processors
    tests/bench/bench.py --quick                a first look, 1 to 2 minutes
    tests/bench/bench.py --only 'GET.*16 deep'  the rows whose title matches

The figure that counts is CPU per request: user and system time of the server process, of all requests of a run. Each
row is measured in turn on the one and the other (A B A B ...), both running all the time, and shows the medians. Every
single run is in results/<time>.json. See README.md in this folder."""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, Iterator, Optional

import load
from load import Run
from servers import KVNODE, Kvnode, Memcached, Redis, Server, Webdis, missing_tools, settled_resident_bytes

RESULTS = Path(__file__).resolve().parent / "results"
VALUES = {32: "32 B", 1024: "1 KB", 65536: "64 KB", 1 << 20: "1 MB"}
# What is to be reached of the peer's CPU per request (DESIGN.md, targets).
TARGETS = {1: 0.85, 16: 0.33, 64: 0.22}
REST_TARGET = 0.25
MEMORY_TARGET_BYTES = 80
# What a run of a row without a target takes, as a share of the others': all has to end within ten minutes.
OTHER_SECONDS = 0.6


@dataclass(frozen=True)
class Settings:
    runs: int
    seconds: float  # that a run of a row with a target takes the slower of the two, roughly
    keys: int
    quick: bool
    only: Optional[re.Pattern[str]]
    deadline: float  # CLOCK_MONOTONIC: no row begins after it


# A load takes a server and a number of requests, and says what it saw.
Load = Callable[[Server, int], Run]


@dataclass(frozen=True)
class Row:
    title: str
    load: Load
    target: Optional[float] = None

    def seconds(self, settings: Settings) -> float:
        return settings.seconds * (1 if self.target is not None else OTHER_SECONDS)


@dataclass
class Sample:
    """A run and what it cost the server."""

    run: Run
    cpu_us: float  # per request
    resynced: bool  # the follower fell behind and was sent everything again


class Report:
    """Prints rows as they are done; keeps all that was measured."""

    # Name, width and digits of each pair of columns, which their ratio follows.
    PAIRS = (("CPU us/request", 8, 3), ("requests/s", 8, 0), ("p50 ms", 6, 2), ("p99 ms", 6, 2), ("p99.9 ms", 6, 2))

    @classmethod
    def line(cls, title: str, cells: list[tuple[str, str, str]]) -> str:
        text = f"{title:35}"
        for (_, width, _), (peer, kvnode, ratio) in zip(cls.PAIRS, cells):
            text += f"  {peer:>{width}} {kvnode:>{width}} {ratio:>5}"
        return text

    def __init__(self) -> None:
        self.raw: list[dict] = []
        self.left_out: list[str] = []
        self.missed: list[str] = []

    def section(self, title: str) -> None:
        head = f"{'':35}" + "".join(f"  {name:>{2 * width + 1}}{'':6}" for name, width, _ in self.PAIRS)
        print(f"\n{title}\n{head.rstrip()}")
        print(self.line("", [("peer", "kvnode", "ratio")] * len(self.PAIRS)), flush=True)

    def leave_out(self, what: str) -> None:
        self.left_out.append(what)

    def row(self, row: Row, peer: Server, samples: dict[str, list[Sample]], took_s: float) -> None:
        def medians(of: Callable[[Sample], Optional[float]]) -> tuple[Optional[float], Optional[float]]:
            columns = ([of(sample) for sample in samples[name]] for name in (peer.name, "kvnode"))
            pair = tuple(None if None in column else statistics.median(column) for column in columns)
            return pair[0], pair[1]

        pairs = [
            medians(lambda s: s.cpu_us), medians(lambda s: s.run.requests / s.run.seconds), medians(lambda s: s.run.p50),
            medians(lambda s: s.run.p99), medians(lambda s: s.run.p999),
        ]
        ratios = [kvnode / peer if peer and kvnode is not None else None for peer, kvnode in pairs]
        words = lambda number, digits: "-" if number is None else f"{number:.{digits}f}"
        text = self.line(row.title, [
            (words(pair[0], digits), words(pair[1], digits), words(ratio, 2))
            for (_, _, digits), pair, ratio in zip(self.PAIRS, pairs, ratios)
        ])
        if row.target is not None:
            text += f"  {'within' if ratios[0] <= row.target else 'MISSES'} {row.target}"
            if ratios[0] > row.target:
                self.missed.append(f"{row.title}: {ratios[0]:.2f} of {row.target}")
        resynced = sum(sample.resynced for of in samples.values() for sample in of)
        print(text + (f"  ({resynced} full syncs)" if resynced else ""), flush=True)
        self.raw.append({
            "title": row.title, "peer": peer.name, "target": row.target, "took_s": round(took_s, 1),
            "ratios": {name: ratio for (name, _, _), ratio in zip(self.PAIRS, ratios)},
            "samples": {name: [asdict(sample) for sample in of] for name, of in samples.items()},
        })

    def memory(self, per_key: dict[str, float], keys: int) -> None:
        """Bytes of each server, by its name."""
        here, verdict = per_key["kvnode"], "within" if per_key["kvnode"] <= MEMORY_TARGET_BYTES else "MISSES"
        print(f"\nMemory: resident bytes per key, {keys:,} keys of 15 bytes with values of 32 bytes")
        print(f"{'':35}  {'peer':>8} {'kvnode':>8} {'ratio':>5}")
        ratios = {name: here / there for name, there in per_key.items() if name != "kvnode"}
        for name, ratio in ratios.items():
            line = f"{'memory, ' + name:35}  {per_key[name]:>8.1f} {here:>8.1f} {ratio:>5.2f}"
            print(f"{line}  {verdict} {MEMORY_TARGET_BYTES} bytes")
        if verdict == "MISSES":
            self.missed.append(f"memory: {here:.1f} bytes a key of {MEMORY_TARGET_BYTES}")
        self.raw.append({"title": "memory", "bytes_per_key": per_key, "ratios": ratios, "keys": keys})

    def finish(self, settings: Settings, seconds: float) -> None:
        for what in self.left_out:
            print(f"left out: {what}")
        for what in self.missed:
            print(f"misses its target: {what}")
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
        path.write_text(json.dumps({
            "machine": machine(), "seconds": round(seconds), "quick": settings.quick, "runs": settings.runs,
            "left_out": self.left_out, "rows": self.raw,
        }, indent=1) + "\n", encoding="utf-8")
        print(f"{seconds:.0f} s; every run is in {path.relative_to(RESULTS.parents[2])}")


def version_of(*command: str) -> Optional[str]:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    return None


def machine() -> dict:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()), "cpu": cpu.group(1) if cpu else platform.processor(),
        "processors": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg(),
        "kvnode": version_of(str(KVNODE), "-version"), "redis": version_of("redis-server", "--version"),
        "memcached": version_of("memcached", "-V"),
    }


# --- measuring -----------------------------------------------------------------------------------------------------


def sample(server: Server, load_: Load, requests: int) -> Sample:
    """The price includes what the server still does for the follower when the client has its replies."""
    syncs = server.full_syncs()
    before = server.cpu_ns()
    run = load_(server, requests)
    server.wait_caught_up()
    return Sample(run, (server.cpu_ns() - before) / 1e3 / run.requests, server.full_syncs() != syncs)


def measure(row: Row, peer: Server, kvnode: Server, settings: Settings, report: Report) -> None:
    began = time.monotonic()
    if began > settings.deadline:
        report.leave_out(f"{row.title}: the time was over")
        return
    # Warms both up, and finds how many requests the slower one answers in the time of a run.
    seconds_per_request = 0.0
    for server in (peer, kvnode):
        run = row.load(server, 2000)
        run = row.load(server, max(2000, int(0.1 * run.requests / run.seconds)))
        seconds_per_request = max(seconds_per_request, run.seconds / run.requests)
    requests = max(5000, int(row.seconds(settings) / seconds_per_request))
    samples: dict[str, list[Sample]] = {peer.name: [], kvnode.name: []}
    for _ in range(settings.runs):
        for server in (peer, kvnode):
            samples[server.name].append(sample(server, row.load, requests))
    report.row(row, peer, samples, time.monotonic() - began)


# --- rows ----------------------------------------------------------------------------------------------------------


def redis_row(test: str, pipeline: int, value_bytes: int, keys: int, suffix: str = "", target: Optional[float] = None) -> Row:
    words = {"MSET": "MSET of 10"}.get(test, test)
    size = "" if test == "INCR" else f" {VALUES[value_bytes]}"
    depth = "one at a time" if pipeline == 1 else f"{pipeline} deep"

    def run(server: Server, requests: int) -> Run:
        if test == "mixed":
            return load.redis_benchmark_mixed(server.port, requests, pipeline, value_bytes, keys)
        return load.redis_benchmark(server.port, ["-t", test.lower()], requests, pipeline, value_bytes, keys)

    return Row(f"{words}{size}, {depth}{suffix}", run, target)


FOLLOWER = ", follower"


def target_rows(settings: Settings) -> Iterator[Row]:
    for pipeline, target in TARGETS.items():
        for test in ("GET", "SET"):
            yield redis_row(test, pipeline, 32, settings.keys, target=target)


# Beside redis-server with its append-only file.
KEPT_TARGETS = {1: 0.85, 16: 0.36, 64: 0.25}


def kept_rows(settings: Settings, fsync: str) -> Iterator[Row]:
    for pipeline, target in KEPT_TARGETS.items():
        yield redis_row("SET", pipeline, 32, settings.keys, f", {fsync}", target if fsync == "everysec" else None)


def target_follower_rows(settings: Settings) -> Iterator[Row]:
    for pipeline, target in {16: TARGETS[16]}.items() if settings.quick else TARGETS.items():
        for test in ("SET",) if settings.quick else ("GET", "SET"):
            yield redis_row(test, pipeline, 32, settings.keys, FOLLOWER, target)


def other_rows(settings: Settings) -> Iterator[Row]:
    for test in ("INCR", "MSET") if settings.quick else ("INCR", "MSET", "mixed"):
        for pipeline in (16,) if settings.quick else (1, 16, 64):
            yield redis_row(test, pipeline, 32, settings.keys)


def other_follower_rows(settings: Settings) -> Iterator[Row]:
    for test in () if settings.quick else ("INCR", "MSET", "mixed"):
        yield redis_row(test, 16, 32, settings.keys, FOLLOWER)


def large_value_rows(settings: Settings, value_bytes: int, keys: int) -> Iterator[Row]:
    for pipeline in (16,) if settings.quick else (1, 16, 64):
        for test in ("GET", "SET"):
            yield redis_row(test, pipeline, value_bytes, keys)
    # Ten times 64 KB are enough at a time.
    for test, pipeline in () if settings.quick else (("MSET", 16 if value_bytes == 1024 else 1), ("mixed", 16)):
        yield redis_row(test, pipeline, value_bytes, keys)


def whole_rows(value_bytes: int, keys: int) -> Iterator[Row]:
    """A fifth of the requests: they are long enough."""
    for test in ("GET", "SET"):

        def run(server: Server, requests: int, test: str = test) -> Run:
            return load.redis_benchmark(server.port, ["-t", test.lower()], requests // 5, 1, value_bytes, keys)

        yield Row(f"{test} {VALUES[value_bytes]}, one at a time", run)


def part_rows(value_bytes: int) -> Iterator[Row]:
    for operation in load.PARTS:

        def run(server: Server, requests: int, operation: str = operation) -> Run:
            return load.drive_parts(server, operation, requests, value_bytes)

        yield Row(f"{operation} on {value_bytes >> 20} MB{FOLLOWER}", run)


def rest_rows(settings: Settings) -> Iterator[Row]:
    for method in ("GET", "POST"):

        def run(server: Server, _requests: int, method: str = method) -> Run:
            api = "kvnode" if server.name == "kvnode" else "webdis"
            return load.wrk(server.http_port, api, method, settings.seconds, 32, settings.keys)

        yield Row(f"REST {method} 32 B", run, REST_TARGET)


def raw_rows(settings: Settings) -> Iterator[Row]:
    for pipeline in (16,) if settings.quick else (1, 16):
        for operation in ("GET", "SET"):

            def run(server: Server, requests: int, operation: str = operation, pipeline: int = pipeline) -> Run:
                return load.drive_raw(server, operation, requests, pipeline, 32, settings.keys)

            depth = "one at a time" if pipeline == 1 else f"{pipeline} deep"
            yield Row(f"{operation} 32 B, {depth}", run)


# --- sections ------------------------------------------------------------------------------------------------------


class Bench:
    """The sections: each starts its servers afresh, fills them, and measures those of its rows that are asked for."""

    def __init__(self, settings: Settings, report: Report):
        self.settings = settings
        self.report = report

    def late(self) -> bool:
        return time.monotonic() > self.settings.deadline

    def wanted(self, rows: Iterator[Row]) -> list[Row]:
        """Those that were asked for; none once the time is over, so that no servers are filled for nothing."""
        only = self.settings.only
        wanted = [row for row in rows if only is None or only.search(row.title)]
        if wanted and self.late():
            for row in wanted:
                self.report.leave_out(f"{row.title}: the time was over")
            return []
        return wanted

    def redis(
        self, title: str, rows: Iterator[Row], keys: int, value_bytes: int, follower: bool = False, fsync: Optional[str] = None
    ) -> None:
        wanted = self.wanted(rows)
        if not wanted:
            return
        self.report.section(f"RESP, {load.CONNECTIONS} connections, {keys:,} random keys{title}; the peer is redis-server")
        with Redis(follower, fsync) as redis, Kvnode(follower, fsync) as kvnode:
            for server in (redis, kvnode):
                load.fill(server, keys, value_bytes)
                if follower:
                    load.fill_backlog(server, value_bytes)
            for row in wanted:
                measure(row, redis, kvnode, self.settings, self.report)

    def parts(self, value_bytes: int) -> None:
        wanted = self.wanted(part_rows(value_bytes))
        if not wanted:
            return
        self.report.section(f"Parts of a value of {value_bytes >> 20} MB, 16 deep, a follower attached; the peer is redis-server")
        with Redis(True) as redis, Kvnode(True) as kvnode:
            for row in wanted:
                for server in (redis, kvnode):
                    load.make_large(server, value_bytes)
                measure(row, redis, kvnode, self.settings, self.report)

    def rest(self) -> None:
        wanted = self.wanted(rest_rows(self.settings))
        missing = missing_tools("webdis", "wrk")
        if missing:
            self.report.leave_out(f"REST: {' and '.join(missing)} not installed")
        if missing or not wanted:
            return
        self.report.section(f"REST, {load.CONNECTIONS} connections; the peer is webdis and the redis-server behind it")
        with Redis() as redis, Webdis(redis) as webdis, Kvnode() as kvnode:
            for server in (redis, kvnode):
                load.fill(server, self.settings.keys, 32)
            for row in wanted:
                measure(row, webdis, kvnode, self.settings, self.report)

    def memory(self) -> None:
        """Of a key; and then memcached, as it holds the same keys."""
        wanted = self.wanted(raw_rows(self.settings))
        only = self.settings.only
        if not wanted and only and not only.search("memory"):
            return
        if self.late():
            self.report.leave_out("memory: the time was over")
            return
        kinds: list[type[Server]] = [Redis, Kvnode]
        if missing_tools("memcached"):
            self.report.leave_out("memcached: it is not installed")
        else:
            kinds.append(Memcached)
        with contextlib.ExitStack() as stack:
            servers = {kind.name: stack.enter_context(kind()) for kind in kinds}
            self._memory_per_key(servers)
            if "memcached" in servers and wanted:
                self.report.section("Beside memcached with one thread, both driven by prepared bytes from one Python thread")
                for row in wanted:
                    measure(row, servers["memcached"], servers["kvnode"], self.settings, self.report)

    def _memory_per_key(self, servers: dict[str, Server]) -> None:
        keys, per_key = self.settings.keys, dict[str, float]()
        for name, server in servers.items():
            empty = settled_resident_bytes(server)
            load.fill(server, keys, 32, load.short_key)
            per_key[name] = (settled_resident_bytes(server) - empty) / keys
        self.report.memory(per_key, keys)

    def run(self) -> None:
        """Rows with targets come first: where the time is over early, the others are left out."""
        settings, follower = self.settings, ", a follower attached"
        self.redis("", target_rows(settings), settings.keys, 32)
        self.redis(follower, target_follower_rows(settings), settings.keys, 32, follower=True)
        for fsync in ("everysec",) if settings.quick else ("everysec", "always"):
            self.redis(f", kept on disk ({fsync})", kept_rows(settings, fsync), settings.keys, 32, fsync=fsync)
        self.rest()
        self.memory()
        self.redis("", other_rows(settings), settings.keys, 32)
        self.redis(follower, other_follower_rows(settings), settings.keys, 32, follower=True)
        for megabytes in (1,) if settings.quick else (1, 100):
            self.parts(megabytes << 20)
        for value_bytes in (1024,) if settings.quick else (1024, 65536):
            keys = settings.keys * 100 // value_bytes
            self.redis(f", values of {VALUES[value_bytes]}", large_value_rows(settings, value_bytes, keys), keys, value_bytes)
        if not settings.quick:
            self.redis(", values of 1 MB", whole_rows(1 << 20, 100), 100, 1 << 20)


def parse_arguments() -> Settings:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows, 3 short runs of each")
    parser.add_argument("--runs", type=int, help="runs of each row on each server (5)")
    parser.add_argument("--seconds", type=float, help="what a run of a row with a target takes, roughly (0.7)")
    parser.add_argument("--keys", type=int, help="random keys (1000000)")
    parser.add_argument("--only", type=re.compile, help="rows whose title matches this expression")
    parser.add_argument("--limit", type=float, default=540, help="seconds after which no row begins (540)")
    words = parser.parse_args()
    return Settings(
        runs=words.runs or (3 if words.quick else 5), seconds=words.seconds or (0.3 if words.quick else 0.7),
        keys=words.keys or (200_000 if words.quick else 1_000_000), quick=words.quick, only=words.only,
        deadline=time.monotonic() + words.limit,
    )


def main() -> None:
    settings = parse_arguments()
    if not os.access(KVNODE, os.X_OK):
        sys.exit(f"there is no {KVNODE}: make build, or name a binary with KVNODE=")
    missing = missing_tools("redis-server", "redis-benchmark")
    if missing:
        sys.exit(f"{' and '.join(missing)} not installed, and without a peer there is nothing to compare")
    started = time.monotonic()
    report = Report()
    Bench(settings, report).run()
    report.finish(settings, time.monotonic() - started)


if __name__ == "__main__":
    main()
