#!/usr/bin/env python3
# ctest: timeout=120
"""kvnode's tools for voters that are gone for good: -force-voters, -forget-form (docs/tools.md)."""
from __future__ import annotations

import re
import shutil
from pathlib import Path

from harness import Node, main, run_kvnode
from kept import ToolTestCase, content_of, last_segment, run_tool, write_meta
from peers import fill, pipeline_all


def told(directory: Path, name: str) -> str:
    """What -check says of it."""
    found = run_kvnode("-check", str(directory))
    match = re.search(rf"(?m)^{name} +(.*)$", found.stdout)
    assert found.returncode == 0 and match is not None, found
    return match[1]


class ForceVoters(ToolTestCase):
    def make_stopped(self) -> tuple[Node, Path, str]:
        """With its id."""
        node, directory = self.make_kept()
        node.start().wait_healthy()
        fill(node, 300)
        with node.resp() as client:
            pipeline_all(client, [("SET", f"session{i}", "token", "PX", 10 ** 9) for i in range(50)])
            client.execute("SETRANGE", "patched", 100, "x")
            client.execute("DEL", "key7")
        self.assertEqual(node.stop(), 0)
        return node, directory, told(directory, "node").split(",")[0]

    def assert_refused(self, code: int, why: str, *arguments: object) -> None:
        outcome = run_kvnode(*map(str, arguments))
        self.assertEqual((outcome.returncode, outcome.stdout), (code, ""), outcome)
        self.assert_one_line(outcome.stderr, why)

    def test_what_it_has_is_another_history_of_other_voters(self) -> None:
        node, directory, node_id = self.make_stopped()
        before, history = run_tool("-export", directory).stdout, told(directory, "history")
        index = told(directory, "last index")
        outcome = run_kvnode("-force-voters", f"{node_id},other", str(directory))
        self.assertEqual(outcome.returncode, 0, outcome)
        self.assert_one_line(outcome.stderr, f"loss accepted: history {history} ends here with line {index}; ")
        self.assert_one_line(outcome.stdout, f"begins with its 350 keys and the voters {node_id},other, behind term 1$")
        self.assertNotEqual(told(directory, "history"), history)
        self.assertEqual(told(directory, "voters"), f"{node_id},other")
        self.assertEqual((told(directory, "last index"), told(directory, "segments")), ("1", "1"))
        self.assertEqual(told(directory, "knows term"), "1")
        after = run_tool("-export", directory).stdout
        self.assertEqual(sorted(after.split(b"\n")[:-2]), sorted(before.split(b"\n")[:-2]))
        self.assertEqual(len(list(directory.glob("*.log"))), 1, "the older ones are gone")

        again = run_kvnode("-force-voters", node_id, str(directory))
        self.assertEqual(again.returncode, 0, again)
        self.assert_one_line(again.stderr, f"of the voters {node_id},other ends here with line 1; ")
        self.assertEqual((told(directory, "voters"), told(directory, "knows term")), (node_id, "2"))

    def test_what_it_refuses_it_leaves_as_it_is(self) -> None:
        node, directory, node_id = self.make_stopped()
        before = content_of(directory)
        for ids in ("", "a,,b", "a,a", "a b", "a,b,c,d,e,f,g,h,i,j", "a" * 41):
            self.assert_refused(2, "^kvnode: -force-voters wants ", "-force-voters", ids, directory)
        self.assert_refused(2, f"node {node_id}, .* is to be one of them", "-force-voters", "a,b", directory)
        self.assert_refused(2, "wants ids, and DIR", "-force-voters", node_id)
        self.assert_refused(2, "none", "-force-voters", node_id, directory.parent / "none")
        self.assertEqual(content_of(directory), before)
        node.start().wait_healthy()
        self.assert_refused(2, "a node runs on it", "-force-voters", node_id, directory)
        node.stop()

        copy = directory.parent / "copy"
        shutil.copytree(directory, copy)
        self.assert_refused(1, f"a copy of the data of node {node_id}.*-adopt-data", "-force-voters", node_id, copy)
        empty = directory.parent / "empty"
        write_meta(empty)
        self.assert_refused(1, "no data in it", "-force-voters", "n-0192f0c4", empty)

    def test_damage_is_the_business_of_another_tool(self) -> None:
        _, directory, node_id = self.make_stopped()
        last = last_segment(directory)
        content = bytearray(last.read_bytes())
        content[content.index(b"|key5|") + 2] ^= 1
        last.write_bytes(bytes(content))
        before = content_of(directory)
        self.assert_refused(1, rf"{re.escape(last.name)}, line \d+.*kvnode -repair", "-force-voters", node_id, directory)
        self.assertEqual(content_of(directory), before)


class ForgetForm(ToolTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = self.make_cluster(groups=1, followers=0).directory / "formed"

    def assert_refused(self, why: str) -> None:
        before = content_of(self.directory)
        outcome = run_kvnode("-forget-form", str(self.directory))
        self.assertEqual((outcome.returncode, outcome.stdout), (1, ""), outcome)
        self.assert_one_line(outcome.stderr, why)
        self.assertEqual(content_of(self.directory), before)

    def test_a_set_of_which_nothing_came(self) -> None:
        for part, said in (("acceptor", "an acceptor"), ("proposer", "the proposer")):
            write_meta(self.directory, term=3, voted_for="b", formed=f"0192f0c4a7b30001 n-0192f0c4,b,c {part} open",
                       peer="b 127.0.0.2 4001")
            self.assertEqual(told(self.directory, "agreed to"), f"n-0192f0c4,b,c, for history 0192f0c4a7b30001, as {said}")
            outcome = run_kvnode("-forget-form", str(self.directory))
            self.assertEqual((outcome.returncode, outcome.stderr), (0, ""), outcome)
            self.assert_one_line(outcome.stdout, f"node n-0192f0c4 is free: as {said} .* n-0192f0c4,b,c of history 0192f0c4a7b30001$")
            self.assertNotIn("agreed to", run_kvnode("-check", str(self.directory)).stdout)
            self.assertEqual(told(self.directory, "knows term"), "3, has voted for b", "a vote is never taken back")
            self.assertIn(b"\npeer b 127.0.0.2 4001\n", (self.directory / "meta").read_bytes())
            self.assert_refused("node n-0192f0c4 has agreed to no set of voters$")
            shutil.rmtree(self.directory)

    def test_not_where_something_came_of_it(self) -> None:
        write_meta(self.directory, formed="0192f0c4a7b30001 n-0192f0c4,b,c acceptor complete")
        (self.directory / "lock").touch()
        (self.directory / "journal-0000000001.log").write_bytes(b"")
        self.assert_refused("has a history already")

    def test_nor_where_a_node_runs(self) -> None:
        node, directory = self.make_kept()
        node.start().wait_healthy()
        outcome = run_kvnode("-forget-form", str(directory))
        self.assertEqual((outcome.returncode, outcome.stdout), (2, ""), outcome)
        self.assert_one_line(outcome.stderr, "a node runs on it")


if __name__ == "__main__":
    main()
