#!/usr/bin/env python3
"""Nodes that are killed, stopped, deaf or late, and what their group then still knows (DESIGN.md 4)."""
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from harness import TIMEOUT_S, Cluster, ClusterTestCase, LineConnection, Node, main, wait_until
from peers import FakeFollower, fill, history_id, lead, pipeline_all, without_clock

# More than two sockets' buffers hold, in values so large that a few hundred commands are enough.
MEGABYTES = 24
FAR = 4000000000000  # Unix ms, in the year 2096


def flood(node: Node, prefix: str) -> None:
    """More than fits between a leader and a follower that does not read."""
    value = "x" * 65536
    with node.resp() as client:
        pipeline_all(client, [("SET", f"{prefix}{i}", value) for i in range(MEGABYTES * 16)], depth=16)


def link_state(leader: Node, follower: Node) -> str:
    """How the leader calls its link to the follower."""
    return next((node.get("link", "") for node in leader.cluster()["nodes"] if node["port"] == follower.port), "")


class LeaderRestart(ClusterTestCase):
    def test_killed_and_restarted_a_leader_has_all_that_its_followers_had(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2)
        leader = cluster.leader()
        fill(leader, 2000)
        with leader.resp() as client:
            pipeline_all(client, [("SET", f"session{i}", "token", "PXAT", FAR + i) for i in range(500)])
            pipeline_all(client, [("SET", f"key{i}", "again") for i in range(100)])
            pipeline_all(client, [("DEL", f"key{i}") for i in range(1000, 1500)])
        leader.set("binary|key", "a\nb")
        before = cluster.wait_same_data()
        first = leader.info()

        leader.kill()
        for follower in cluster.followers():
            wait_until(lambda: follower.info()["master_link_status"] == "down", what="it is noticed")
            self.assertEqual(follower.digest(), before, "a follower goes on serving")
        leader.start().wait_healthy()

        self.assertEqual(leader.digest(), before)
        second = leader.info()
        self.assertNotEqual(second["run_id"], first["run_id"])
        self.assertGreater(int(second["history_id"], 16), int(first["history_id"], 16), "a younger history")
        self.assertEqual(second["pulls"], "1")
        self.assertEqual(cluster.wait_same_data(), before)

        # Versions go on where they were: of a key, and above what deletions have taken.
        self.assertEqual(leader.set("key0", "third")["version"], 3)
        self.assertEqual(leader.set("key1000", "deleted at 2 before")["version"], 3)
        cluster.wait_same_data()

    def test_again_and_again(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader = cluster.leader()
        for generation in range(1, 4):
            self.assertEqual(leader.set("generation", str(generation))["version"], generation)
            leader.set(f"of-generation-{generation}", "kept")
            before = cluster.wait_same_data()
            leader.kill()
            leader.start().wait_healthy()
            self.assertEqual(leader.digest(), before)
        self.assertEqual(leader.execute("DBSIZE"), 4)
        cluster.wait_same_data()

    def test_stopped_cleanly_it_loses_not_even_the_last_write(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        fill(leader, 20000)
        before = leader.digest()
        leader.stop()  # at once: what was not sent yet is sent now
        wait_until(lambda: follower.digest() == before, what="the tail arrived")
        leader.start().wait_healthy()
        self.assertEqual(leader.digest(), before)

    def test_serves_nobody_while_it_takes_the_state_back(self) -> None:
        """From a follower that takes its time, as long as the test needs: it says its last line when all has been asked."""
        cluster = self.make_cluster(groups=1, followers=0)
        leader, history = cluster.leader(), history_id(1700000000000)
        with FakeFollower(cluster, endpoints=True) as fake:
            leader.start().wait_listening()
            fake.announce()
            link, _, _ = fake.accept_and_sync(history, 10)
            self.addCleanup(link.close)
            self.assertEqual(link.read_lines_until(lambda line: not line.startswith(b"PING"))[-1], b"PULL")
            link.send_line(f"FULL|{history}|10|5\nREPLICATEX|key|value|5|1|0")
            asked = threading.Event()

            def say_something() -> None:
                while not asked.wait(0.5):  # a link on which nothing comes is given up
                    link.send_line("REPLICATEX|other|value|5|1|0")
                link.send_line("END|2|10")

            with ThreadPoolExecutor(1) as pool:
                pool.submit(say_something)
                try:
                    self.assert_serves_nobody(leader)
                finally:
                    asked.set()
            leader.wait_healthy()
            self.assertEqual(leader.get("key"), "value")

    def assert_serves_nobody(self, leader: Node) -> None:
        self.assertEqual(leader.http("GET", "/health").json()["status"], "starting")
        answer = leader.http("GET", "/get?key=key")
        self.assertEqual((answer.status, answer.json()["code"]), (503, "LOADING"))
        self.assertIn("retry-after", answer.headers)
        self.assertEqual(leader.http("POST", "/set", {"key": "key", "value": "too early"}).status, 503)
        with leader.resp() as client:
            for command in (("GET", "key"), ("SET", "key", "too early"), ("DBSIZE",), ("FLUSHALL",)):
                self.assertEqual(str(client.pipeline([command])[0]), "LOADING Redis is loading the dataset in memory")

    def test_the_most_advanced_follower_is_pulled(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2)
        leader, (advanced, behind) = cluster.leader(), cluster.followers()
        fill(leader, 100)
        cluster.wait_same_data()
        behind.pause()
        flood(leader, "late")
        wait_until(lambda: advanced.digest() == leader.digest(), what="one follower has it all")
        before = leader.digest()
        leader.kill()
        behind.resume()
        wait_until(lambda: behind.info()["master_link_status"] == "down", what="the other one reads what had arrived")
        self.assertLess(behind.position(), advanced.position())

        leader.start().wait_healthy()
        self.assertEqual(leader.digest(), before)
        self.assertEqual(cluster.wait_same_data(), before)
        self.assertEqual(leader.info()["pulls"], "1")

    def test_the_youngest_history_counts_before_the_index(self) -> None:
        cluster = self.make_cluster(groups=1, followers=0)
        leader = cluster.leader()
        old, young = history_id(1700000000000), history_id(1700000001000)
        with FakeFollower(cluster, "old", endpoints=True) as a, FakeFollower(cluster, "young", endpoints=True) as b:
            leader.start().wait_listening()
            a.announce()
            b.announce()
            to_old, _, _ = a.accept_and_sync(old, 1000)
            to_young, _, _ = b.accept_and_sync(young, 10)
            self.assertEqual(to_young.read_line(), b"PULL")
            to_young.send(b"FULL|%s|10|5\nREPLICATEX|k|v|5|1|0\nEND|1|10\n" % young.encode())
            # The other one's data is of another history: what is missing is taken from it, and nothing else.
            self.assertEqual(to_old.read_lines_until(lambda line: not line.startswith(b"PING"))[-1], b"PULL")
            to_old.send(b"FULL|%s|1000|1\n" % old.encode())
            to_old.send(b"REPLICATEX|k|old|1|1|0\nREPLICATEX|more|old|1|1|0\nEND|2|1000\n")
            leader.wait_healthy()
            wait_until(lambda: leader.get("more") == "old", what="the key that was missing")
            self.assertEqual(leader.get("k"), "v")
            to_old.close()
            to_young.close()

    def test_a_state_that_breaks_off_is_dropped_and_the_next_one_is_tried(self) -> None:
        cluster = self.make_cluster(groups=1, followers=0)
        leader = cluster.leader()
        old, young = history_id(1700000000000), history_id(1700000001000)
        with FakeFollower(cluster, "old", endpoints=True) as a, FakeFollower(cluster, "young", endpoints=True) as b:
            leader.start().wait_listening()
            a.announce()
            b.announce()
            to_old, _, _ = a.accept_and_sync(old, 1000)
            to_young, _, _ = b.accept_and_sync(young, 10)
            self.assertEqual(to_young.read_line(), b"PULL")
            to_young.send(b"FULL|%s|10|5\nREPLICATEX|half|v|5|1|0\n" % young.encode())
            to_young.close()
            b.close()
            self.assertEqual(to_old.read_lines_until(lambda line: not line.startswith(b"PING"))[-1], b"PULL")
            to_old.send(b"FULL|%s|1000|1\nREPLICATEX|whole|v|1|1|0\nEND|1|1000\n" % old.encode())
            leader.wait_healthy()
            self.assertEqual((leader.get("whole"), leader.get("half")), ("v", None))
            to_old.close()


class LateFollower(ClusterTestCase):
    """The leader came back before the only follower that has its data could be heard."""

    def restart_alone(self) -> tuple[Cluster, Node, Node, str]:
        """The leader serves, empty; the follower with the data is still stopped."""
        cluster = self.start_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        fill(leader, 3000)
        leader.set("both", "the follower's")
        before = cluster.wait_same_data()
        follower.pause()
        leader.kill()
        leader.start().wait_healthy()
        self.assertEqual(leader.execute("DBSIZE"), 0)
        return cluster, leader, follower, before

    def test_nothing_written_yet_it_is_pulled(self) -> None:
        cluster, leader, follower, before = self.restart_alone()
        follower.resume()
        wait_until(lambda: leader.digest() == before, what="the leader has taken the state")
        self.assertEqual(cluster.wait_same_data(), before)
        self.assertEqual(leader.info()["pulls"], "1")

    def test_written_already_only_the_missing_keys_are_taken(self) -> None:
        cluster, leader, follower, _ = self.restart_alone()
        leader.set("both", "the leader's")
        leader.set("new", "1")
        follower.resume()
        wait_until(lambda: leader.execute("DBSIZE") == 3002, what="the leader has taken the missing keys")
        cluster.wait_same_data()
        for node in cluster.nodes:
            held = [node.get(key) for key in ("both", "new", "key2999")]
            self.assertEqual(held, ["the leader's", "1", "value of 2999"])
        self.assertRegex(leader.log(), r"event=keys-adopted node=\w+ keys=3000 ")
        self.assertGreaterEqual(follower.count("sync_full"), 2, "after that it got the leader's state")

    def test_a_follower_fed_by_hand_keeps_its_data(self) -> None:
        cluster = self.make_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        follower.start().wait_listening()
        with LineConnection(follower.port) as peer:
            peer.send_line("REPLICATE|user1|Alice|3")
            follower.wait_healthy()
            wait_until(lambda: follower.get("user1") == "Alice", what="the bare line")
        leader.start()
        cluster.wait_formed()
        wait_until(lambda: leader.get("user1") == "Alice", what="the leader has it")
        self.assertEqual(leader.set("user1", "Bob")["version"], 4)
        cluster.wait_same_data()


class CatchingUp(ClusterTestCase):
    def syncs(self, node: Node) -> tuple[int, int]:
        info = node.info()
        return int(info["sync_full"]), int(info["sync_partial_ok"])

    def test_stopped_for_a_moment_a_follower_keeps_its_link(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        fill(leader, 1000)
        cluster.wait_same_data()
        before = self.syncs(leader)
        follower.pause()
        fill(leader, 100, value="meanwhile ")
        follower.resume()
        cluster.wait_same_data()
        self.assertEqual(self.syncs(leader), before)

    def test_stopped_until_its_link_was_given_up_it_gets_the_tail_only(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2)
        leader, (sleeper, _) = cluster.leader(), cluster.followers()
        fill(leader, 1000)
        cluster.wait_same_data()
        fulls, partials = self.syncs(leader)
        own_fulls = sleeper.count("sync_full")
        sleeper.pause()
        wait_until(lambda: link_state(leader, sleeper) != "online", what="its link is given up")
        fill(leader, 1000, value="meanwhile ")
        leader.execute("DEL", "key1", "key2")
        sleeper.resume()
        cluster.wait_same_data()
        self.assertEqual(self.syncs(leader)[0], fulls, "no FULL")
        self.assertGreater(self.syncs(leader)[1], partials)
        self.assertEqual(sleeper.count("sync_full"), own_fulls, "no FULL on its side either")
        self.assertEqual(link_state(leader, sleeper), "online")

    def test_out_of_a_small_backlog_it_gets_everything(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2, backlog="64k")
        leader, (sleeper, awake) = cluster.leader(), cluster.followers()
        fill(leader, 1000)
        cluster.wait_same_data()
        fulls, _ = self.syncs(leader)
        sleeper.pause()
        flood(leader, "late")
        self.assertLess(leader.count("repl_backlog_histlen"), 1 << 20, "bounded, whoever is behind")
        leader.execute("DEL", "key1", "key2")
        wait_until(lambda: link_state(leader, sleeper) != "online", what="its link is given up")
        refused = leader.count("sync_partial_err")
        sleeper.resume()
        cluster.wait_same_data()
        self.assertGreater(self.syncs(leader)[0], fulls)
        self.assertGreater(leader.count("sync_partial_err"), refused)
        self.assertEqual(sleeper.execute("EXISTS", "key1", "key2"), 0, "what was deleted meanwhile is dropped")

    def test_in_step_it_survives_a_value_larger_than_the_backlog(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1, backlog="1m")
        leader, follower = cluster.leader(), cluster.followers()[0]
        fill(leader, 10000, value="x" * 100)  # the backlog is full
        cluster.wait_same_data()
        before = self.syncs(leader)
        with leader.resp() as client:
            pipeline_all(client, [("SET", "large", "y" * (8 << 20)), ("SET", "behind", "it")])
        cluster.wait_same_data()
        fill(leader, 1000, value="and on ")
        cluster.wait_same_data()
        self.assertEqual(self.syncs(leader), before)
        self.assertNotIn("event=leader-link-down", follower.log())
        self.assertLessEqual(leader.count("repl_backlog_histlen"), 1 << 20, "what nobody reads any more has gone")

    def test_killed_and_restarted_a_follower_gets_everything(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        fill(leader, 5000)
        cluster.wait_same_data()
        fulls, _ = self.syncs(leader)
        follower.kill()
        fill(leader, 1000, value="meanwhile ")
        follower.start().wait_healthy()
        cluster.wait_same_data()
        self.assertEqual(self.syncs(leader)[0], fulls + 1)
        self.assertEqual({node["port"] for node in leader.cluster()["nodes"]}, {leader.port, follower.port})

    def test_a_full_sync_under_write_load_ends_with_equal_data(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader = cluster.leader()
        fill(leader, 20000, value="x" * 100)
        stop = threading.Event()

        def write() -> int:
            """New keys, overwritten ones, deletions, deadlines, all over the table, until told to stop."""
            with leader.resp() as client:
                number = 0
                while not stop.is_set():
                    commands = []
                    for i in range(number, number + 100):
                        commands += [
                            ("SET", f"key{i * 7919 % 20000}", f"overwritten {i}"), ("SET", f"new{i}", i),
                            ("DEL", f"key{i * 104729 % 20000}"), ("EXPIRE", f"new{i // 2}", 1000 + i),
                            ("SET", f"short{i}", "soon gone", "PX", 50),
                        ]
                    pipeline_all(client, commands)
                    number += 100
                return number

        with ThreadPoolExecutor(1) as pool:
            writer = pool.submit(write)
            try:
                newcomers = [cluster.add_node().start() for _ in range(2)]
                for newcomer in newcomers:
                    newcomer.wait_healthy()
                    wait_until(lambda: link_state(leader, newcomer) == "online", what="the state is over there")
                cluster.followers()[0].kill()  # and one that had everything comes back with nothing
                cluster.followers()[0].start().wait_healthy()
                wait_until(lambda: link_state(leader, cluster.followers()[0]) == "online", what="and over there")
            finally:
                stop.set()
            self.assertGreater(writer.result(TIMEOUT_S), 1000, "there was a load")
        wait_until(lambda: not leader.execute("KEYS", "short*"), what="expiry")
        cluster.wait_replicated()
        cluster.wait_same_data()
        self.assertGreater(leader.execute("DBSIZE"), 10000)
        for synced in newcomers:
            self.assertEqual(synced.count("sync_full"), 1)
        sent = re.findall(r"event=state-sent node=\S+ keys=\d+ index=(\d+)", leader.log())
        self.assertGreater(int(sent[-1]), int(sent[0]) + 1000, "lines were written between the states, and during them")


class WhileAStateArrives(ClusterTestCase):
    """A leader that the test plays can stop in the middle."""

    def setUp(self) -> None:
        super().setUp()
        self.follower = self.make_cluster(groups=1, followers=1).followers()[0].start().wait_listening()
        self.history = history_id()
        link, _ = lead(self.follower, self.history)
        self.addCleanup(link.close)
        link.send_line(f"FULL|{self.history}|10|1")
        for i in range(100):
            link.send_line(f"REPLICATEX|old{i}|1|1|1000|0")
        link.send_line("END|100|10")
        wait_until(lambda: self.follower.position() == 10, what="the first state")
        self.link = link

    def begin_second(self) -> LineConnection:
        """Another state: one key overwrites, one is new, two are changed by live lines in between; no END yet."""
        self.link.close()
        wait_until(lambda: self.follower.info()["master_link_status"] == "down", what="the first link is over")
        self.second = history_id(random=1)
        link, answer = lead(self.follower, self.second)
        self.addCleanup(link.close)
        self.assertTrue(answer.endswith(b"|%s|10" % self.history.encode()), answer)
        link.send_line(f"FULL|{self.second}|20|7")
        link.send_line("REPLICATEX|old0|2|7|2000|0")
        link.send_line("REPLICATEX|new|2|7|2000|0")
        link.send_line("CLOCK|3000")
        link.send_line("REPLICATE|old1|live|8")
        link.send_line("DELETE|old2|9")
        wait_until(lambda: self.follower.get("old1") == "live", what="the half of the state")
        return link

    def test_the_old_data_is_served_until_the_end(self) -> None:
        link, follower = self.begin_second(), self.follower
        self.assertEqual([follower.get(key) for key in ("old0", "old1", "old2", "old3", "old99", "new")],
                         ["2", "live", None, "1", "1", "2"])
        self.assertEqual(follower.info()["master_sync_in_progress"], "1")
        self.assertEqual(follower.http("GET", "/health").status, 200)
        link.send_line("END|2|23")
        wait_until(lambda: follower.execute("DBSIZE") == 3, what="what was neither sent nor touched is dropped")
        self.assertEqual([follower.get(key) for key in ("old0", "old1", "old3", "new")], ["2", "live", None, "2"])
        self.assertEqual(follower.position(), 23)

    def test_a_state_that_breaks_off_drops_nothing(self) -> None:
        self.begin_second().close()
        follower = self.follower
        wait_until(lambda: follower.info()["master_link_status"] == "down", what="it broke")
        held = [follower.get(key) for key in ("old0", "old1", "old2", "old3", "old99")]
        self.assertEqual(held, ["2", "live", None, "1", "1"])

        # Its leader is asked for all of it once more; to any other it has what it had.
        link, answer = lead(follower, self.second)
        self.assertTrue(answer.endswith(b"|-|0"), answer)
        link.close()
        wait_until(lambda: follower.info()["master_link_status"] == "down", what="it broke again")
        link, answer = lead(follower, history_id(random=2))
        self.assertTrue(answer.endswith(b"|%s|10" % self.history.encode()), "the old position holds until END")
        link.close()


class ExpiryAndFlush(ClusterTestCase):
    def test_deadlines_are_equal_and_the_deletion_is_in_the_stream(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        with FakeFollower(cluster, endpoints=True) as fake:
            fake.announce()
            link, _, _ = fake.accept_and_sync()
            link.read_lines_until(lambda line: line.startswith(b"END"))
            leader.execute("SET", "long", "1", "EX", 1000)
            leader.http("POST", "/set", {"key": "rest", "value": "1", "ttl": 1000})
            self.assertEqual(cluster.wait_same_data(), follower.digest())
            for key in ("long", "rest"):
                self.assertEqual(follower.execute("PEXPIRETIME", key), leader.execute("PEXPIRETIME", key))
            leader.execute("SET", "short", "1", "PX", 700)
            wait_until(lambda: leader.execute("DBSIZE") == 2, what="nobody asked for it, it is deleted all the same")
            lines = without_clock(link.read_lines_until(lambda line: line.startswith(b"DELETE")))
            self.assertEqual(lines[-1], b"DELETE|short|2")
            cluster.wait_replicated()
            self.assertEqual(leader.count("expired_keys"), 1)
            link.close()

    def test_a_follower_waits_for_the_deletion(self) -> None:
        follower = self.make_cluster(groups=1, followers=1).followers()[0].start().wait_listening()
        mine = history_id()
        link, _ = lead(follower, mine)
        link.send(b"FULL|%s|1|1\nREPLICATEX|k|v|1|1000|%d\nEND|1|1\n" % (mine.encode(), FAR))
        wait_until(lambda: follower.get("k") == "v", what="the state")
        link.send_line(f"EXPIREX|k|{int(time.time() * 1000) + 300}")
        wait_until(lambda: follower.get("k") is None, what="the deadline has passed")
        self.assertEqual(follower.execute("EXISTS", "k"), 0)
        self.assertEqual(follower.execute("KEYS", "*"), [])
        self.assertEqual(follower.execute("DBSIZE"), 1, "it is there until the leader says otherwise")
        link.send_line("EXPIREX|k|4000000000000")  # which it may
        wait_until(lambda: follower.get("k") == "v", what="the leader's word")
        link.send_line("DELETE|k|2")
        wait_until(lambda: follower.execute("DBSIZE") == 0, what="the deletion")
        link.close()

    def test_flushall_empties_the_followers_and_versions_go_on(self) -> None:
        cluster = self.start_cluster(groups=1, followers=2)
        leader = cluster.leader()
        fill(leader, 10000)
        for _ in range(4):
            leader.set("key0", "again")  # version 5
        cluster.wait_same_data()
        self.assertEqual(leader.execute("FLUSHALL"), "OK")
        for node in cluster.nodes:
            wait_until(lambda: node.execute("DBSIZE") == 0, what=f"{node.name} is empty")
        self.assertEqual(leader.set("key1", "new")["version"], 6, "above all that were taken")
        cluster.wait_same_data()
        leader.kill()
        leader.start().wait_healthy()
        self.assertEqual(leader.set("key2", "new")["version"], 6, "the floor comes back with the state")


if __name__ == "__main__":
    main()
