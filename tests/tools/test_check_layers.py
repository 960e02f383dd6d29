#!/usr/bin/env python3
"""The layer check finds what it is there to find, and nothing in a tree that is in order."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "check-layers.py"

ORDERLY = {
    "protocol/buf.h": "#include <stddef.h>\n",
    "protocol/buf.c": '#include "protocol/buf.h"\n',
    "cluster/ring.h": '#include "protocol/buf.h"\n',
    "server/net/loop.c": '#include "cluster/ring.h"\n#include <ev.h>\n#include <sys/socket.h>\n',
}


class CheckLayers(unittest.TestCase):
    def check(self, **changes: str) -> tuple[int, str]:
        """Exit code and output for the orderly tree with some files changed (`__` in a name stands for the slash)."""
        with tempfile.TemporaryDirectory() as root:
            files = ORDERLY | {name.replace("__", "/").replace("_h", ".h"): text for name, text in changes.items()}
            for name, text in files.items():
                path = Path(root, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            run = subprocess.run([sys.executable, SCRIPT, root], capture_output=True, text=True, timeout=20, check=False)
            return run.returncode, run.stdout

    def test_a_tree_in_order_passes(self) -> None:
        self.assertEqual(self.check(), (0, ""))

    def test_a_look_upwards_fails(self) -> None:
        code, output = self.check(protocol__line_h='#include "cluster/ring.h"\n')
        self.assertEqual(code, 1)
        self.assertIn("protocol/line.h: cluster/ring.h is a layer above it", output)

    def test_a_look_up_a_floor_of_server_fails(self) -> None:
        code, output = self.check(server__clients__a_h='#include "server/dispatch/b.h"\n', server__dispatch__b_h="")
        self.assertEqual((code, output), (1, "server/clients/a.h: server/dispatch/b.h is a floor above it\n"))
        self.assertEqual(self.check(server__dispatch__b_h='#include "server/clients/a.h"\n', server__clients__a_h="")[0], 0)

    def test_rooms_of_one_floor_do_not_know_each_other(self) -> None:
        code, output = self.check(server__rest__a_h='#include "server/commands/b.h"\n', server__commands__b_h="")
        self.assertEqual((code, output), (1, "server/rest/a.h: server/commands/b.h is beside it\n"))

    def test_a_new_room_has_to_be_given_a_floor(self) -> None:
        code, output = self.check(server__attic__a_h='#include "server/net/b.h"\n', server__net__b_h="")
        self.assertEqual((code, output), (1, "server/attic/a.h: server/attic is on no floor\n"))

    def test_a_circle_fails(self) -> None:
        code, output = self.check(cluster__a_h='#include "cluster/b.h"\n', cluster__b_h=' # include "cluster/a.h"\n')
        self.assertEqual(code, 1)
        self.assertIn("a circle: cluster/a.h -> cluster/b.h -> cluster/a.h", output)

    def test_the_outside_world_fails_below_server(self) -> None:
        for header in ("ev.h", "time.h", "sys/socket.h", "netinet/in.h", "errno.h"):
            code, output = self.check(cluster__a_h=f"#include <{header}>\n")
            self.assertEqual(code, 1, header)
            self.assertIn(f"cluster/a.h: <{header}>", output)

    def test_an_include_that_is_not_written_from_the_root_fails(self) -> None:
        code, output = self.check(protocol__line_h='#include "buf.h"\n')
        self.assertEqual(code, 1)
        self.assertIn('"buf.h" is no file of a layer', output)

    def test_an_empty_tree_is_not_a_success(self) -> None:
        with tempfile.TemporaryDirectory() as root:
            run = subprocess.run([sys.executable, SCRIPT, root], capture_output=True, timeout=20, check=False)
        self.assertEqual(run.returncode, 1)


if __name__ == "__main__":
    unittest.main()
