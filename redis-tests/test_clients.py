#!/usr/bin/env python3
"""Real clients against real clusters: redis-py, ioredis and node-redis, alone and as cluster clients, over one, two and
three groups. Each client is a program of clients/ that says `ok NAME` for a check, and `restart PORT` when it wants
a node restarted under it."""
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "process"))

from harness import Cluster, ClusterTestCase, Node, main, wait_until  # noqa: E402

CLIENTS = HERE / "clients"
PROGRAM_S = 200  # for all that a program does
# Debian's python3-redis belongs to Debian's Python, which need not be the one that runs this.
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


def find_node() -> str:
    """The first Node.js that is not too old: tools/install-dependencies.sh adds Debian's where an older one hides it."""
    wanted = int(json.loads((CLIENTS / "package.json").read_text())["engines"]["node"].removeprefix(">="))
    found = []
    for node in dict.fromkeys((shutil.which("node"), "/usr/bin/node")):
        if node is not None and os.access(node, os.X_OK):
            version = subprocess.run([node, "-v"], capture_output=True, text=True, timeout=30).stdout.strip()
            if version and int(version[1:].split(".")[0]) >= wanted:
                return node
            found.append(f"{node} is {version}")
    sys.exit(f"Node.js {wanted} or newer is wanted ({', '.join(found) or 'there is none'}): tools/install-dependencies.sh test")


NODE = find_node()
PROGRAMS = {
    "redis_py": [PYTHON, str(CLIENTS / "redis_py.py")],
    "ioredis": [NODE, str(CLIENTS / "ioredis.js")],
    "node_redis": [NODE, str(CLIENTS / "node_redis.js")],
}
CHECKS = {"connect", "strings", "counters", "bits", "keys", "pipeline", "transaction", "pubsub", "scan", "big_and_binary",
          "cluster_map", "reconnect"}


def start_ring(cluster: Cluster, groups: int) -> None:
    """Until every node has every group in its ring: a slot map without holes."""
    for node in cluster.nodes:
        wait_until(lambda: node.info()["groups_in_ring"] == str(groups), what=f"{node.name} has {groups} groups")


class Clients(ClusterTestCase):
    cluster: Cluster

    def restart(self, port: int) -> None:
        node = next(node for node in self.cluster.nodes if node.redis == port)
        self.cluster.wait_replicated(node.group)
        node.kill()
        node.start().wait_healthy()

    def run_client(self, name: str, mode: str, node: Node) -> None:
        """Until it ends, doing what it asks for."""
        command = [*PROGRAMS[name], mode, str(node.redis)]
        program = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=CLIENTS
        )
        errors: list[str] = []
        assert program.stdin and program.stdout and program.stderr
        reader = threading.Thread(target=lambda: errors.append(program.stderr.read()))  # type: ignore[union-attr]
        reader.start()
        killer = threading.Timer(PROGRAM_S, program.kill)
        killer.start()
        said = []
        try:
            for line in program.stdout:
                said.append(line.strip())
                if line.startswith("restart "):
                    self.restart(int(line.split()[1]))
                    program.stdin.write("done\n")
                    program.stdin.flush()
            code = program.wait()
        finally:
            killer.cancel()
            program.kill()
            program.wait()
            reader.join()
            for stream in (program.stdin, program.stdout, program.stderr):
                stream.close()
        self.assertEqual(code, 0, f"{command}: {said[-3:]}\n{errors[0][-3000:]}")
        missing = CHECKS - {line[3:] for line in said if line.startswith("ok ")}
        self.assertEqual(missing, set(), command)

    def run_all(self, mode: str, groups: int, followers: int) -> None:
        self.cluster = self.start_cluster(groups=groups, followers=followers)
        start_ring(self.cluster, groups)
        for name in PROGRAMS:
            with self.subTest(client=name, mode=mode, groups=groups):
                began = time.monotonic()
                self.run_client(name, mode, self.cluster.leader())
                print(f"{name} {mode}, {groups} groups: {time.monotonic() - began:.1f} s", file=sys.stderr)

    def test_plain_on_a_leader_with_two_followers(self) -> None:
        self.run_all("plain", 1, 2)

    def test_cluster_of_one_group(self) -> None:
        self.run_all("cluster", 1, 2)

    def test_cluster_of_two_groups(self) -> None:
        self.run_all("cluster", 2, 1)

    def test_cluster_of_three_groups(self) -> None:
        self.run_all("cluster", 3, 1)

    def test_the_clients_are_there(self) -> None:
        """Nothing is skipped silently: tools/install-dependencies.sh test installs them."""
        for package in ("ioredis", "redis"):
            self.assertTrue((CLIENTS / "node_modules" / package).is_dir(), package)
        subprocess.run([PYTHON, "-c", "import redis.cluster"], check=True, timeout=30)


if __name__ == "__main__":
    main()
