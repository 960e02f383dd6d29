#!/usr/bin/env python3
# ctest: timeout=300
"""kvnode's tools on what is kept and on what is brought along: -check (docs/tools.md)."""
from __future__ import annotations

import re
from pathlib import Path

from harness import Cluster, ClusterTestCase, Node, main, run_kvnode
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


if __name__ == "__main__":
    main()
