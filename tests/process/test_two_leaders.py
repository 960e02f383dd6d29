#!/usr/bin/env python3
"""Two leaders in one group: one of them goes, or steps down, and no key is lost (DESIGN.md 4)."""
import threading
import time

from harness import Cluster, ClusterTestCase, DiscoverySocket, Node, RespError, main, wait_until
from peers import fill, history_id, key_slot, lead



class SecondLeader(ClusterTestCase):
    def assert_refused(self, second: Node, first: Node) -> None:
        """It ends by itself, and its last line names the one that leads."""
        self.assertEqual(second.wait_exit(), 1, second.log())
        last = second.log().splitlines()[-1]
        wanted = f"kvnode: node {first.flags['id']} at 127.0.0.1:{first.port} is the live leader of group 0 already"
        self.assertEqual(last, wanted)

    def test_beside_a_live_leader_it_exits_with_a_line_that_names_it(self) -> None:
        cluster = self.make_cluster(groups=1, followers=1)
        first = cluster.leader().start(id="first")
        cluster.followers()[0].start()
        cluster.wait_formed()
        first.set("key", "value")
        before = cluster.wait_same_data(), first.info()["history_id"], first.position()
        for _ in range(2):
            second = cluster.add_node(leader=True)
            self.assert_refused(second.start(), first)
            cluster.nodes.remove(second)
        self.assertEqual((cluster.wait_same_data(), first.info()["history_id"], first.position()), before)
        self.assertEqual(first.http("GET", "/health").json()["role"], "leader")
        wait_until(lambda: first.known_nodes() == {node.port for node in cluster.nodes}, what="the second is forgotten")
        self.assertEqual(first.set("key", "again")["version"], 2)
        cluster.wait_same_data()

    def test_while_it_lives_no_client_is_sent_to_it(self) -> None:
        cluster = self.make_cluster(groups=1, followers=1)
        first = cluster.leader().start(id="first")
        follower = cluster.followers()[0].start()
        cluster.wait_formed()
        second = cluster.add_node(leader=True).start()
        named: set[object] = set()
        with follower.resp() as client:
            while second.is_running():
                named.add(str(client.pipeline([("SET", "key", "value")])[0]))
                named.update(node[1] for _, _, node, *_ in client.execute("CLUSTER", "SLOTS")[:1])
        self.assertEqual(named, {f"MOVED {key_slot('key')} 127.0.0.1:{first.redis}", first.redis})
        self.assert_refused(second, first)

    def test_in_another_group_it_is_welcome(self) -> None:
        cluster = self.start_cluster(groups=2, followers=0)
        for node in cluster.nodes:
            wait_until(lambda: set(node.known_leaders()) == {0, 1}, what="both lead")

    def test_in_place_of_a_killed_leader_another_node_may_lead(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        killed, follower = cluster.nodes
        fill(killed, 100)
        before = cluster.wait_same_data()
        killed.kill()
        cluster.nodes.remove(killed)
        successor = cluster.add_node(leader=True).start(id="successor").wait_healthy()
        self.assertEqual(cluster.wait_same_data(), before)
        self.assertEqual(successor.digest(), before)
        with self.assertRaises(RespError) as error:
            follower.execute("SET", "key0", "x")
        self.assertEqual(str(error.exception), f"MOVED {key_slot('key0')} 127.0.0.1:{successor.redis}")

        # The killed one comes back and wants to lead: it is too late.
        cluster.nodes.append(killed)
        self.assert_refused(killed.start(), successor)
        self.assertEqual(successor.set("key0", "still")["version"], 2)

    def test_two_that_start_at_once_leave_one(self) -> None:
        cluster = self.make_cluster(groups=1, followers=0)
        pair = [cluster.leader(), cluster.add_node(leader=True)]
        for node in pair:
            node.start()
        wait_until(lambda: sum(node.is_running() for node in pair) < 2, what="one of them gives way")
        (left,) = [node for node in pair if node.is_running()]
        (gone,) = [node for node in pair if not node.is_running()]
        self.assertEqual(gone.wait_exit(), 1)
        self.assertIn(f"127.0.0.1:{left.port}", gone.log().splitlines()[-1])
        left.wait_healthy().set("key", "value")


class Partition:
    """Two segments that do not hear each other until healed: then each hears what the other's nodes say."""

    def __init__(self, one: Cluster, other: Cluster):
        self._stop = threading.Event()
        self._sockets = [one.discovery(), other.discovery()]
        self._threads: list[threading.Thread] = []

    def heal(self) -> None:
        foreign: set[tuple[bytes, int]] = set()  # a node, and the port to which its words are carried: not back again

        def carry(ear: DiscoverySocket, mouth: DiscoverySocket) -> None:
            while not self._stop.is_set():
                heard = ear.receive(0.1)
                if heard is None or heard.data == b"WHO":
                    continue
                node = heard.data.split(b"|")[1]
                if (node, ear.port) not in foreign:
                    foreign.add((node, mouth.port))
                    mouth.send(heard.data)

        one, other = self._sockets
        for ear, mouth in ((one, other), (other, one)):
            ear.drain()
            self._threads.append(threading.Thread(target=carry, args=(ear, mouth)))
            self._threads[-1].start()
        one.send("WHO")
        other.send("WHO")

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for opened in self._sockets:
            opened.close()


class HealedPartition(ClusterTestCase):
    def partitioned(self, followers: int = 1) -> tuple[Cluster, Cluster, Partition]:
        """The older and the younger side, each with a leader of group 0 and its followers."""
        older = self.make_cluster(groups=1, followers=followers)
        younger = self.make_cluster(groups=1, followers=followers)
        partition = Partition(older, younger)
        self.addCleanup(partition.close)
        older.start()
        younger.start()
        return older, younger, partition

    def test_the_older_serves_on_the_younger_steps_down_and_no_key_is_lost(self) -> None:
        older, younger, partition = self.partitioned()
        first, second = older.leader(), younger.leader()
        fill(first, 1000, prefix="first")
        fill(second, 1000, prefix="second")
        first.set("both", "of the first")
        for _ in range(3):
            second.set("both", "of the second")
        second.execute("SET", "deadline", "kept", "PXAT", 4000000000000)
        older.wait_same_data()
        younger.wait_same_data()
        history = first.info()["history_id"]

        partition.heal()
        wait_until(lambda: second.info()["kvnode_role"] == "demoted", what="the younger steps down")
        wait_until(lambda: first.execute("DBSIZE") == 2002, what="what only the younger had is taken over")
        nodes = older.nodes + younger.nodes
        for node in nodes:
            wait_until(lambda: node.digest() == first.digest(), what=f"{node.name} has everything")
            self.assertEqual(node.get("both"), "of the first")
            self.assertEqual(node.get("second999"), "value of 999")
            self.assertEqual(node.execute("PTTL", "deadline") > 10**12, True)

        # The younger shows it everywhere, and takes no writes; it has the older's data, and may be asked for it.
        health = second.http("GET", "/health")
        self.assertEqual((health.status, health.json()["status"], health.json()["role"]), (200, "ok", "demoted"))
        self.assertIn("older", health.json()["why"])
        info = second.info()
        self.assertEqual((info["role"], info["history_id"]), ("slave", history))
        self.assertNotEqual(info["kvnode_conflict"], "")
        self.assertIn("conflict", second.cluster())
        moved = RespError(f"MOVED {key_slot('both')} 127.0.0.1:{first.redis}")
        with second.resp() as client:  # at once when it has heard the first announce itself, and asked it
            wait_until(lambda: client.pipeline([("SET", "both", "late")]) == [moved], what="it names the first")
        self.assertEqual(second.http("POST", "/set", {"key": "both", "value": "late"}).status, 307)
        for node in (first, second):
            self.assertIn("event=two-leaders ", node.log())

        # The older never stopped, and is alone again.
        self.assertEqual(first.info()["history_id"], history)
        self.assertEqual(first.info()["kvnode_role"], "leader")
        wait_until(lambda: first.info()["kvnode_conflict"] == "", what="the conflict is over")
        first.set("after", "all")
        for node in nodes:
            wait_until(lambda: node.get("after") == "all", what=f"{node.name} follows the first")
        for node in nodes:
            wait_until(lambda: node.known_leaders() == {0: first.port}, what=f"{node.name} knows one leader")

    def test_the_older_serves_writes_all_the_time(self) -> None:
        older, younger, partition = self.partitioned(followers=0)
        first, second = older.leader(), younger.leader()
        fill(second, 20000)
        first.set("meanwhile0", "1")
        partition.heal()
        written = 1
        with first.resp() as client:

            def has_all_while_it_is_written_to() -> bool:
                nonlocal written
                for _ in range(100):
                    self.assertEqual(client.execute("SET", f"meanwhile{written}", "1"), "OK")
                    written += 1
                return bool(client.execute("DBSIZE") == 20000 + written)

            wait_until(has_all_while_it_is_written_to, what="the younger's data is taken")
        wait_until(lambda: second.digest() == first.digest(), what="both have everything")

    def test_an_empty_older_one_wipes_nothing(self) -> None:
        """It takes the younger's data before it serves again, under a new history: either may be the older one then."""
        older, younger, partition = self.partitioned(followers=1)
        pair = [older.leader(), younger.leader()]
        fill(pair[1], 1000)
        before = younger.wait_same_data()
        partition.heal()
        for node in older.nodes + younger.nodes:
            wait_until(lambda: node.digest() == before, what=f"{node.name} has the younger's data")
        roles = ["demoted", "leader"]
        wait_until(lambda: sorted(node.info()["kvnode_role"] for node in pair) == roles, what="one of them leads")
        (leader,) = [node for node in pair if node.info()["kvnode_role"] == "leader"]
        self.assertEqual(leader.set("key1", "again")["version"], 2)
        for node in older.nodes + younger.nodes:
            wait_until(lambda: node.digest() == leader.digest(), what=f"{node.name} follows it")


class FakeLeaders(ClusterTestCase):
    """Whoever says LEAD to a leader learns who is older."""

    def test_a_younger_history_is_refused(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        mine = leader.info()["history_id"]
        link, answer = lead(leader, history_id(random=7), node_id="younger")
        refusal = rb"^ERROR\|two leaders: node \w+ leads group 0 with the older history "
        self.assertRegex(answer, refusal + mine.encode())
        self.assertTrue(link.is_closed())
        link.close()
        self.assertEqual(leader.info()["kvnode_role"], "leader")

    def test_before_an_older_history_it_steps_down(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        leader.set("mine", "1")
        mine, index = leader.info()["history_id"], leader.position()
        link, answer = lead(leader, history_id(1700000000000), node_id="older")
        self.assertRegex(answer, rb"^SYNC\|\w+\|%s\|%d$" % (mine.encode(), index))
        self.assertEqual(leader.info()["kvnode_role"], "demoted")
        self.assertEqual(leader.http("GET", "/health").json()["status"], "conflict")
        self.assertEqual(leader.http("GET", "/health").status, 503)
        self.assertEqual(leader.get("mine"), "1", "reads are answered from what it has")
        self.assertNotEqual(leader.http("POST", "/set", {"key": "mine", "value": "2"}).status, 200)

        # It gives what only it has when it is asked, and takes what it is given.
        link.send_line("PULL")
        state = link.read_lines_until(lambda line: line.startswith(b"END"))
        self.assertRegex(state[0], rb"^FULL\|%s\|%d\|0$" % (mine.encode(), index))
        self.assertRegex(state[1], rb"^REPLICATEX\|mine\|1\|1\|\d+\|0$")
        self.assertEqual(state[2], b"END|1|%d" % index)
        theirs = history_id(1700000000000).encode()
        soon = int(time.time() * 1000) + 300
        link.send(b"FULL|%s|5|0\nREPLICATEX|mine|theirs|1|1|0\n" % theirs)
        link.send(b"REPLICATEX|short|1|1|1|%d\nEND|2|5\n" % soon)
        wait_until(lambda: leader.get("mine") == "theirs", what="the older leader's state")

        self.assertEqual(leader.http("GET", "/health").status, 200, "it has what the group has")
        self.assertIs(leader.cluster()["self"]["leader_link_up"], True)

        # What expires is not its to delete any more.
        wait_until(lambda: time.time() * 1000 > soon + 500)  # a leader would have swept it
        self.assertEqual((leader.get("short"), leader.execute("DBSIZE")), (None, 2))
        link.close()
        wait_until(lambda: leader.cluster()["self"]["leader_link_up"] is False, what="the link is down")

    def test_a_stray_announcement_moves_nothing(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader = cluster.leader()
        leader.set("key", "value")
        with cluster.discovery() as peer:
            peer.send("ANNOUNCE|nobody|127.0.0.1|1|0|true")
            peer.send("ANNOUNCE|nowhere|127.0.0.1|1|99|true")
        wait_until(lambda: 1 in leader.known_nodes(), what="it was heard")
        time.sleep(1)
        for node in cluster.nodes:
            self.assertEqual(node.info()["groups_in_ring"], "1")
        self.assertEqual(leader.info()["kvnode_role"], "leader")
        self.assertEqual(leader.set("key", "again")["version"], 2)
        with self.assertRaises(RespError) as error:
            cluster.followers()[0].execute("SET", "key", "x")
        self.assertEqual(str(error.exception), f"MOVED {key_slot('key')} 127.0.0.1:{leader.redis}")


if __name__ == "__main__":
    main()
