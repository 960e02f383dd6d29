#!/usr/bin/env python3
"""figures.py: what a cluster of kvnode costs and how long it takes, where there is no peer to compare with.

    tests/bench/figures.py [--keys 1000000] [--rate 20000] [--only discovery,idle,load,sync]
    tests/bench/figures.py --only stalls [--stall-keys 10000000]
    tests/bench/figures.py --only recovery,compaction [--keys 5000000]
    tests/bench/figures.py --only compression [--keys 200000]

    discovery  from the start of a process until every other node lists it, and until it is healthy
    idle       resident memory of a node without data
    load       time and resident memory of loading the keys
    sync       a follower joins the leader with all these keys while writes go on: how long until it is there, the
               longest stall of both loops, and whether both hold the same data afterwards
    stalls     the iterations of the loop while a table grows to ten million keys, KEYS and GET /keys go through it, a
               million keys expire at one instant, half of the memory is taken away, and FLUSHALL (a minute or two;
               only when it is asked for)
    recovery   how long a killed node reads its journal, beside redis-server's append-only file (only when asked for)
    compaction the iterations of the loop, and the memory, while a journal is begun anew (only when asked for)
    compression a full sync and a stream of values of 1 KB, JSON and random bytes, with -link-compression off and lz4: bytes
               sent, and the processor time of both nodes (only when asked for)"""
from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import time
import urllib.request
from pathlib import Path
from typing import Callable

import load
from load import PacedWriter
from servers import (
    Cluster, Kvnode, Node, Redis, RespClient, RespError, cpu_ns, settled_resident_bytes, wait_until,
)

MB = 1e6
LIMIT_S = 120.0


def milliseconds(values: list[float]) -> str:
    ordered = sorted(1e3 * value for value in values)
    return f"median {statistics.median(ordered):.0f} ms, longest {ordered[-1]:.0f} ms of {len(ordered)}"


def lists(node: Node, port: int) -> bool:
    """Whether the node has heard of the one with this Redis port."""
    return f":{port}@" in node.execute("CLUSTER", "NODES").decode()


def figure_discovery(times: int) -> None:
    heard, healthy = [], []
    cluster = Cluster(followers=1, log_level="warn")
    try:
        cluster.start()
        for _ in range(times):
            others = list(cluster.nodes)
            node = cluster.add_node()
            started = time.monotonic()
            node.start()
            wait_until(lambda: all(lists(other, node.redis) for other in others), LIMIT_S, "the new node is listed")
            heard.append(time.monotonic() - started)
            node.wait_healthy()
            healthy.append(time.monotonic() - started)
    finally:
        cluster.close()
    print(f"discovery: a new node is listed by all others after: {milliseconds(heard)}")
    print(f"           it is healthy (follows its leader) after: {milliseconds(healthy)}", flush=True)


def figure_idle() -> None:
    cluster = Cluster(followers=1, log_level="warn")
    try:
        cluster.start()
        leader, follower = cluster.leader(), cluster.followers()[0]
        print(f"idle: resident memory of a leader {leader.resident_bytes() / MB:.1f} MB, of a follower {follower.resident_bytes() / MB:.1f} MB", flush=True)
    finally:
        cluster.close()


def figure_load(system: Kvnode, keys: int) -> None:
    leader = system.cluster.leader()
    empty, cpu = settled_resident_bytes(system), system.cpu_ns()
    seconds = load.fill(system, keys, 32, load.benchmark_key)
    cpu_s = (system.cpu_ns() - cpu) / 1e9
    resident = settled_resident_bytes(system)
    print(f"load: {keys:,} keys of 16 bytes with values of 32 bytes in {seconds:.2f} s, of which the node was busy {cpu_s:.2f} s")
    print(f"      resident {resident / MB:.1f} MB, {(resident - empty) / keys:.1f} bytes a key; loop stalls {leader.info()['loop_stall_us']}", flush=True)


def longest_stall_us(node: Node) -> int:
    return int(dict(field.split("=") for field in node.info()["loop_stall_us"].split(","))["max"])


def figure_sync(system: Kvnode, rate: int) -> None:
    """Nodes that cannot forget the stalls of before the sync tell the longest of their lives."""
    leader = system.cluster.leader()
    keys = int(leader.execute("DBSIZE"))
    since = "since the sync began"
    try:
        leader.execute("CONFIG", "RESETSTAT")
    except RespError:
        since = f"of its life, {longest_stall_us(leader)} us before the sync"
    writer = PacedWriter(system.port, rate, LIMIT_S, keys=keys)
    time.sleep(0.5)
    follower = system.cluster.add_node()
    started = time.monotonic()
    follower.start()
    follower.wait_healthy(LIMIT_S)
    wait_until(lambda: "state=online" in leader.info().get("slave0", ""), LIMIT_S, "the follower is synced")
    took = time.monotonic() - started
    time.sleep(0.5)
    writer.stop()
    system.cluster.wait_replicated(timeout=LIMIT_S)
    equal = leader.digest() == follower.digest()
    print(f"sync: a follower joined {keys:,} keys with {writer.rate():,.0f} writes/s going on in {took:.2f} s (start of its process included)")
    print(f"      digests of {follower.execute('DBSIZE'):,} keys {'equal' if equal else 'DIFFER'}; full syncs {leader.count('sync_full')}")
    print(f"      longest stall of the leader's loop {longest_stall_us(leader)} us ({since}), of the follower's {longest_stall_us(follower)} us", flush=True)
    if not equal:
        raise SystemExit(1)


def stolen_s() -> float:
    """Of all processors, since the system started: what a virtual machine wanted and its host gave to somebody else."""
    steal = Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]
    return int(steal) / os.sysconf("SC_CLK_TCK")


EXPIRING_KEYS = 1_000_000
EXPIRE_IN_MS = 15_000


def figure_stalls(system: Kvnode, keys: int) -> None:
    """What is said of each: how long its iterations took, with what the system took the processor away for, and how much of
    that was the host's doing."""
    leader = system.cluster.leader()
    print(f"stalls of the loop in us, {keys:,} keys of 16 bytes with values of 32 bytes")

    def watched(title: str, act: Callable[[], object]) -> None:
        leader.execute("CONFIG", "RESETSTAT")
        started, stolen = time.monotonic(), stolen_s()
        act()
        took, stolen = time.monotonic() - started, stolen_s() - stolen
        stalls = leader.info()["loop_stall_us"].replace(",", "  ")
        print(f"    {title:44} {took:6.2f} s  {stalls}  (stolen {stolen:.2f} s)", flush=True)

    def list_over_http() -> None:
        with urllib.request.urlopen(f"http://{load.HOST}:{leader.api}/keys", timeout=LIMIT_S) as answer:
            while answer.read(1 << 20):
                pass

    def expire_at_once() -> None:
        deadline = b"%d" % (int(time.time() * 1000) + EXPIRE_IN_MS)
        for first in range(0, EXPIRING_KEYS, 1000):
            part = range(first, first + 1000)
            client.send(b"".join([load.resp(b"SET", b"expiring:%d" % n, b"x", b"PXAT", deadline) for n in part]))
            load.receive_exactly(client.sock, load.RESP.set_reply_bytes * len(part))
        wait_until(lambda: client.execute("DBSIZE") == keys, LIMIT_S, "what has expired is deleted")

    def take_half_away() -> None:
        used = int(leader.info()["used_memory"])
        leader.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", str(used // 2))
        wait_until(lambda: int(leader.info()["used_memory"]) <= used // 2, LIMIT_S, "the rest is evicted")

    def flush() -> None:
        client.execute("FLUSHALL")
        wait_until(lambda: system.resident_bytes() < 100 * MB, LIMIT_S, "the memory is given back")

    with system.client(LIMIT_S) as client:
        watched("growth, by one client", lambda: load.fill(system, keys, 32))
        watched("KEYS that match a thousandth", lambda: client.execute("KEYS", "key:*777"))
        watched("GET /keys", list_over_http)
        watched(f"{EXPIRING_KEYS:,} more keys that expire in one ms", expire_at_once)
        watched("eviction of half of the memory", take_half_away)
        leader.execute("CONFIG", "SET", "maxmemory", "0")
        watched("FLUSHALL, until the memory is given back", flush)


def start_s(start: Callable[[], object], port: int, keys: int) -> float:
    """From the start of a process until it answers with all its keys."""

    def has_all() -> bool:
        try:
            with RespClient(port, timeout=1) as client:
                return client.execute("DBSIZE") == keys
        except (OSError, EOFError, RespError):
            return False

    started = time.monotonic()
    start()
    wait_until(has_all, LIMIT_S, "all keys are there again")
    return time.monotonic() - started


def wait_rewritten(redis: RespClient) -> None:
    wait_until(lambda: redis.info()["aof_rewrite_in_progress"] == "0", LIMIT_S, "it is rewritten")


def figure_recovery(keys: int) -> None:
    """kvnode's start waits a second for followers besides; that is not recovery, and is told apart by its log."""
    with Kvnode(fsync="everysec") as system:
        node = system.cluster.leader()
        load.fill(system, keys, 32)
        node.flags["log_level"] = "info"
        for title in ("of the lines", "of a state"):
            node.kill()
            took = start_s(node.start, node.redis, keys)
            own = re.findall(r"event=recovered .* ms=(\d+)", node.log())[-1]
            print(f"recovery: kvnode, {keys:,} keys {title}: {int(own) / 1000:.2f} s of {took:.2f} s for the whole start", flush=True)
            wait_until(lambda: node.info()["rdb_bgsave_in_progress"] == "0", LIMIT_S, "the state is whole")
    with Redis(fsync="everysec") as redis:
        load.fill(redis, keys, 32)
        for title in ("append-only file", "append-only file that was rewritten (RDB)"):
            redis.kill()
            print(f"recovery: redis-server, {title}: {start_s(redis.start_again, redis.port, keys):.2f} s for the whole start", flush=True)
            with redis.client() as client:
                wait_rewritten(client)  # one may have begun by itself
                client.execute("BGREWRITEAOF")
                wait_rewritten(client)


def figure_compaction(keys: int, rate: int) -> None:
    with Kvnode(fsync="everysec") as system:
        node = system.cluster.leader()
        load.fill(system, keys, 32)
        before = system.resident_bytes()
        writer = PacedWriter(system.port, rate, LIMIT_S, keys=keys)
        time.sleep(0.5)
        node.execute("CONFIG", "RESETSTAT")
        node.execute("BGREWRITEAOF")
        started, most = time.monotonic(), before
        while node.info()["rdb_bgsave_in_progress"] == "1":
            most = max(most, system.resident_bytes())
            time.sleep(0.05)
        took = time.monotonic() - started
        stalls = node.info()["loop_stall_us"].replace(",", "  ")
        writer.stop()
        print(f"compaction: {keys:,} keys with {writer.rate():,.0f} writes/s going on in {took:.2f} s; loop in us {stalls}")
        print(f"            memory {100 * (most - before) / before:.1f} % over the {before / MB:.0f} MB of before", flush=True)


def json_value(dice: random.Random, size: int = 1024) -> bytes:
    """As a session or a profile is: the same names again and again, other words and numbers in each."""
    fields: dict[str, object] = {}
    while len(text := json.dumps({"user": fields}).encode()) < size:
        number = len(fields)
        fields[f"field_{number}"] = dice.choice(
            (dice.randrange(10**9), f"{dice.getrandbits(64):016x}", dice.choice(WORDS), [dice.choice(WORDS) for _ in range(4)]))
    return text[:size]


WORDS = ("admin", "reader", "active", "Europe/Berlin", "premium", "newsletter", "2026-12-01T12:00:00Z", "https://example.org/a")


def write_values(node: Node, values: list[bytes], keys: int) -> None:
    with node.resp() as client:
        for start in range(0, keys, 500):
            client.pipeline([("SET", f"key:{i}", values[i % len(values)]) for i in range(start, min(start + 500, keys))])


def figure_compression(keys: int) -> None:
    """What a leader sends and what it costs: a state of these keys to a new follower, then as many writes to it."""
    dice = random.Random(1)
    kinds = {
        "JSON": [json_value(dice) for _ in range(20_000)],
        "random": [dice.randbytes(1024) for _ in range(20_000)],
    }
    print(f"compression: {keys:,} values of 1 KB; MB sent, and processor seconds of leader and follower")
    for kind, values in kinds.items():
        for flag in ("off", "lz4"):
            cluster = Cluster(followers=0, log_level="warn", link_compression=flag)
            try:
                leader = cluster.start().leader()
                write_values(leader, values, keys)
                follower = cluster.add_node()

                def measured(title: str, act: Callable[[], object]) -> None:
                    before = leader.count("total_net_repl_output_bytes")
                    cpu = [0 if node.process is None else cpu_ns(node.pid) for node in (leader, follower)]
                    act()
                    cluster.wait_replicated(timeout=LIMIT_S)
                    sent = leader.count("total_net_repl_output_bytes") - before
                    spent = [cpu_ns(node.pid) - was for node, was in zip((leader, follower), cpu)]
                    print(f"             {kind:6} {flag:3} {title:6} {sent / MB:7.1f} MB  leader {spent[0] / 1e9:.2f} s  follower {spent[1] / 1e9:.2f} s", flush=True)

                measured("state", lambda: follower.start().wait_healthy(LIMIT_S))
                measured("stream", lambda: write_values(leader, values, keys))
            finally:
                cluster.close()


FIGURES = ("discovery", "idle", "load", "sync")
ON_DEMAND = ("stalls", "recovery", "compaction", "compression")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=20_000, help="writes a second during the sync")
    parser.add_argument("--stall-keys", type=int, default=10_000_000, help="keys in the table of the stalls")
    parser.add_argument("--times", type=int, default=5, help="nodes that are started for discovery")
    parser.add_argument("--only", default=",".join(FIGURES), help="which figures, separated by commas")
    words = parser.parse_args()
    wanted = words.only.split(",")
    if unknown := set(wanted) - set(FIGURES) - set(ON_DEMAND):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    if "discovery" in wanted:
        figure_discovery(words.times)
    if "idle" in wanted:
        figure_idle()
    if "load" in wanted or "sync" in wanted:
        with Kvnode() as system:
            figure_load(system, words.keys)
            if "sync" in wanted:
                figure_sync(system, words.rate)
    if "stalls" in wanted:
        with Kvnode() as system:
            figure_stalls(system, words.stall_keys)
    if "recovery" in wanted:
        figure_recovery(words.keys)
    if "compaction" in wanted:
        figure_compaction(words.keys, words.rate)
    if "compression" in wanted:
        figure_compression(words.keys)


if __name__ == "__main__":
    main()
