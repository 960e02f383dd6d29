#!/usr/bin/env python3
"""A few bytes of a large value: what it costs on a link is what they are long (DESIGN.md 4, PATCHX)."""
import random

from harness import Cluster, ClusterTestCase, main, wait_until
from peers import FakeFollower, pipeline_all

MB = 1 << 20


class Patches(ClusterTestCase):
    def sent_by(self, cluster: Cluster) -> int:
        return cluster.leader().count("total_net_repl_output_bytes")

    def test_bits_of_large_values_cost_a_link_little(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader = cluster.leader()
        leader.execute("SETBIT", "bits", 100_000_000, 1)
        leader.execute("SETRANGE", "text", MB, "end")
        cluster.wait_same_data()
        self.assertLess(self.sent_by(cluster), 10_000)  # zeros before them are said by nobody
        with leader.resp() as client:
            pipeline_all(
                client,
                [("SETBIT", "bits", i * 1_000_003, 1) for i in range(50)]
                + [("SETRANGE", "text", i * 1000, "\0\0some\0|~%") for i in range(50)]
                + [("APPEND", "text", "more") for _ in range(50)]
                + [("BITFIELD", "bits", "SET", "u8", 80_000, i, "INCRBY", "u63", 90_000_000, i) for i in range(50)],
            )
        cluster.wait_same_data()
        self.assertLess(self.sent_by(cluster), 50_000)
        self.assertEqual(cluster.followers()[0].execute("STRLEN", "text"), MB + 3 + 200)
        self.assertEqual(cluster.followers()[0].execute("BITFIELD_RO", "bits", "GET", "u8", 80_000), [49])

    def test_patches_while_the_state_is_on_its_way(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        rng = random.Random(7)
        with leader.resp() as client:
            pipeline_all(client, [("SETRANGE", f"k{i}", 500 + i % 7, "x") for i in range(20_000)])
            follower = cluster.add_node()
            follower.start()

            def patch_some() -> bool:
                pipeline_all(
                    client,
                    [("SETRANGE", f"k{rng.randrange(30_000)}", rng.randrange(900), "patch") for _ in range(2000)]
                    + [("DEL", f"k{rng.randrange(30_000)}") for _ in range(200)],
                )
                return bool(follower.is_running() and follower.info()["master_link_status"] == "up")

            wait_until(patch_some, what="the state to be whole")
            for _ in range(3):
                patch_some()
        cluster.wait_same_data()

    def test_one_that_knows_only_the_specification_gets_the_value(self) -> None:
        cluster = self.start_cluster(groups=1, followers=0)
        leader = cluster.leader()
        leader.execute("SET", "k", "v" * 1000)
        fake = FakeFollower(cluster)
        self.addCleanup(fake.close)
        fake.announce()
        link = fake.accept()
        self.addCleanup(link.close)
        link.read_lines_until(lambda line: line.startswith(b"REPLICATE|k|"))
        leader.execute("SETRANGE", "k", 1, "w")
        said = link.read_lines_until(lambda line: line.endswith(b"|2"))
        self.assertEqual(said[-1], b"REPLICATE|k|vw" + b"v" * 998 + b"|2")


if __name__ == "__main__":
    main()
