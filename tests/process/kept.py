"""What tests of DIRs of -data share: a node that has one, and the tools that look at it and work on it."""
from __future__ import annotations

import subprocess
from pathlib import Path

from harness import KVNODE, TIMEOUT_S, ClusterTestCase, Node

META_SLOT_BYTES = 4096


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


def content_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def run_tool(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A tool whose output need not be text."""
    command = [str(KVNODE), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False)


def crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def write_meta(directory: Path, **values: object) -> None:
    """The file meta of a node that has a DIR and nothing in it, with these lines, too."""
    directory.mkdir()
    path = directory / "meta"
    path.touch()
    lines: dict[str, object] = dict(
        counter=2, node="n-0192f0c4", group=7, term=0, voted_for="-", forgetful="no", clean="yes", weakest_fsync="always",
        boot_id="-", directory_inode=directory.stat().st_ino, meta_inode=path.stat().st_ino)
    text = "kvnode-journal 1\n" + "".join(f"{key} {value}\n" for key, value in (lines | values).items())
    slot = text.encode().ljust(META_SLOT_BYTES - len("crc 00000000\n"), b"\n")
    path.write_bytes(slot + b"crc %08x\n" % crc32c(slot))
