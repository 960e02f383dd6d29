"""harness.py: starts real kvnode processes on free loopback ports, watches them, and stops them by pid.

    class SeedSteps(ClusterTestCase):
        def test_a_write_reaches_the_followers(self) -> None:
            cluster = self.start_cluster(followers=2)
            cluster.leader().set("user1", "Alice")
            for node in cluster.followers():
                wait_until(lambda: node.get("user1") == "Alice", what=f"user1 on {node.name}")

A test file runs as it is (`python3 tests/process/test_x.py`), with the binary named by KVNODE or ./kvnode in the
root. Nobody sleeps for a fixed time: wait_until waits for a condition, with a limit. A node that crashed, ended by
itself, did not end with exit code 0 on SIGTERM or left a sanitizer report in its log makes its test fail.
Nothing a test starts outlives it, and no two tests hear each other: each cluster has a discovery port of its own.
"""
from __future__ import annotations

import atexit
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any, Callable, Optional, Union

from wire import (  # tests take everything from here
    BROADCAST,
    HOST,
    TIMEOUT_S,
    Connection,
    Datagram,
    DiscoverySocket,
    LineConnection,
    LineServer,
    RespClient,
    RespError,
    Response,
    http_get_key,
    http_request,
    http_set_key,
    wait_until,
)

__all__ = [
    "BROADCAST", "HOST", "KVNODE", "SANITIZE", "TIMEOUT_S", "Cluster", "ClusterTestCase", "Connection", "Datagram",
    "DiscoverySocket", "LineConnection", "LineServer", "Node", "RespClient", "RespError", "Response", "free_port",
    "http_get_key", "http_request", "http_set_key", "main", "run_kvnode", "wait_until",
]

ROOT = Path(__file__).resolve().parents[2]
KVNODE = Path(os.environ.get("KVNODE", ROOT / "kvnode")).resolve()
# Under sanitizers a node needs more memory, and a few times longer for everything that the processor does.
SANITIZE = os.environ.get("KVNODE_SANITIZE", "0") == "1"
SANITIZER_REPORT = re.compile(r"(ERROR|WARNING): \w*Sanitizer|: runtime error: ")

# --- ports ---------------------------------------------------------------------------------------------------------

# Without the defaults that a user's nodes have, and below the ports of the scripts (tools/cluster.bash) and of outgoing
# connections.
_CANDIDATES = range(10000, 27000)
_held_ports: list[socket.socket] = []
_port_chance = random.SystemRandom()  # not the tests' own, which a seed repeats
atexit.register(lambda: [port.close() for port in _held_ports])


def free_port() -> int:
    """A port, free for TCP and UDP, that no other test process is given while this one lives.

    The reservation is an abstract Unix socket named after the port: it ends with the process, whatever happens."""
    for _ in range(1000):
        port = _port_chance.choice(_CANDIDATES)
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            reservation.bind(f"\0kvnode-test-port-{port}")
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("0.0.0.0", port))
        except OSError:
            reservation.close()
            continue
        _held_ports.append(reservation)
        return port
    raise RuntimeError("no free port in a thousand tries")


# --- one node ------------------------------------------------------------------------------------------------------

Flag = Union[str, int, bool]


class Node:
    """One kvnode process, which may be started and ended several times. Flags are those of the command line, `_` for
    `-`; True is a flag without a value, False and None leave a flag out."""

    def __init__(self, name: str, directory: Path, **flags: Optional[Flag]):
        self.name = name
        self.flags: dict[str, Optional[Flag]] = {
            "port": free_port(), "api": free_port(), "redis": free_port(), "group": 0, **flags,
        }
        self.log_path = directory / f"{name}.log"
        self.process: Optional[subprocess.Popen[bytes]] = None
        self.problems: list[str] = []
        self.before_exec: Optional[Callable[[], None]] = None  # runs in the new process: for resource limits
        self._stop_requested = False

    def __repr__(self) -> str:
        return f"<{self.name} :{self.port} api {self.api} redis {self.redis}>"

    @property
    def port(self) -> int:
        return int(self.flags["port"] or 0)

    @property
    def api(self) -> int:
        return int(self.flags["api"] or 0)

    @property
    def redis(self) -> int:
        return int(self.flags["redis"] or 0)

    @property
    def group(self) -> int:
        return int(self.flags["group"] or 0)

    @property
    def is_leader(self) -> bool:
        """Whether it was started with -leader."""
        return bool(self.flags.get("leader"))

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid

    def command(self) -> list[str]:
        words = [str(KVNODE)]
        for name, value in self.flags.items():
            if value is None or value is False:
                continue
            words.append("-" + name.replace("_", "-"))
            if value is not True:
                words.append(str(value))
        return words

    # Starting and ending.

    def start(self, **flags: Optional[Flag]) -> "Node":
        """Starts it, with some flags changed from now on, and returns at once. Its log goes on where it was."""
        assert not self.is_running(), f"{self.name} runs already"
        self.flags.update(flags)
        self._stop_requested = False
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self.before_exec
            )
        return self

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_healthy(self, timeout: float = TIMEOUT_S) -> "Node":
        """Until GET /health is 200; fails at once when the process ends."""

        def healthy() -> bool:
            if not self.is_running():
                raise AssertionError(f"{self.name} ended with {self.process and self.process.returncode}:\n{self.log()}")
            return self.http("GET", "/health", timeout=2).status == 200

        wait_until(healthy, timeout, f"{self.name} healthy")
        return self

    def request_stop(self) -> None:
        """SIGTERM, once, to a node that runs."""
        if self.is_running() and not self._stop_requested:
            self.resume()
            os.kill(self.pid, signal.SIGTERM)
            self._stop_requested = True

    def stop(self, timeout: float = TIMEOUT_S) -> Optional[int]:
        """SIGTERM, and SIGKILL when that does not end it in time; returns the exit code, None if it was not started.
        Anything but 0 is a problem, and so is a node that ended before it was asked to."""
        if self.process is None:
            return None
        self.request_stop()
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait(TIMEOUT_S)
            self.problems.append(f"{self.name} did not end within {timeout:g} s of SIGTERM")
        else:
            if not self._stop_requested:
                self.problems.append(f"{self.name} ended by itself with {code}")
            elif code != 0:
                self.problems.append(f"{self.name} ended with {code} on SIGTERM")
        self.process = None
        return code

    def kill(self) -> None:
        """kill -9: it has no chance to say anything."""
        assert self.process is not None and self.process.poll() is None, f"{self.name} does not run"
        self.process.kill()
        self.process.wait(TIMEOUT_S)
        self.process = None

    def wait_exit(self, timeout: float = TIMEOUT_S) -> int:
        """Waits for a node that is expected to end by itself; returns its exit code."""
        assert self.process is not None, f"{self.name} was never started"
        code = self.process.wait(timeout)
        self.process = None
        return code

    def pause(self) -> None:
        """SIGSTOP: it neither reads nor writes, but its connections stay."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def check(self) -> list[str]:
        """What is wrong with how this node lived, in sentences."""
        report = SANITIZER_REPORT.search(self.log())
        return self.problems + ([f"{self.name}: a sanitizer report in its log"] if report else [])

    # Talking to it.

    def resp(self, timeout: float = TIMEOUT_S) -> RespClient:
        return RespClient(self.redis, timeout=timeout)

    def execute(self, *args: Union[bytes, str, int]) -> Any:
        """One Redis command on a connection of its own."""
        with self.resp() as client:
            return client.execute(*args)

    def http(self, method: str, path: str, body: Union[bytes, str, dict, None] = None, **more: Any) -> Response:
        return http_request(self.api, method, path, body, **more)

    def get(self, key: str) -> Optional[str]:
        """The value over REST; None when there is no such key."""
        answer = http_get_key(self.api, key)
        if answer.status == 404:
            return None
        assert answer.status == 200, answer
        return answer.json()["value"]

    def set(self, key: str, value: str) -> dict[str, Any]:
        """A write over REST that must succeed; returns the answer's JSON."""
        answer = http_set_key(self.api, key, value)
        assert answer.status == 200, answer
        return answer.json()

    def wait_listening(self, timeout: float = TIMEOUT_S) -> "Node":
        """Until it answers at all: a follower without a leader is not healthy, but it is there."""
        wait_until(lambda: self.http("GET", "/health", timeout=2).status in (200, 503), timeout, f"{self.name} answers")
        return self

    def info(self) -> dict[str, str]:
        """INFO as a dictionary over all sections."""
        with self.resp() as client:
            return client.info()

    def count(self, name: str) -> int:
        """A counter of INFO."""
        return int(self.info()[name])

    def digest(self) -> str:
        """Of all keys, values, versions, deadlines and timestamps: equal on two nodes if their data is."""
        return str(self.execute("DEBUG", "DIGEST"))

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def position(self) -> int:
        """The index of the last history line written (a leader) or applied (a follower), as ROLE tells it."""
        role = self.execute("ROLE")
        return int(role[1] if role[0] == b"master" else role[4])

    def cluster(self) -> dict[str, Any]:
        """GET /cluster."""
        return self.http("GET", "/cluster").json()

    def known_nodes(self, alive: bool = True) -> set[int]:
        """Replication ports of the nodes that this one believes to be alive (or dead), itself included."""
        return {node["port"] for node in self.cluster()["nodes"] if node["alive"] == alive}

    def known_leaders(self) -> dict[int, int]:
        """Group -> replication port of its live leader, as this node sees it."""
        nodes = self.cluster()["nodes"]
        return {node["group"]: node["port"] for node in nodes if node["alive"] and node["role"] == "leader"}


# --- clusters ------------------------------------------------------------------------------------------------------


class Cluster:
    """Groups of one leader and some followers on a discovery port of their own. Flags go to every node."""

    def __init__(self, groups: int = 1, followers: int = 2, **flags: Optional[Flag]):
        self._directory = tempfile.TemporaryDirectory(prefix="kvnode-test-")
        self.directory = Path(self._directory.name)
        self.discovery_port = free_port()
        self.common_flags = flags
        self.nodes: list[Node] = []
        for group in range(groups):
            self.add_node(group, leader=True)
            for _ in range(followers):
                self.add_node(group)

    def add_node(self, group: int = 0, leader: bool = False, **flags: Optional[Flag]) -> Node:
        """One more node, not started yet."""
        role = "leader" if leader else "follower"
        node = Node(
            f"group{group}-{role}-{len(self.nodes)}", self.directory,
            discovery_port=self.discovery_port, group=group, leader=leader, **{**self.common_flags, **flags},
        )
        self.nodes.append(node)
        return node

    def start(self) -> "Cluster":
        """Starts every node and waits until all are healthy and know each other."""
        for node in self.nodes:
            node.start()
        return self.wait_formed()

    def wait_formed(self, timeout: float = TIMEOUT_S) -> "Cluster":
        running = [node for node in self.nodes if node.is_running()]
        for node in running:
            node.wait_healthy(timeout)
        everyone = {node.port for node in running}
        for node in running:
            wait_until(lambda: node.known_nodes() >= everyone, timeout, f"{node.name} knows all {len(everyone)} nodes")
        return self

    def leader(self, group: int = 0) -> Node:
        return next(node for node in self.nodes if node.group == group and node.is_leader)

    def followers(self, group: int = 0) -> list[Node]:
        return [node for node in self.nodes if node.group == group and not node.is_leader]

    def discovery(self) -> DiscoverySocket:
        return DiscoverySocket(self.discovery_port)

    def wait_replicated(self, group: int = 0, timeout: float = TIMEOUT_S) -> None:
        """Until every running follower of the group is where the leader's history is, with as many keys."""

        def equal(follower: Node) -> bool:
            return follower.position() == leader.position() and follower.execute("DBSIZE") == leader.execute("DBSIZE")

        leader = self.leader(group)
        for follower in self.followers(group):
            if follower.is_running():
                wait_until(lambda: equal(follower), timeout, f"{follower.name} has what {leader.name} has")

    def wait_same_data(self, group: int = 0, timeout: float = TIMEOUT_S) -> str:
        """Until every running node of the group has the same digest as its leader; returns it."""
        leader = self.leader(group)
        for follower in self.followers(group):
            if follower.is_running():
                what = f"the data of {leader.name} on {follower.name}"
                wait_until(lambda: follower.digest() == leader.digest(), timeout, what)
        return leader.digest()

    def close(self) -> None:
        """Ends every node, and fails when one of them did not live and end as it should."""
        for node in self.nodes:
            node.request_stop()
        for node in self.nodes:
            node.stop()
        problems = [problem for node in self.nodes for problem in node.check()]
        self.logs = {node.name: node.log() for node in self.nodes}
        self._directory.cleanup()
        if problems:
            raise AssertionError("; ".join(problems))


class ClusterTestCase(unittest.TestCase):
    """A test with clusters that are ended and judged when it is over; their logs are shown when it failed."""

    def setUp(self) -> None:
        self._clusters: list[Cluster] = []

    def make_cluster(self, groups: int = 1, followers: int = 2, **flags: Optional[Flag]) -> Cluster:
        """A cluster whose nodes are not started yet."""
        cluster = Cluster(groups, followers, **flags)
        self._clusters.append(cluster)
        self.addCleanup(cluster.close)
        return cluster

    def start_cluster(self, groups: int = 1, followers: int = 2, **flags: Optional[Flag]) -> Cluster:
        return self.make_cluster(groups, followers, **flags).start()

    def run(self, result: Optional[unittest.TestResult] = None) -> Optional[unittest.TestResult]:
        def troubles() -> int:
            return len(result.failures) + len(result.errors) if result else 0

        before = troubles()
        self._clusters = []
        outcome = super().run(result)
        if troubles() > before:
            for cluster in self._clusters:
                for name, log in cluster.logs.items():
                    lines = log.splitlines()
                    shown = lines if SANITIZER_REPORT.search(log) else lines[-40:]
                    print(f"--- {self.id()}: log of {name} ({len(lines)} lines)", *shown, sep="\n", file=sys.stderr)
        return outcome


def run_kvnode(*args: str, timeout: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """Runs kvnode to its end: for -version, bad flags and the like."""
    return subprocess.run(
        [str(KVNODE), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
    )


def main() -> None:
    """What a test file calls: runs its tests, or says that there is nothing to run them on."""
    if not os.access(KVNODE, os.X_OK):
        sys.exit(f"there is no {KVNODE}: make build, or name a binary with KVNODE=")
    seed = int(os.environ.get("KVNODE_SEED", time.time_ns() % (1 << 32)))
    random.seed(seed)
    print(f"seed {seed}", file=sys.stderr)
    unittest.main(verbosity=2)
