#!/usr/bin/env python3
"""The same commands to kvnode and to a real redis-server: replies are equal byte for byte, in RESP2 and RESP3, but for
what parity/differences lists. parity/README.md says how the scripts are written."""
from __future__ import annotations

import os
import random
import time
import unittest

from harness import Cluster, RespClient, main, wait_until
from parity import SCRIPTS, Differences, RedisServer, ask, read_script, redis_is_installed, run_script
from parity_random import Bench, random_sequence, shrink

RANDOM_S = float(os.environ.get("KVNODE_RANDOM_S", 25))
LEAST_SEQUENCES = 50  # however long they take
SHRINK_S = 20


def expected_commands() -> list[str]:
    """parity/commands: every command that kvnode has, `container|subcommand` for subcommands."""
    return (SCRIPTS / "commands").read_text(encoding="utf-8").split()


@unittest.skipUnless(redis_is_installed(), "no redis-server here: tools/install-dependencies.sh test")
class RedisParity(unittest.TestCase):
    cluster: Cluster
    redis: dict[str, RedisServer]

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = Cluster(groups=1, followers=0)
        cls.addClassCleanup(cls.cluster.close)
        cls.redis = {}
        for name, more in {"single": (), "cluster": ("--cluster-enabled", "yes")}.items():
            cls.redis[name] = RedisServer(*more)
            cls.addClassCleanup(cls.redis[name].close)
        cls.cluster.start()
        with cls.cluster.leader().resp() as client:
            wait_until(lambda: client.info()["groups_in_ring"] == "1", what="the group is in the ring")
        port = cls.redis["cluster"].port
        ask(port, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_until(lambda: b"cluster_state:ok" in ask(port, "CLUSTER", "INFO"), what="redis-server's slots")

    def kvnode(self) -> int:
        node = self.cluster.leader()
        if not node.is_running():
            node.start().wait_healthy()
        return node.redis

    def test_scripts(self) -> None:
        """Every script in both protocols; and no intended difference that is none."""
        differences, compared, lines = Differences(), 0, 0
        for path in sorted(SCRIPTS.glob("*.txt")):
            script = read_script(path)
            lines += len(script.steps)
            for protocol in script.protocols:
                with self.subTest(script=script.name, protocol=protocol):
                    redis = self.redis[script.server].port if script.server != "none" else None
                    outcome = run_script(script, protocol, redis, self.kvnode(), differences)
                    compared += outcome.compared
                    if outcome.mismatches:
                        shown = "\n".join(map(str, outcome.mismatches))
                        self.fail(f"{len(outcome.mismatches)} of {outcome.compared} replies differ\n{shown}")
        print(f"{lines} lines, {compared} replies compared, {len(differences)} intended differences")
        self.assertEqual(differences.unused(), [], "intended differences that do not differ")

    def test_every_command_is_there(self) -> None:
        """By COMMAND INFO; and each is in some script."""
        commands = expected_commands()
        with RespClient(self.kvnode()) as client:
            rows = client.execute("COMMAND", "INFO", *commands)
        missing = [name for name, row in zip(commands, rows) if row is None]
        said = " ".join(path.read_text(encoding="utf-8").lower() for path in SCRIPTS.glob("*.txt"))
        words = set(said.replace('"', " ").split())
        untested = [name for name in commands if not all(word in words for word in name.split("|"))]
        self.assertEqual((missing, untested), ([], []), "not in kvnode; not in any script")

    def test_dumps_travel(self) -> None:
        """What one of them dumps the other restores, of every encoding a string has."""
        redis, kvnode = self.redis["single"].port, self.kvnode()
        values = ["", "0", "-1", "127", "128", "-129", "32767", "32768", "2147483647", "2147483648", "01", "+1", "a"]
        values += ["x" * n for n in (20, 21, 63, 64, 1000, 16383, 16384, 100000)]
        values += ["abc" * 50, "\x00" * 40, "ab" * 8 + "".join(map(chr, range(100)))]
        for ours, theirs in ((redis, kvnode), (kvnode, redis)):
            with RespClient(ours) as giver, RespClient(theirs) as taker:
                for value in values:
                    giver.execute("SET", "dumped", value)
                    payload = giver.execute("DUMP", "dumped")
                    taker.execute("RESTORE", "dumped", 0, payload, "REPLACE")
                    self.assertEqual(taker.execute("GET", "dumped"), value.encode())
                    self.assertEqual(taker.execute("TTL", "dumped"), -1)

    def test_hyperloglogs_travel(self) -> None:
        """The same elements make the same bytes, sparse and dense; what one has made the other counts and adds to."""
        redis, kvnode = self.redis["single"].port, self.kvnode()
        with RespClient(redis) as theirs, RespClient(kvnode) as ours:
            both = (theirs, ours)
            for client in both:
                client.execute("DEL", "hll", "came", "merged")
            added = 0
            while added < 60_000:
                batch = [f"element:{n}" for n in range(added, added + max(1, added // 4))]
                added += len(batch)
                self.assertEqual(*(client.execute("PFADD", "hll", *batch) for client in both))
                values = [client.execute("GET", "hll") for client in both]
                # Bytes 8 to 15 are where Redis notes what it has counted.
                self.assertEqual(*(value[:8] + value[16:] for value in values), f"{added} elements")
                count = ours.execute("PFCOUNT", "hll")
                self.assertLess(abs(count - added), 0.03 * added + 1)
                for client, value in zip(both, reversed(values)):
                    client.execute("SET", "came", value)
                    client.execute("PFADD", "came", "one more")
                    client.execute("PFMERGE", "merged", "came", "hll")
                for key in ("came", "merged", "hll"):
                    self.assertEqual(*(client.execute("PFCOUNT", key) for client in both), f"{key} of {added}")
            self.assertEqual(values[0][4], 0, "it has become dense")

    def test_random_sequences(self) -> None:
        """Commands by chance over a few keys, with right and wrong arguments; a failing sequence is made minimal."""
        seed = int(os.environ.get("KVNODE_SEED", time.time_ns() % (1 << 32)))
        until = time.monotonic() + RANDOM_S
        sequences = replies = 0
        with Bench(self.redis["single"].port, self.kvnode()) as bench:
            while time.monotonic() < until or sequences < LEAST_SEQUENCES:
                protocol = 2 + sequences % 2
                sequence = random_sequence(random.Random(seed + sequences))
                if bench.mismatch(sequence, protocol) is not None:
                    minimal = shrink(sequence, lambda some: bench.mismatch(some, protocol) is not None, time.monotonic() + SHRINK_S)
                    found = bench.mismatch(minimal, protocol) or "(it did not fail again)"
                    shown = "\n    ".join(repr(b" ".join(command)) for command in minimal)
                    self.fail(f"KVNODE_SEED={seed + sequences} RESP{protocol}\n    {shown}\n{found}")
                sequences += 1
                replies += len(sequence)
        print(f"{sequences} random sequences, {replies} replies compared, seed {seed}")


if __name__ == "__main__":
    main()
