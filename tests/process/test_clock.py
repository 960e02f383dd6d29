#!/usr/bin/env python3
"""The system's clock is set while nodes run: time-outs, links and expiry go on."""
import time

from harness import ClusterTestCase, main, wait_until
from shims import Clock


class SetClock(ClusterTestCase):
    def test_the_leaders_clock_is_set_back_ten_minutes(self) -> None:
        clock = Clock()
        self.addCleanup(clock.close)
        cluster = self.make_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        clock.start(leader)
        follower.start()
        cluster.wait_formed()
        leader.set("before", "1")
        cluster.wait_same_data()
        clock.set(-600)
        wait_until(lambda: "event=clock-set-back" in leader.log(), what="it is noticed")
        with cluster.discovery() as peer:
            heard = peer.receive()
            while heard is not None and not heard.data.startswith(b"ANNOUNCE|" + leader.cluster()["self"]["id"].encode()):
                heard = peer.receive()
            self.assertIsNotNone(heard, "it goes on to announce itself")
        leader.execute("SET", "short", "1", "PX", 300)
        after = leader.set("after", "2")
        self.assertLess(after["timestamp"], leader.http("GET", "/get?key=before").json()["timestamp"])
        wait_until(lambda: leader.execute("DBSIZE") == 2, what="what is to expire expires")
        time.sleep(6)  # longer than a silent link is kept
        self.assertEqual(follower.info()["master_link_status"], "up")
        self.assertEqual(follower.http("GET", "/get?key=after").json()["timestamp"], after["timestamp"])
        self.assertEqual(cluster.wait_same_data(), leader.digest())
        self.assertNotIn("leader-link-down", follower.log())
        leader.set("last", "3")
        wait_until(lambda: follower.get("last") == "3", what="it is replicated")


if __name__ == "__main__":
    main()
