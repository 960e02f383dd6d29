#!/usr/bin/env python3
"""How a node starts, how it refuses to start, and how it ends."""
import re
import signal
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import HOST, SANITIZE, ClusterTestCase, free_port, main, run_kvnode, wait_until

LOGFMT = re.compile(r'^([a-z_0-9]+=("([^"\\]|\\.)*"|[^" ]*)( |$))+$')

# Runs a command where the first argument stands in for the system's setting.
WITH_OVERCOMMIT_OF = (
    "unshare", "-rm", "sh", "-c", 'mount --bind "$0" /proc/sys/vm/overcommit_memory && exec "$@"'
)


def may_change_overcommit() -> bool:
    with tempfile.NamedTemporaryFile() as file:
        try:
            return subprocess.run([*WITH_OVERCOMMIT_OF, file.name, "true"], capture_output=True).returncode == 0
        except OSError:
            return False


class Starting(ClusterTestCase):
    @unittest.skipUnless(may_change_overcommit(), "this user may not mount, not even for itself")
    def test_where_the_system_promises_no_more_memory_than_it_has(self) -> None:
        """vm.overcommit_memory 2: the allocator has to ask for every part that it uses."""
        cluster = self.make_cluster(groups=1, followers=0)
        node = cluster.leader()
        command = node.command()
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("2\n")
            file.flush()
            node.command = lambda: [*WITH_OVERCOMMIT_OF, file.name, *command]  # type: ignore[method-assign]
            cluster.start()
            node.wait_healthy()
        with node.resp() as client:
            client.pipeline([("SET", f"key{i}", "x" * 1000) for i in range(20_000)])
            self.assertEqual(client.execute("DBSIZE"), 20_000)


class Ending(ClusterTestCase):
    def end_by(self, number: signal.Signals) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader = cluster.leader()
        with leader.resp() as idle, leader.resp() as busy:
            self.assertEqual(idle.execute("PING"), "PONG")
            busy.pipeline([("SET", f"key{i}", "x" * 100) for i in range(1000)])
            for node in cluster.nodes:
                node.process.send_signal(number)
                self.assertEqual(node.wait_exit(), 0, node.log())
            self.assertTrue(idle.is_closed())

    def test_sigterm_ends_a_node_that_has_clients(self) -> None:
        self.end_by(signal.SIGTERM)

    def test_sigint_does_the_same(self) -> None:
        self.end_by(signal.SIGINT)

    def test_sigquit_does_the_same(self) -> None:
        self.end_by(signal.SIGQUIT)

    def test_a_signal_that_has_no_meaning_yet_is_ignored_and_said(self) -> None:
        node = self.start_cluster(groups=1, followers=0).leader()
        node.set("key", "value")
        pid = node.pid
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            node.process.send_signal(number)
            name = number.name.removeprefix("SIG")
            wait_until(lambda: f"event=signal-ignored signal={name}" in node.log(), what=f"a line about {name}")
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            node.process.send_signal(number)
        self.assertEqual(node.get("key"), "value")
        self.assertEqual(node.pid, pid)

    def test_what_followers_have_not_read_is_sent_from_where_it_is(self) -> None:
        """A node that stops needs no memory for that: it may be just what there is little of."""
        cluster = self.start_cluster(groups=1, followers=2, backlog="32m")
        leader = cluster.leader()
        for follower in cluster.followers():
            follower.pause()
        with leader.resp() as client:
            for _ in range(30):
                client.pipeline([("SET", f"key{i}", "x" * 1000) for i in range(1000)])

        def most_resident_kb() -> int:
            status = Path(f"/proc/{leader.pid}/status").read_text()
            return int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]

        before = most = most_resident_kb()
        leader.request_stop()
        try:
            while leader.is_running():
                now = most_resident_kb()
                if SANITIZE and "event=stopped" in leader.log():
                    break  # the search for leaks, which follows, takes memory of its own
                most = max(most, now)
        except (OSError, TypeError):
            pass  # it has ended meanwhile
        self.assertEqual(leader.wait_exit(), 0, leader.log())
        self.assertLess(most - before, 8 << 10)

    def test_its_ports_are_free_again_at_once(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        node = cluster.leader()
        with node.resp() as client:
            client.execute("PING")
            node.stop()
        node.start().wait_healthy()

    def test_the_log_is_logfmt(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        for node in cluster.nodes:
            node.stop()
            lines = node.log().splitlines()
            self.assertGreater(len(lines), 1, "it says at least that it starts and that it stops")
            for line in lines:
                self.assertRegex(line, LOGFMT)
                self.assertRegex(line, r"(^| )level=(debug|info|warn|error)( |$)")


class Refusing(ClusterTestCase):
    def assert_refused(self, codes: tuple[int, ...], *args: str) -> str:
        """One line on stderr, nothing on stdout, one of the exit codes; returns the line."""
        ended = run_kvnode(*args)
        self.assertIn(ended.returncode, codes, (args, ended))
        self.assertEqual(ended.stdout, "", args)
        self.assertRegex(ended.stderr, r"\A[^\n]+\n\Z", args)
        return ended.stderr

    def test_bad_flags(self) -> None:
        for args in (
            ("-nonsense",),
            ("nonsense",),
            ("-port",),
            ("-port", "0"),
            ("-port", "65536"),
            ("-port", "eighty"),
            ("-port", ""),
            ("-port", "80x"),
            ("-port", "1000"),  # 1000 - 8000 + 6379 is no port: -redis must be given
            ("-group", "16384"),
            ("-group", "-1"),
            ("-id", "with space"),
            ("-id", "x" * 41),
            ("-id", ""),
            ("-backlog", "12q"),
            ("-maxmemory-policy", "whatever"),
            ("-log-level", "loud"),
            ("-bind", "127.0.0.1,256.1.1.1"),
            ("-announce-port", "0"),
            ("-announce-api", "65536"),
            ("-announce-redis", "x"),
            ("-announce-port", "7", "-announce-api", "7"),
            ("-config", "/nonexistent/kvnode.conf"),
        ):
            with self.subTest(args=args):
                self.assert_refused((2,), *args)

    def test_the_line_names_the_flag(self) -> None:
        self.assertIn("nonsense", self.assert_refused((2,), "-nonsense"))
        self.assertIn("group", self.assert_refused((2,), "-group", "16384"))

    def test_bad_addresses(self) -> None:
        for host in ("no.such.interface0", "256.1.1.1", "198.51.100.77"):
            with self.subTest(host=host):
                ports = (str(free_port()) for _ in range(4))
                flags = [word for pair in zip(("-port", "-api", "-redis", "-discovery-port"), ports) for word in pair]
                self.assert_refused((1, 2), "-host", host, *flags)

    def test_a_port_that_is_taken(self) -> None:
        for taken_flag in ("-port", "-api", "-redis"):
            with self.subTest(taken=taken_flag), socket.socket() as taken:
                taken.bind((HOST, 0))
                taken.listen()
                port = str(taken.getsockname()[1])
                flags = {flag: str(free_port()) for flag in ("-port", "-api", "-redis", "-discovery-port")}
                flags[taken_flag] = port
                line = self.assert_refused((1,), *(word for pair in flags.items() for word in pair))
                self.assertIn(port, line)


class Asking(ClusterTestCase):
    FLAGS = (
        "port", "group", "leader", "api", "redis", "host", "bind", "announce-port", "announce-api", "announce-redis", "broadcast", "discovery-port", "id", "backlog",
        "maxmemory", "maxmemory-policy", "log-level", "config", "version", "help",
    )

    def test_version(self) -> None:
        for dashes in ("-", "--"):
            ended = run_kvnode(dashes + "version")
            self.assertEqual((ended.returncode, ended.stderr), (0, ""))
            self.assertRegex(ended.stdout, r"\d+\.\d+\.\d+")

    def test_help_names_every_flag(self) -> None:
        ended = run_kvnode("-help")
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        for flag in self.FLAGS:
            self.assertRegex(ended.stdout, rf"(?m)-{flag}\b")

    def test_a_config_file_is_flags_a_line_and_the_command_line_wins(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
            config.write("# a node\nid from-the-file\n\ngroup 5   # its group\nbacklog 1mb\nleader\n")
            config.flush()
            cluster = self.make_cluster(groups=1, followers=0)
            node = cluster.leader()
            node.start(config=config.name, leader=False, group=6).wait_healthy()
            health = node.http("GET", "/health").json()
            self.assertEqual((health["node"], health["group"], health["role"]), ("from-the-file", 6, "leader"))


if __name__ == "__main__":
    main()
