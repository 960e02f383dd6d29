#!/usr/bin/env python3
# ctest: timeout=300
"""Nodes with -data: what was acknowledged is there after any end (README, "Kept on disk")."""
import os
import random
import re
import resource
import threading
from pathlib import Path
from typing import Any

from harness import SANITIZE, Cluster, ClusterTestCase, Node, RespClient, main, run_kvnode, wait_until
from peers import fill, pipeline_all
from wire import RespError

ROUNDS = int(os.environ.get("KVNODE_ROUNDS", "3"))  # of kill -9
FAR = 4000000000000  # Unix ms, in the year 2096


def directory_of(cluster: Cluster, node: Node) -> Path:
    return cluster.directory / f"{node.name}.data"


def keep(cluster: Cluster, **flags: Any) -> Cluster:
    """Gives each node a directory."""
    for node in cluster.nodes:
        node.flags.update(data=str(directory_of(cluster, node)), **flags)
    return cluster


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("journal-*.log"))


def fill_disk(cluster: Cluster, node: Node) -> None:
    """The newest segment takes 100 bytes more, and then none."""
    size = segments(directory_of(cluster, node))[-1].stat().st_size
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))


def free_disk(node: Node) -> None:
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def now_ms(node: Node) -> int:
    seconds, us = node.execute("TIME")
    return int(seconds) * 1000 + int(us) // 1000


class Ledger(threading.Thread):
    """Writes counters of its own, one after the other, and knows which were acknowledged."""

    def __init__(self, node: Node, key: str, began: int = 0):
        super().__init__(daemon=True)
        self.redis, self.key = node.redis, key
        self.began = self.sent = self.acknowledged = began
        self.over = threading.Event()

    def run(self) -> None:
        try:
            with RespClient(self.redis) as client:
                while not self.over.is_set():
                    self.sent += 1
                    client.execute("SET", self.key, self.sent)
                    self.acknowledged = self.sent
        except (OSError, EOFError):
            pass  # the node has been killed: what became of the last one is unknown

    def check(self, test: ClusterTestCase, client: RespClient) -> int:
        found = int(client.execute("GET", self.key) or 0)
        test.assertGreaterEqual(found, self.acknowledged, f"{self.key}: an acknowledged write is lost")
        test.assertLessEqual(found, self.sent)
        return found


class Alone(ClusterTestCase):
    def make_node(self, **flags: Any) -> tuple[Cluster, Node]:
        cluster = keep(self.make_cluster(groups=1, followers=0), **flags)
        return cluster, cluster.leader()

    def test_killed_again_and_again_it_loses_nothing_that_it_acknowledged(self) -> None:
        for fsync in ("everysec", "always", "no"):
            with self.subTest(fsync=fsync):
                _, node = self.make_node(fsync=fsync)
                node.start().wait_healthy()
                last = [0] * 4
                for _ in range(ROUNDS):
                    ledgers = [Ledger(node, f"{fsync}-{k}", last[k]) for k in range(4)]
                    for ledger in ledgers:
                        ledger.start()
                    wait_until(lambda: all(x.acknowledged > x.began + 5 for x in ledgers), what="writes")
                    threading.Event().wait(random.random() * 0.2)
                    node.kill()
                    for ledger in ledgers:
                        ledger.join(20)
                    node.start().wait_healthy()
                    with node.resp() as client:
                        last = [ledger.check(self, client) for ledger in ledgers]

    def test_it_has_all_again_that_it_had(self) -> None:
        cluster, node = self.make_node()
        node.start().wait_healthy()
        fill(node, 2000)
        with node.resp() as client:
            pipeline_all(client, [("SET", f"session{i}", "token", "PXAT", FAR + i) for i in range(300)])
            pipeline_all(client, [("DEL", f"key{i}") for i in range(100, 200)])
            pipeline_all(client, [("APPEND", f"key{i}", "more") for i in range(50)])
            client.execute("MSET", "a", "1", "b", "2", "c", "3")
            client.execute("SETRANGE", "large", 100000, "tail")
            client.execute("SETBIT", "large", 7, 1)
            for command in ("MULTI", "INCR a", "INCR b", "DEL c", "EXEC"):
                client.execute(*command.split())
            client.execute("SET", b"\x00\r\n|%~", b"\x00\r\n|%~" * 3)
        before = node.digest()
        node.kill()
        node.start().wait_healthy()
        self.assertEqual(node.digest(), before, "after kill -9")
        self.assertEqual(node.stop(), 0)
        history = re.findall(r"event=role role=leader history=(\w+)", node.log())[-1]
        node.start().wait_healthy()
        self.assertEqual(node.digest(), before, "after SIGTERM")
        self.assertEqual(re.findall(r"event=role role=leader history=(\w+)", node.log())[-1], history, "it goes on")
        self.assertEqual(node.set("key0", "again")["version"], 3 if node.get("key0") else 1)
        node.execute("FLUSHALL")
        node.kill()
        node.start().wait_healthy()
        self.assertEqual(node.execute("DBSIZE"), 0)
        self.assertEqual(len(segments(directory_of(cluster, node))), 1)

    def test_a_torn_tail_is_cut_and_said(self) -> None:
        cluster, node = self.make_node()
        node.start().wait_healthy()
        fill(node, 100)
        before = node.digest()
        node.kill()
        last = segments(directory_of(cluster, node))[-1]
        with open(last, "ab") as file:
            file.write(b"deadbeef 4711 REPLICATE|torn|")
        node.start().wait_healthy()
        self.assertEqual(node.digest(), before)
        self.assertIsNone(node.get("torn"))
        self.assertRegex(node.log(), r"event=journal-cut .*bytes=29\b")

    def test_damage_in_the_middle_is_refused(self) -> None:
        cluster, node = self.make_node(fsync="always")
        node.start().wait_healthy()
        fill(node, 100)
        node.set("more", "so that the first are known to be on the disk")
        node.kill()
        last = segments(directory_of(cluster, node))[-1]
        content = bytearray(last.read_bytes())
        at = content.index(b"key5|")
        content[at] ^= 1
        last.write_bytes(content)
        node.start()
        self.assertEqual(node.wait_exit(), 1)
        self.assertRegex(node.log().splitlines()[-1], rf"^kvnode: .*{re.escape(last.name)}.*line \d+.*byte \d+.*-repair")

    def test_a_disk_that_is_full_and_then_is_not(self) -> None:
        cluster, node = self.make_node()
        node.start().wait_healthy()
        node.set("before", "1")
        fill_disk(cluster, node)
        with node.resp() as client:
            with self.assertRaises((OSError, EOFError)):
                client.execute("SET", "lost", "x" * 1000)  # the outcome is unknown
        wait_until(lambda: node.http("GET", "/health").status == 503, what="it says so")
        self.assertRegex(str(node.http("GET", "/health").json()["why"]), "cannot be written")
        for command in ("SET refused 1", "FLUSHALL", "DEL before", "SAVE"):
            with self.assertRaisesRegex(RespError, "^MISCONF "):
                node.execute(*command.split())
        self.assertEqual(node.http("POST", "/set?key=refused", "1").status, 507)
        self.assertEqual(node.get("before"), "1")
        self.assertEqual(node.info()["aof_last_write_status"], "err")

        free_disk(node)
        node.wait_healthy()
        self.assertEqual(node.set("after", "1")["version"], 1)
        before = node.digest()
        node.kill()
        node.start().wait_healthy()
        self.assertEqual(node.digest(), before)
        self.assertIsNone(node.get("refused"))

    def test_a_segment_is_written_anew_while_clients_go_on(self) -> None:
        cluster, node = self.make_node()
        node.start().wait_healthy()
        fill(node, 20000)
        directory = directory_of(cluster, node)
        for _ in range(3):
            first = segments(directory)[-1]
            with node.resp() as client:
                ledger = Ledger(node, "ledger", int(client.execute("GET", "ledger") or 0))
                ledger.start()
                self.assertIn("started", str(client.execute("BGREWRITEAOF")))
            wait_until(lambda: not first.exists() and len(segments(directory)) == 1, what="the old one goes")
            self.assertEqual(node.http("POST", "/admin/compact").status, 202)
            wait_until(lambda: len(segments(directory)) == 1 and node.info()["rdb_bgsave_in_progress"] == "0", what="again")
            ledger.over.set()
            ledger.join(20)
            before = node.digest()
            node.kill()
            node.start().wait_healthy()
            self.assertEqual(node.digest(), before)
            with node.resp() as client:
                ledger.check(self, client)

    def test_killed_in_the_middle_of_a_new_segment(self) -> None:
        cluster, node = self.make_node()
        node.start().wait_healthy()
        fill(node, 50000 if not SANITIZE else 10000)
        for _ in range(ROUNDS):
            with node.resp() as client:
                client.execute("BGREWRITEAOF")
                pipeline_all(client, [("APPEND", f"key{random.randrange(50)}", "x") for _ in range(200)])
                before = node.digest()
            node.kill()
            node.start().wait_healthy()
            self.assertEqual(node.digest(), before)

    def test_whose_directory_it_is(self) -> None:
        cluster, node = self.make_node()
        directory = directory_of(cluster, node)
        node.start().wait_healthy()
        second = run_kvnode(*node.command()[1:], "-redis", "1", "-api", "2", "-port", "3")
        self.assertEqual(second.returncode, 1)
        self.assertEqual(len(second.stderr.splitlines()), 1, second.stderr)
        self.assertIn(str(directory), second.stderr)
        node_id = node.cluster()["nodes"][0]["id"]
        node.stop()
        node.start().wait_healthy()
        self.assertEqual(node.cluster()["nodes"][0]["id"], node_id, "it is the same node")
        node.stop()
        other_group = run_kvnode(*node.command()[1:], "-group", "7")
        self.assertEqual(other_group.returncode, 1)
        self.assertRegex(other_group.stderr, r"group 0\b.*\b7\b|\b7\b.*group 0\b")
        somebody_elses = cluster.directory / "photos"
        somebody_elses.mkdir()
        (somebody_elses / "cat.jpg").write_text("meow")
        refused = run_kvnode("-data", str(somebody_elses))
        self.assertEqual(refused.returncode, 1)
        self.assertEqual([path.name for path in somebody_elses.iterdir()], ["cat.jpg"])

    def test_large_values_and_pipelines_are_held_in_order(self) -> None:
        _, node = self.make_node(fsync="always")
        node.start().wait_healthy()
        with node.resp() as client:
            value = b"v" * (3 << 20)
            for i in range(20):
                commands = [("PING", f"ping{i}"), ("SET", "large", value), ("GET", "large"), ("INCR", "n"), ("GET", "n")]
                ping, ok, large, n, got = client.pipeline(commands)
                self.assertEqual((ping, ok, n, got), (f"ping{i}".encode(), "OK", i + 1, str(i + 1).encode()))
                self.assertEqual(large, value)


class Reload(ClusterTestCase):
    """DEBUG RELOAD: the store goes, and what is kept of it comes back; all else stays as it is."""

    def make_node(self, keeps: bool = True, **flags: Any) -> Node:
        cluster = self.make_cluster(groups=1, followers=0)
        if keeps:
            keep(cluster, **flags)
        return cluster.leader().start().wait_healthy()

    def write_all_kinds(self, node: Node) -> None:
        fill(node, 2000)
        with node.resp() as client:
            pipeline_all(client, [("SET", f"session{i}", "token", "PXAT", FAR + i) for i in range(300)])
            pipeline_all(client, [("APPEND", f"key{i}", "more") for i in range(50)])
            pipeline_all(client, [("SET", b"\x00\r\n|%%~%d" % i, bytes(range(256))) for i in range(20)])
            client.execute("SET", "huge", b"v" * (3 << 20))
            client.execute("SETRANGE", "huge", 100, "patched")
            client.execute("SET", "persisted", "1", "EX", 1000)
            client.execute("PERSIST", "persisted")
            client.execute("SET", "gone", "1", "PX", 1)
            pipeline_all(client, [("SET", "often", i) for i in range(100)])
            client.execute("DEL", "often")  # the floor is 101 at least
            pipeline_all(client, [("DEL", f"key{i}") for i in range(100, 200)])

    def check_reload(self, node: Node) -> str:
        """It has what it had, and where it had come to; a new key comes behind all that were deleted."""
        node.execute("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        wait_until(lambda: node.execute("EXISTS", "gone") == 0, what="a deadline passes")
        before, position, keys = node.digest(), node.position(), node.execute("DBSIZE")
        for _ in range(15):  # more often than there are marks of states
            self.assertEqual(node.execute("DEBUG", "RELOAD"), "OK")
        self.assertEqual((node.digest(), node.position(), node.execute("DBSIZE")), (before, position, keys))
        self.assertEqual(len(re.findall(r" event=reloaded ", node.log())), 15)
        version = node.set("new", "1")["version"]
        self.assertGreaterEqual(version, 102, "the floor is as high as it was")
        return node.digest()

    def test_with_a_journal_it_comes_from_there(self) -> None:
        for fsync in ("everysec", "always", "no"):
            with self.subTest(fsync=fsync):
                node = self.make_node(fsync=fsync)
                self.write_all_kinds(node)
                before = self.check_reload(node)
                self.assertIn("from=journal", node.log())
                node.kill()
                node.start().wait_healthy()
                self.assertEqual(node.digest(), before, "what is kept is what it was")
                self.assertEqual(node.stop(), 0)

    def test_without_one_it_comes_from_lines_in_memory(self) -> None:
        node = self.make_node(keeps=False)
        self.write_all_kinds(node)
        self.check_reload(node)
        self.assertIn("from=memory", node.log())

    def test_while_others_write_and_a_segment_is_written(self) -> None:
        node = self.make_node()
        fill(node, 20000 if not SANITIZE else 5000)
        ledgers = [Ledger(node, f"ledger{k}") for k in range(4)]
        for ledger in ledgers:
            ledger.start()
        for i in range(10):
            acknowledged = [x.acknowledged for x in ledgers]
            if i % 2 == 0:  # the one of before may take longer than this
                wait_until(lambda: node.info()["rdb_bgsave_in_progress"] == "0", what="the segment before")
            with node.resp() as client:
                if i % 2 == 0:
                    client.execute("BGREWRITEAOF")
                self.assertEqual(client.execute("DEBUG", "RELOAD", "NOSAVE"), "OK")
                self.assertEqual(client.execute("EXISTS", "key0", "key4999"), 2)
            wait_until(lambda: all(x.acknowledged > n for x, n in zip(ledgers, acknowledged)), what="they write on")
        for ledger in ledgers:
            ledger.over.set()
        for ledger in ledgers:
            ledger.join(20)
        before = node.digest()
        node.kill()
        node.start().wait_healthy()
        self.assertEqual(node.digest(), before)
        with node.resp() as client:
            for ledger in ledgers:
                ledger.check(self, client)

    def test_a_follower_stays_where_it_is(self) -> None:
        for keeps in (True, False):
            with self.subTest(keeps=keeps):
                cluster = self.make_cluster(groups=1, followers=1)
                if keeps:
                    keep(cluster)
                cluster.start()
                leader, follower = cluster.leader(), cluster.followers()[0]
                self.write_all_kinds(leader)
                cluster.wait_same_data()
                syncs = {name: leader.info()[name] for name in ("sync_full", "sync_partial_ok")}
                for node in (leader, follower, leader):
                    before = node.digest()
                    self.assertEqual(node.execute("DEBUG", "RELOAD"), "OK")
                    self.assertEqual(node.digest(), before)
                    leader.set("after", node.name)
                    cluster.wait_same_data()
                self.assertEqual({name: leader.info()[name] for name in syncs}, syncs, "nobody was synced anew")
                self.assertEqual(leader.info()["connected_slaves"], "1")
                leader.execute("DEBUG", "SET-ACTIVE-EXPIRE", 0)
                deadline = now_ms(leader) + 50
                leader.execute("SET", "expires", "1", "PXAT", deadline)
                keys = leader.execute("DBSIZE")
                wait_until(lambda: now_ms(leader) > deadline, what="a deadline passes")
                self.assertEqual(leader.execute("DBSIZE"), keys, "it is still there")
                if keeps:
                    leader.execute("BGREWRITEAOF")
                    wait_until(lambda: leader.info()["rdb_bgsave_in_progress"] == "0", what="a segment")
                leader.execute("DEBUG", "RELOAD")
                self.assertEqual(leader.execute("DBSIZE"), keys, "its deletion is still to come")
                self.assertEqual(leader.execute("EXISTS", "expires"), 0)
                wait_until(lambda: follower.execute("DBSIZE") == keys - 1, what="the follower is told")
                cluster.wait_same_data()

    def test_in_trouble_nothing_is_emptied(self) -> None:
        cluster = keep(self.make_cluster(groups=1, followers=0))
        node = cluster.leader().start().wait_healthy()
        node.set("before", "1")
        fill_disk(cluster, node)
        with node.resp() as client:
            with self.assertRaises((OSError, EOFError)):
                client.execute("SET", "lost", "x" * 1000)
        with self.assertRaisesRegex(RespError, "^MISCONF the journal cannot be written"):
            node.execute("DEBUG", "RELOAD")
        self.assertEqual(node.get("before"), "1")
        free_disk(node)
        node.wait_healthy()
        self.assertEqual(node.execute("DEBUG", "RELOAD"), "OK")
        self.assertEqual(node.get("before"), "1")

    def test_a_trouble_that_is_met_by_it_closes_who_is_held_for_it(self) -> None:
        """What was written in front of it in one pipeline is not safe: its replies, and this one, never come."""
        cluster = keep(self.make_cluster(groups=1, followers=0))
        node = cluster.leader().start().wait_healthy()
        node.set("before", "1")
        fill_disk(cluster, node)
        with node.resp() as client:
            with self.assertRaises((OSError, EOFError)):
                client.pipeline([("SET", "lost", "x" * 1000), ("DEBUG", "RELOAD")])
        self.assertEqual(node.get("before"), "1")
        free_disk(node)
        node.wait_healthy()
        self.assertEqual(node.execute("DEBUG", "RELOAD"), "OK")

    def test_a_segment_that_is_damaged_meanwhile_stops_the_node(self) -> None:
        cluster = keep(self.make_cluster(groups=1, followers=0))
        node = cluster.leader().start().wait_healthy()
        fill(node, 1000)
        segment = segments(directory_of(cluster, node))[-1]
        whole = segment.read_bytes()
        with segment.open("r+b") as file:
            file.seek(len(whole) // 2)
            file.write(b"?" if whole[len(whole) // 2 : len(whole) // 2 + 1] != b"?" else b"!")
        with self.assertRaises((RespError, OSError, EOFError)):
            node.execute("DEBUG", "RELOAD")
        self.assertEqual(node.wait_exit(), 1)
        self.assertRegex(node.log().splitlines()[-1], rf"^kvnode: DEBUG RELOAD .*{re.escape(segment.name)}.*byte \d+")
        segment.write_bytes(whole)
        node.start().wait_healthy()
        self.assertEqual(node.execute("DBSIZE"), 1000)


class Expired(ClusterTestCase):
    """What has expired and is not deleted yet is in every state: its version is taken, and its DELETE still comes."""

    def make_expired(self, cluster: Cluster) -> Node:
        leader = keep(cluster).leader().start().wait_healthy()
        leader.execute("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        for i in range(9):
            leader.execute("SET", "expires", i)
        leader.execute("SET", "stays", "1")
        deadline = now_ms(leader) + 50
        leader.execute("PEXPIREAT", "expires", deadline)
        wait_until(lambda: now_ms(leader) > deadline, what="a deadline passes")
        self.assertEqual(leader.execute("DBSIZE"), 2, "it is still there")
        return leader

    def test_a_segment_has_it_and_no_version_repeats(self) -> None:
        cluster = self.make_cluster(groups=1, followers=0)
        leader = self.make_expired(cluster)
        leader.execute("BGREWRITEAOF")
        wait_until(lambda: leader.info()["rdb_bgsave_in_progress"] == "0", what="a segment")
        self.assertEqual(len(segments(directory_of(cluster, leader))), 1)
        leader.kill()
        leader.start().wait_healthy()
        self.assertIsNone(leader.get("expires"))
        self.assertGreater(leader.set("expires", "again")["version"], 9)

    def test_a_repaired_directory_has_it(self) -> None:
        cluster = self.make_cluster(groups=1, followers=0)
        leader = self.make_expired(cluster)
        leader.kill()
        repaired = cluster.directory / "repaired"
        outcome = run_kvnode("-repair", str(directory_of(cluster, leader)), str(repaired))
        self.assertEqual(outcome.returncode, 0, outcome)
        leader.start(data=str(repaired)).wait_healthy()
        self.assertGreater(leader.set("expires", "again")["version"], 9)

    def test_a_follower_has_it_and_hears_of_its_deletion(self) -> None:
        cluster = self.make_cluster(groups=1, followers=1)
        leader, follower = self.make_expired(cluster), cluster.followers()[0]
        follower.start().wait_healthy()
        self.assertEqual(follower.execute("DBSIZE"), 2)
        self.assertIsNone(follower.get("expires"))
        self.assertIsNone(leader.get("expires"))
        wait_until(lambda: follower.execute("DBSIZE") == 1, what="the follower is told")

    def test_an_export_does_not(self) -> None:
        cluster = self.make_cluster(groups=1, followers=0)
        leader = self.make_expired(cluster)
        body = leader.http("GET", "/export").body
        self.assertEqual(re.findall(rb"(?m)^REPLICATEX\|(\w+)", body), [b"stays"])
        self.assertIn(b"END|1|", body)
        self.assertEqual(leader.execute("DBSIZE"), 2, "it has not been deleted by that")
        leader.kill()
        outcome = run_kvnode("-export", str(directory_of(cluster, leader)))
        self.assertEqual(re.findall(r"(?m)^REPLICATEX\|(\w+)", outcome.stdout), ["stays"])


class Group(ClusterTestCase):
    def test_all_of_a_cluster_are_killed(self) -> None:
        cluster = keep(self.make_cluster(groups=1, followers=2)).start()
        fill(cluster.leader(), 3000)
        before = cluster.wait_same_data()
        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.start()
        cluster.wait_formed()
        self.assertEqual(cluster.wait_same_data(), before)
        cluster.leader().set("new", "1")
        cluster.wait_same_data()

    def test_who_stopped_cleanly_is_continued(self) -> None:
        cluster = keep(self.make_cluster(groups=1, followers=1)).start()
        leader, follower = cluster.leader(), cluster.followers()[0]
        fill(leader, 3000)
        before = cluster.wait_same_data()
        leader.stop()
        leader.start().wait_healthy()
        cluster.wait_formed()
        leader.set("new", "1")
        self.assertNotEqual(cluster.wait_same_data(), before)
        self.assertEqual(leader.info()["sync_full"], "0", "the follower has missed nothing")

    def test_who_was_killed_is_continued_in_a_new_term(self) -> None:
        cluster = keep(self.make_cluster(groups=1, followers=2)).start()
        leader = cluster.leader()
        history = leader.info()["history_id"]
        self.assertEqual(leader.info()["term"], "0")
        for term in range(1, 4):
            ledgers = [Ledger(leader, f"counter{term}-{i}") for i in range(4)]
            for ledger in ledgers:
                ledger.start()
            wait_until(lambda: all(ledger.acknowledged > 200 for ledger in ledgers), what="some writes")
            leader.kill()
            for ledger in ledgers:
                ledger.join()
            leader.start().wait_healthy()
            cluster.wait_formed()
            cluster.wait_same_data()
            cluster.wait_replicated()
            with RespClient(leader.redis) as client:
                for ledger in ledgers:
                    ledger.check(self, client)
            info = leader.info()
            self.assertEqual((info["history_id"], info["term"]), (history, str(term)))
            self.assertEqual(info["sync_full"], "0", "no follower was sent a state again")
            self.assertEqual(cluster.followers()[0].info()["term_leader"], info["term_leader"])
            self.assertEqual(leader.http("GET", "/cluster").json()["history"]["term"], term)

    def test_what_its_disk_has_lost_a_leader_takes_from_a_follower(self) -> None:
        cluster = keep(self.make_cluster(groups=1, followers=1)).start()
        leader, follower = cluster.leader(), cluster.followers()[0]
        fill(leader, 3000)
        before = cluster.wait_same_data()
        leader.kill()
        segment = segments(Path(leader.flags["data"]))[-1]
        lines = segment.read_bytes().splitlines(keepends=True)
        segment.write_bytes(b"".join(lines[: len(lines) - 1000]))
        leader.start().wait_healthy()
        cluster.wait_formed()
        self.assertEqual(cluster.wait_same_data(), before)
        self.assertEqual(leader.info()["pulls"], "1")
        self.assertEqual(leader.info()["sync_full"], "0", "CONTINUE ... END, and CONTINUE back")
        self.assertEqual(leader.info()["term"], "1")

    def test_another_node_is_made_the_leader_and_the_first_one_comes_back(self) -> None:
        cluster = keep(self.make_cluster(groups=1, followers=1)).start()
        first, second = cluster.leader(), cluster.followers()[0]
        fill(first, 1000)
        cluster.wait_same_data()
        for node in cluster.nodes:
            node.kill()
        first.flags["leader"], second.flags["leader"] = False, True
        second.start().wait_healthy()
        second.set("new", "1")
        first.start()
        cluster.wait_formed()
        cluster.wait_same_data()
        cluster.wait_replicated()
        self.assertEqual(second.info()["sync_full"], "0")
        self.assertEqual(first.info()["term"], "1")
        self.assertEqual(first.get("new"), "1")

    def test_a_follower_goes_on_where_it_was(self) -> None:
        cluster = keep(self.make_cluster(groups=1, followers=1)).start()
        leader, follower = cluster.leader(), cluster.followers()[0]
        fill(leader, 3000)
        cluster.wait_same_data()
        full = leader.info()["sync_full"]
        follower.kill()
        leader.set("while", "it was away")
        follower.start().wait_healthy()
        cluster.wait_same_data()
        self.assertEqual(leader.info()["sync_full"], full, "CONTINUE is enough")

    def test_a_follower_alone_serves_what_it_has(self) -> None:
        cluster = keep(self.make_cluster(groups=1, followers=1)).start()
        leader, follower = cluster.leader(), cluster.followers()[0]
        fill(leader, 500)
        before = cluster.wait_same_data()
        leader.stop()
        follower.kill()
        follower.start().wait_listening()
        wait_until(lambda: follower.digest() == before, what="it has its data")
        self.assertEqual(follower.http("GET", "/get?key=key1").status, 200)

    def test_an_empty_leader_takes_what_a_follower_kept(self) -> None:
        cluster = keep(self.make_cluster(groups=1, followers=1)).start()
        leader, follower = cluster.leader(), cluster.followers()[0]
        fill(leader, 500)
        before = cluster.wait_same_data()
        for node in cluster.nodes:
            node.kill()
        leader.flags["data"] = str(cluster.directory / "anew")
        follower.start().wait_listening()
        leader.start()
        cluster.wait_formed()
        self.assertEqual(cluster.wait_same_data(), before)
        self.assertEqual(leader.digest(), before)


if __name__ == "__main__":
    main()
