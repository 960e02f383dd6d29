#!/usr/bin/env python3
# ctest: timeout=300
"""A group that elects its leader (README, "A leader that is elected")."""
from __future__ import annotations

import threading
from typing import Optional

from harness import Cluster, ClusterTestCase, Node, main, run_kvnode, wait_until
from peers import fill
from shims import SlowDisk
from test_journal import fill_disk, free_disk, keep
from wire import RespError


def role(node: Node) -> str:
    return node.execute("ROLE")[0].decode() if node.is_running() else "gone"


def leaders(cluster: Cluster) -> list[Node]:
    return [node for node in cluster.nodes if node.is_running() and role(node) == "master"]


def wait_leader(cluster: Cluster, other_than: Optional[Node] = None) -> Node:
    """The one that all who live follow."""
    def agreed() -> bool:
        found = leaders(cluster)
        living = [node for node in cluster.nodes if node.is_running()]
        return (
            len(found) == 1
            and found[0] is not other_than
            and all(node is found[0] or node.info().get("master_link_status") == "up" for node in living)
        )

    wait_until(agreed, what="one leader that all follow")
    return leaders(cluster)[0]


def same_data(cluster: Cluster) -> str:
    """The digest that all who live come to."""
    living = [node for node in cluster.nodes if node.is_running()]
    wait_until(lambda: len({node.digest() for node in living}) == 1, what="the same data at all")
    return living[0].digest()


def term(node: Node) -> int:
    return int(node.info()["election_term"])


def voters(node: Node) -> dict[str, dict[str, object]]:
    found = {}
    for fields in node.execute("KVNODE", "VOTERS"):
        row = {fields[i].decode(): fields[i + 1] for i in range(0, len(fields), 2)}
        found[row.pop("id").decode()] = row
    return found


def node_id(node: Node) -> str:
    return node.execute("CLUSTER", "MYID").decode()


class Writer(threading.Thread):
    """Adds to a counter at whoever takes it, until it is told to stop. What was acknowledged is counted."""

    def __init__(self, cluster: Cluster, *before: str):
        super().__init__(daemon=True)
        self.cluster, self.before = cluster, before
        self.acknowledged, self.tried, self.ended = 0, 0, threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            for node in list(self.cluster.nodes):
                try:
                    self.write_to(node)
                except (OSError, EOFError, RespError, AssertionError):
                    continue

    def write_to(self, node: Node) -> None:
        if not node.is_running():
            return
        with node.resp(timeout=2) as client:
            if self.before:
                client.execute(*self.before)
            while not self.ended.is_set():
                self.tried += 1
                client.execute("SET", f"write{self.tried}", self.tried)
                self.acknowledged += 1
                self.written.append(self.tried)

    def start(self) -> None:
        self.written: list[int] = []
        super().start()

    def stop(self) -> list[int]:
        self.ended.set()
        self.join(30)
        return self.written


class Voters(ClusterTestCase):
    def make_group(self, count: int = 3, **flags: object) -> Cluster:
        cluster = self.make_cluster(groups=0, followers=0)
        for _ in range(count):
            cluster.add_node(0, voters=3, **flags)
        for node in keep(cluster).nodes:
            node.start()
        wait_leader(cluster)
        return cluster

    def test_three_form_a_group_and_a_fourth_has_no_vote(self) -> None:
        cluster = self.make_group(4)
        leader = wait_leader(cluster)
        self.assertEqual(term(leader), 1)
        set_of_voters = voters(leader)
        self.assertEqual(len(set_of_voters), 3)
        self.assertLess(set(set_of_voters), {node_id(node) for node in cluster.nodes})
        fill(leader, 100)
        same_data(cluster)

    def test_the_leader_is_killed_and_comes_back_as_a_follower(self) -> None:
        cluster = self.make_group()
        leader = wait_leader(cluster)
        fill(leader, 500)
        for _ in range(3):
            same_data(cluster)
            before, full = term(leader), [node.count("sync_full") for node in cluster.nodes if node is not leader]
            leader.kill()
            successor = wait_leader(cluster, other_than=leader)
            self.assertGreater(term(successor), before)
            successor.set("after", str(before))
            leader.start()
            self.assertIs(wait_leader(cluster), successor)
            same_data(cluster)
            self.assertEqual([node.count("sync_full") for node in cluster.nodes if node is not leader], full)
            self.assertEqual(leader.count("sync_full"), 0, "each failover is a CONTINUE")
            leader = successor

    def test_it_says_how_many_are_missing(self) -> None:
        cluster = self.make_cluster(groups=0, followers=0)
        nodes = [cluster.add_node(0, voters=wanted) for wanted in (3, 3, 2)]
        for node in keep(cluster).nodes:
            node.start()
        wait_until(lambda: "event=voters-awaited wanted=3 here=2 others=1" in nodes[0].log(), what="who is missing")
        with self.assertRaisesRegex(RespError, "^(LOADING|CLUSTERDOWN)"):
            nodes[0].execute("SET", "k", "v")
        cluster.add_node(0, voters=3, data=str(cluster.directory / "third")).start()
        wait_leader(cluster)

    def test_all_are_killed(self) -> None:
        cluster = self.make_group()
        fill(wait_leader(cluster), 500)
        digest = same_data(cluster)
        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.start()
        wait_leader(cluster)
        self.assertEqual(same_data(cluster), digest)

    def test_a_leader_that_stops_hands_over(self) -> None:
        cluster = self.make_group()
        leader = wait_leader(cluster)
        writer = Writer(cluster)
        writer.start()
        wait_until(lambda: writer.acknowledged > 100, what="writes")
        self.assertEqual(leader.stop(), 0)
        successor = wait_leader(cluster)
        self.assertRegex(leader.log(), r'event=hand-over-ends text="another leader is there"')
        before = writer.acknowledged
        wait_until(lambda: writer.acknowledged > before + 100, what="writes at the other one")
        for number in writer.stop():
            self.assertEqual(successor.get(f"write{number}"), str(number))

    def test_what_was_acknowledged_by_a_quorum_survives_each_leader(self) -> None:
        cluster = self.make_group()
        writer = Writer(cluster, "CLIENT", "ACKS", "quorum")
        writer.start()
        for _ in range(5):
            before = writer.acknowledged
            wait_until(lambda: writer.acknowledged > before + 50, what="writes")
            leader = wait_leader(cluster)
            leader.kill()
            wait_leader(cluster, other_than=leader)
            leader.start()
        written = writer.stop()
        leader = wait_leader(cluster)
        same_data(cluster)
        self.assertEqual([n for n in written if leader.get(f"write{n}") != str(n)], [])

    def test_who_leads_a_second_time_answers_what_a_quorum_has(self) -> None:
        cluster = self.make_group()
        first = wait_leader(cluster)
        for _ in range(4):
            leader = wait_leader(cluster)
            with leader.resp() as client:
                self.assertEqual(client.execute("CLIENT", "ACKS", "quorum"), "OK")
                self.assertEqual(client.execute("INCR", "count"), int(client.execute("GET", "count")))
            other = next(node for node in cluster.nodes if node is not leader) if leader is first else first
            leader.execute("FAILOVER", "TO", "127.0.0.1", other.redis)
            wait_until(lambda: wait_leader(cluster) is other, what="the other leads")
        self.assertEqual(first.count("elections_won"), 3)

    def test_a_leader_comes_while_what_was_refused_to_it_waits_for_the_disk(self) -> None:
        cluster, slow = self.make_group(election_timeout=5000), SlowDisk()
        self.addCleanup(slow.close)
        longest = wait_leader(cluster)
        same_data(cluster)
        others = [node for node in cluster.nodes if node is not longest]
        for node in others:
            node.kill()
        for i in range(10):
            longest.set(f"alone{i}", "1")
        longest.kill()
        slow.set(300)
        slow.start(longest)  # asks last
        longest.wait_listening()
        for node in others:
            node.start(election_timeout=600)
        self.assertIn(wait_leader(cluster), others)
        self.assertIsNone(wait_leader(cluster).get("alone9"))
        slow.set(0)
        same_data(cluster)

    def test_without_a_majority_nothing_is_acknowledged(self) -> None:
        cluster = self.make_group()
        leader = wait_leader(cluster)
        leader.execute("SET", "k", "1")
        same_data(cluster)
        for node in cluster.nodes:
            if node is not leader:
                node.pause()
        with leader.resp(timeout=10) as client:
            client.execute("CLIENT", "ACKS", "quorum")
            with self.assertRaises((OSError, EOFError, RespError)):
                client.execute("SET", "k", "2")
        wait_until(lambda: role(leader) == "slave", what="it leads no more")
        self.assertRegex(leader.log(), r'event=deposed .*text="no majority has echoed for a timeout"')
        with self.assertRaisesRegex(RespError, "^(CLUSTERDOWN|MOVED)"):
            leader.execute("SET", "k", "3")
        for node in cluster.nodes:
            if node is not leader:
                node.resume()
        leader = wait_leader(cluster)
        self.assertIn(leader.get("k"), ("1", "2"), "its outcome was unknown, and is one for all")
        same_data(cluster)

    def test_one_that_was_stopped_and_goes_on_follows(self) -> None:
        cluster = self.make_group()
        leader = wait_leader(cluster)
        leader.pause()
        others = [node for node in cluster.nodes if node is not leader]
        wait_until(lambda: any(role(node) == "master" for node in others), what="another leader")
        successor = next(node for node in others if role(node) == "master")
        successor.set("k", "meanwhile")
        leader.resume()
        self.assertIs(wait_leader(cluster), successor)
        same_data(cluster)

    def test_an_operator_says_who_leads(self) -> None:
        cluster = self.make_group()
        leader = wait_leader(cluster)
        with self.assertRaisesRegex(RespError, "^ERR this node leads already"):
            leader.execute("CLUSTER", "FAILOVER")
        follower = next(node for node in cluster.nodes if node is not leader)
        with self.assertRaisesRegex(RespError, "^ERR this node leads no group"):
            follower.execute("FAILOVER")
        with self.assertRaisesRegex(RespError, "^ERR No failover in progress"):
            leader.execute("FAILOVER", "ABORT")
        with self.assertRaisesRegex(RespError, "is not a node of this group"):
            leader.execute("FAILOVER", "TO", "127.0.0.1", 1)
        with self.assertRaisesRegex(RespError, "without a majority"):
            follower.execute("CLUSTER", "FAILOVER", "TAKEOVER")
        self.assertEqual(follower.execute("CLUSTER", "FAILOVER"), "OK")
        wait_until(lambda: wait_leader(cluster) is follower, what="it leads")
        self.assertEqual(follower.execute("FAILOVER", "TO", "127.0.0.1", leader.redis), "OK")
        wait_until(lambda: wait_leader(cluster) is leader, what="it leads again")
        self.assertEqual(follower.execute("CLUSTER", "FAILOVER", "FORCE"), "OK")
        wait_until(lambda: wait_leader(cluster) is follower, what="it leads by force")

    def test_a_failover_is_given_up_when_the_other_one_does_not_come(self) -> None:
        cluster = self.make_group(election_timeout=5000)
        leader = wait_leader(cluster)
        follower = next(node for node in cluster.nodes if node is not leader)
        follower.pause()
        leader.set("k", "1")
        self.assertEqual(leader.execute("FAILOVER", "TO", "127.0.0.1", follower.redis, "TIMEOUT", 300), "OK")
        self.assertEqual(leader.info()["master_failover_state"], "waiting-for-sync")
        with self.assertRaisesRegex(RespError, "^ERR a failover is under way"):
            leader.execute("FAILOVER")
        self.assertEqual(leader.execute("SET", "k", "2"), "OK", "it was held, and goes on here")
        self.assertEqual(leader.info()["master_failover_state"], "no-failover")
        self.assertRegex(leader.log(), "event=hand-over-ends text=\"the other node has not caught up in time\"")
        follower.resume()
        same_data(cluster)

    def test_voters_are_changed_one_at_a_time(self) -> None:
        cluster = self.make_group(4)
        leader = wait_leader(cluster)
        fourth = next(node for node in cluster.nodes if node_id(node) not in voters(leader))
        follower = next(node for node in cluster.nodes if node is not leader and node is not fourth)
        new, old = node_id(fourth), node_id(follower)
        with self.assertRaisesRegex(RespError, "^ERR the voters are changed at the leader"):
            follower.execute("KVNODE", "VOTERS", "ADD", new)
        with self.assertRaisesRegex(RespError, "^ERR no such node follows"):
            leader.execute("KVNODE", "VOTERS", "ADD", "nobody")
        with self.assertRaisesRegex(RespError, "^ERR that node is a voter already"):
            leader.execute("KVNODE", "VOTERS", "ADD", old)
        with self.assertRaisesRegex(RespError, "^ERR that node is not a voter"):
            leader.execute("KVNODE", "VOTERS", "REMOVE", new)

        def replaced() -> bool:
            try:
                return leader.execute("KVNODE", "VOTERS", "REPLACE", old, new) == "OK"
            except RespError as error:
                self.assertRegex(str(error), "^ERR that node has (nothing on a disk yet|not caught up)")
                return False

        wait_until(replaced, what="the fourth has the state on its disk")
        wait_until(lambda: sorted(voters(fourth)) == sorted({*voters(leader)} - {old} | {new}), what="the other set")
        self.assertEqual(leader.execute("KVNODE", "VOTERS", "REMOVE", node_id(leader)), "OK")
        successor = wait_leader(cluster, other_than=leader)
        self.assertNotIn(node_id(leader), voters(successor))
        self.assertEqual(len(voters(successor)), 2)
        same_data(cluster)

    def test_a_leader_whose_disk_takes_nothing_hands_over(self) -> None:
        cluster = self.make_group()
        leader = wait_leader(cluster)
        leader.set("before", "1")
        fill_disk(cluster, leader)
        with leader.resp() as client:
            with self.assertRaises((OSError, EOFError)):
                client.execute("SET", "k", "x" * 1000)  # the outcome is unknown
        others = [node for node in cluster.nodes if node is not leader]
        wait_until(lambda: any(role(node) == "master" for node in others), what="another leader")
        successor = next(node for node in others if role(node) == "master")
        successor.set("after", "2")
        self.assertEqual(successor.get("before"), "1")
        self.assertEqual(leader.info()["election_last_reason"], "it has handed over")  # its log takes nothing either
        free_disk(leader)
        self.assertIs(wait_leader(cluster), successor)
        same_data(cluster)

    def test_what_goes_together(self) -> None:
        cluster = self.make_group()
        for flags, why in (
            (["-voters", "3"], "-voters wants -data DIR"),
            (["-voters", "3", "-leader", "-data", str(cluster.directory / "x")], "-voters elects the leader"),
            (["-voters", "10", "-data", str(cluster.directory / "x")], "voters"),
        ):
            outcome = run_kvnode(*flags)
            self.assertEqual(outcome.returncode, 2, outcome)
            self.assertIn(why, outcome.stderr)
        wait_leader(cluster)
        stranger = cluster.add_node(0, leader=True, voters=None, data=None).start()
        self.assertEqual(stranger.wait_exit(), 1)
        self.assertRegex(stranger.log(), "is the live leader of group 0 already|elects its leader")
        stranger.problems.clear()
        cluster.nodes.remove(stranger)
        node = cluster.nodes[0]
        node.stop()
        node.start(voters=None, leader=True)
        self.assertEqual(node.wait_exit(), 1)
        self.assertIn("has voters, who elect its leader", node.log())
        node.problems.clear()


if __name__ == "__main__":
    main()
