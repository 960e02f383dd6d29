#!/usr/bin/env python3
# ctest: timeout=300
"""kvnode's tools on what is kept and on what is brought along: -check, -export (docs/tools.md)."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

from harness import HOST, KVNODE, TIMEOUT_S, Cluster, ClusterTestCase, Connection, Node, free_port, main, run_kvnode
from peers import fill, pipeline_all

FAR = 4000000000000  # Unix ms, in the year 2096


class ToolTestCase(ClusterTestCase):
    def make_kept(self, **flags: object) -> tuple[Node, Path]:
        """A node that is not started yet, and its directory."""
        cluster = self.make_cluster(groups=1, followers=0)
        node = cluster.leader()
        directory = cluster.directory / "data"
        node.flags.update(data=str(directory), **flags)
        return node, directory

    def assert_one_line(self, text: str, pattern: str) -> None:
        self.assertEqual(len(text.splitlines()), 1, text)
        self.assertRegex(text, pattern)


def last_segment(directory: Path) -> Path:
    return sorted(directory.glob("journal-*.log"))[-1]


class Check(ToolTestCase):
    def test_it_says_what_is_there(self) -> None:
        node, directory = self.make_kept()
        node.start().wait_healthy()
        fill(node, 300)
        with node.resp() as client:
            pipeline_all(client, [("DEL", f"key{i}") for i in range(100)])
            client.execute("SETRANGE", "patched", 5, "x")
            client.execute("SETRANGE", "patched", 50, "x")
        position = node.position()
        busy = run_kvnode("-check", str(directory))
        self.assertEqual((busy.returncode, busy.stdout), (2, ""))
        self.assert_one_line(busy.stderr, "a node runs on it")
        self.assertEqual(node.stop(), 0)

        before = {path.name: path.read_bytes() for path in directory.iterdir()}
        found = run_kvnode("-check", str(directory))
        self.assertEqual((found.returncode, found.stderr), (0, ""))
        self.assertRegex(found.stdout, r"(?m)^.*: all is good$")
        self.assertRegex(found.stdout, r"(?m)^keys +201$")
        self.assertRegex(found.stdout, rf"(?m)^last index +{position}$")
        self.assertRegex(found.stdout, r"(?m)^history +[0-9a-f]{16}$")
        self.assertRegex(found.stdout, r"(?m)^node .*stopped cleanly$")
        self.assertEqual({path.name: path.read_bytes() for path in directory.iterdir()}, before, "it only looks")

    def test_a_torn_tail_is_no_damage(self) -> None:
        node, directory = self.make_kept()
        node.start().wait_healthy()
        fill(node, 10)
        node.kill()
        with open(last_segment(directory), "ab") as file:
            file.write(b"deadbeef 4711 REPLICATE|torn|")
        found = run_kvnode("-check", str(directory))
        self.assertEqual((found.returncode, found.stderr), (0, ""))
        self.assertRegex(found.stdout, r"(?m)^torn tail +29 bytes\b.*line \d+, byte \d+")
        self.assertRegex(found.stdout, r"(?m)^keys +10$")

    def test_damage_is_named_by_file_line_and_byte(self) -> None:
        node, directory = self.make_kept(fsync="always")
        node.start().wait_healthy()
        fill(node, 100)
        node.set("more", "so that the first are known to be on the disk")
        node.stop()
        last = last_segment(directory)
        content = bytearray(last.read_bytes())
        content[content.index(b"key5|")] ^= 1
        last.write_bytes(content)
        found = run_kvnode("-check", str(directory))
        self.assertEqual((found.returncode, found.stdout), (1, ""))
        self.assert_one_line(found.stderr, rf"^kvnode: .*{re.escape(last.name)}, line \d+, byte \d+: ")

    def test_what_is_no_such_directory(self) -> None:
        cluster: Cluster = self.make_cluster(groups=1, followers=0)
        for arguments in (["-check"], ["-check", str(cluster.directory / "none")], ["-check", str(cluster.leader().log_path)],
                          ["-check", "a", "-to", "b"]):
            found = run_kvnode(*arguments)
            self.assertEqual((found.returncode, found.stdout), (2, ""), arguments)
            self.assert_one_line(found.stderr, "^kvnode: ")


def run_tool(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A tool whose output need not be text."""
    command = [str(KVNODE), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False)


def url_of(node: Node, password: str = "") -> str:
    return f"http://{':' + password + '@' if password else ''}{HOST}:{node.api}"


def fill_oddly(node: Node) -> None:
    """Keys and values of every kind: bytes that lines and URLs escape, deadlines, patches, large ones."""
    fill(node, 500)
    with node.resp() as client:
        pipeline_all(client, [("SET", f"session{i}", "token", "PXAT", FAR + i) for i in range(100)])
        every_byte = bytes(range(256))
        client.execute("SET", every_byte, every_byte * 3)
        client.execute("SET", "", "the empty key")
        client.execute("SET", "empty", "")
        client.execute("SET", "large", every_byte * 20000)
        client.execute("SETBIT", "patched", 7001, 1)
        client.execute("DEL", "key7")


def lines_of(export: bytes) -> tuple[list[bytes], bytes]:
    """Its state lines, sorted, and what is behind them."""
    lines = [line + b"\n" for line in export.split(b"\n")[:-1]]
    return sorted(lines[:-1]), lines[-1]


class Export(ToolTestCase):
    def test_of_a_directory_and_of_a_node_it_is_the_same(self) -> None:
        node, directory = self.make_kept()
        node.start().wait_healthy()
        fill_oddly(node)
        keys, position = node.execute("DBSIZE"), node.position()
        of_node = run_tool("-export", url_of(node))
        self.assertEqual((of_node.returncode, of_node.stderr), (0, b""))
        self.assertEqual(node.http("GET", "/export").body, of_node.stdout, "it is what GET /export answers")
        node.stop()
        of_directory = run_tool("-export", directory)
        self.assertEqual((of_directory.returncode, of_directory.stderr), (0, b""))
        state, end = lines_of(of_directory.stdout)
        self.assertEqual(lines_of(of_node.stdout), (state, end))
        self.assertEqual(end, b"END|%d|%d\n" % (keys, position))
        self.assertEqual(len(state), keys)
        self.assertRegex(b"".join(state), rb"(?m)^REPLICATEX\|session7\|token\|1\|\d+\|%d$" % (FAR + 7))

    def test_the_password_and_what_goes_wrong(self) -> None:
        node, _ = self.make_kept(requirepass="open sesame")
        node.start().wait_healthy()
        self.assertEqual(node.http("GET", "/export").status, 401)
        for url, why in ((url_of(node), "401"), (f"http://{HOST}:{free_port()}", "cannot be reached")):
            refused = run_kvnode("-export", url)
            self.assertEqual((refused.returncode, refused.stdout), (1, ""))
            self.assert_one_line(refused.stderr, why)
        let_in = run_tool("-export", url_of(node, "open%20sesame"))
        self.assertEqual((let_in.returncode, let_in.stdout), (0, b"END|0|0\n"))
        for url in ("http://somewhere", "https://h:1", "http://:9000"):
            self.assertEqual(run_kvnode("-export", url).returncode, 2, url)

    def test_a_client_that_does_not_read_holds_up_nobody(self) -> None:
        node, _ = self.make_kept()
        node.start().wait_healthy()
        with node.resp() as client:
            for i in range(48):
                client.execute("SET", f"large{i}", bytes([65 + i]) * (1 << 20))
        with Connection(node.api) as reader, Connection(node.api) as goner:
            for connection in (reader, goner):
                connection.send(b"GET /export HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            for i in range(48):
                self.assertEqual(node.execute("GET", f"large{i}"), bytes([65 + i]) * (1 << 20))
            node.execute("SET", "meanwhile", "x")
            goner.close()
            answer = b"".join(iter(lambda: reader.sock.recv(1 << 20), b""))
        self.assertTrue(answer.endswith(b"\r\n0\r\n\r\n"))
        self.assertRegex(answer[-100:], rb"END\|4[89]\|")
        self.assertEqual(answer.count(b"REPLICATEX|large"), 48)


if __name__ == "__main__":
    main()
