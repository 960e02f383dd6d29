"""servers.py: the servers that are measured, each fresh on free loopback ports; they keep data only where fsync says how.

    with Redis(follower=True) as redis, Kvnode(follower=True) as kvnode:
        redis.client().execute("SET", "key", "value")
        kvnode.cpu_ns()     # of the server that clients talk to, all its threads, user and system

A server is a context manager; what it started ends with it, by pid. A follower is part of its server, and is not
measured."""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "process"))
# pylint: disable-next=wrong-import-position,wrong-import-order
from harness import HOST, KVNODE, Cluster, Connection, Node, RespClient, RespError, free_port, wait_until  # noqa: E402

__all__ = [
    "BACKLOG_MB", "HOST", "KVNODE", "Cluster", "Kvnode", "Memcached", "Node", "Redis", "Replicated", "RespClient", "RespError", "Server",
    "Webdis", "missing_tools", "settled_resident_bytes", "wait_until",
]

START_S = 10.0
CATCH_UP_S = 60.0
# A follower must not fall behind so far that it is fully synced in the middle of a run: the same for both systems.
BACKLOG_MB = 512
BACKLOG = f"{BACKLOG_MB}mb"


def missing_tools(*names: str) -> list[str]:
    return [name for name in names if shutil.which(name) is None]


def cpu_ns(pid: int) -> int:
    """Time on a processor, user and system, of all threads, and of children that have ended (redis-server's rewrite). It is what utime + stime of /proc/PID/stat are made of,
    without their rounding to a tick of 10 ms; where the kernel does not have it, it is those."""
    total = 0
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ended_children = (int(fields[13]) + int(fields[14])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    except FileNotFoundError:
        total = 0
    if total == 0:
        total = (int(fields[11]) + int(fields[12])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return total + ended_children


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


class Server:
    """Base: processes that are started in a directory of their own, and stopped in reverse order."""

    name = ""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.port = 0
        self.http_port = 0

    def __enter__(self) -> "Server":
        self._directory = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="kvnode-bench-"))
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        raise NotImplementedError

    def _run(self, *command: str) -> int:
        """Starts a process that is stopped with the server; returns its pid."""
        process = subprocess.Popen(
            command, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._stack.callback(self._end, process)
        return process.pid

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    # What is measured.

    def pids(self) -> list[int]:
        raise NotImplementedError

    def cpu_ns(self) -> int:
        return sum(cpu_ns(pid) for pid in self.pids())

    def resident_bytes(self) -> int:
        return sum(resident_bytes(pid) for pid in self.pids())

    # What the loads need to know.

    def client(self, timeout: float = CATCH_UP_S) -> RespClient:
        return RespClient(self.port, timeout=timeout)

    def wait_caught_up(self) -> None:
        """Until the follower, if there is one, has all that was written."""

    def full_syncs(self) -> int:
        return 0


def accepts(port: int) -> bool:
    try:
        Connection(port, timeout=1).close()
    except OSError:
        return False
    return True


class Replicated(Server):
    """Redis and kvnode tell of their replication in the same lines of INFO."""

    def __init__(self, follower: bool = False, fsync: Optional[str] = None) -> None:
        super().__init__()
        self._with_follower = follower
        self._fsync = fsync  # "always", "everysec", "no": as -fsync and appendfsync have it
        self.follower_port: Optional[int] = None

    def follower_client(self) -> RespClient:
        assert self.follower_port is not None, f"{self.name} has no follower"
        return RespClient(self.follower_port, timeout=CATCH_UP_S)

    def wait_caught_up(self) -> None:
        if self.follower_port is None:
            return
        with self.client() as leader, self.follower_client() as follower:

            def caught_up() -> bool:
                there, here = follower.info(), leader.info()
                return (
                    there.get("master_link_status") == "up" and "state=online" in here.get("slave0", "")
                    and int(there["slave_repl_offset"]) >= int(here["master_repl_offset"])
                )

            wait_until(caught_up, CATCH_UP_S, f"the follower of {self.name} has caught up")

    def full_syncs(self) -> int:
        with self.client() as client:
            return int(client.info()["sync_full"])


class Redis(Replicated):
    name = "redis"

    def _start(self) -> None:
        self.port = free_port()
        self._pid = self._run_redis(self.port)
        if self._with_follower:
            self.follower_port = free_port()
            self._run_redis(self.follower_port, "--replicaof", f"{HOST} {self.port}")
            self.wait_caught_up()

    def _run_redis(self, port: int, *more: str) -> int:
        keeps = ["no"] if self._fsync is None else ["yes", "--appendfsync", self._fsync]
        pid = self._run(
            "redis-server", "--port", str(port), "--bind", HOST, "--save", "", "--appendonly", *keeps, "--repl-backlog-size", BACKLOG, "--client-output-buffer-limit", f"replica {BACKLOG} {BACKLOG} 60", "--repl-diskless-sync-delay", "0", *more,
        )
        wait_until(lambda: accepts(port), START_S, "redis-server answers")
        return pid

    def kill(self) -> None:
        """kill -9, once what it has written is on its way to the disk."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def start_again(self) -> None:
        self._pid = self._run_redis(self.port)

    def pids(self) -> list[int]:
        return [self._pid]


class Kvnode(Replicated):
    name = "kvnode"

    def _start(self) -> None:
        self.cluster = Cluster(followers=1 if self._with_follower else 0, backlog=BACKLOG, log_level="warn")
        self._stack.callback(self.cluster.close)
        if self._fsync is not None:
            for node in self.cluster.nodes:
                node.flags.update(data=str(self.cluster.directory / node.name), fsync=self._fsync)
        self.cluster.start()
        self.port = self.cluster.leader().redis
        self.http_port = self.cluster.leader().api
        if self._with_follower:
            self.follower_port = self.cluster.followers()[0].redis
            self.wait_caught_up()

    def pids(self) -> list[int]:
        return [self.cluster.leader().pid]


class Memcached(Server):
    """One thread, as the others have; not a Redis server, so only the raw load can drive it."""

    name = "memcached"

    def _start(self) -> None:
        self.port = free_port()
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        self._pid = self._run("memcached", "-l", HOST, "-p", str(self.port), "-U", "0", "-t", "1", "-m", "4096", *user)
        wait_until(lambda: accepts(self.port), START_S, "memcached answers")

    def pids(self) -> list[int]:
        return [self._pid]


class Webdis(Server):
    """webdis and the redis-server behind it: the price of a request is that of both."""

    name = "webdis+redis"

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self._redis = redis

    def _start(self) -> None:
        self.port = self._redis.port
        self.http_port = free_port()
        config = Path(self._directory) / "webdis.json"
        config.write_text(json.dumps({
            "redis_host": HOST, "redis_port": self._redis.port, "http_host": HOST, "http_port": self.http_port,
            "threads": 1, "pool_size": 20, "daemonize": False, "database": 0, "verbosity": 0, "logfile": "/dev/null",
        }), encoding="utf-8")
        self._pid = self._run("webdis", str(config))
        wait_until(lambda: accepts(self.http_port), START_S, "webdis answers")

    def pids(self) -> list[int]:
        return [self._pid, *self._redis.pids()]


def settled_resident_bytes(server: Server) -> int:
    """Once it has stopped changing: what a server does behind the last reply (rehashing, freeing) counts."""
    before = server.resident_bytes()
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        time.sleep(0.3)
        now = server.resident_bytes()
        if abs(now - before) < 0.001 * before:
            return now
        before = now
    return before
