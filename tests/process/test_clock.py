#!/usr/bin/env python3
"""The system's clock is set while nodes run: time-outs, links and expiry go on."""
import os
import subprocess
import tempfile
import time
import unittest.mock
from pathlib import Path

from harness import TIMEOUT_S, ClusterTestCase, Node, main, wait_until

# In place of the C library's clock: as many seconds off as the file says.
SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *out) {
    long result = syscall(SYS_clock_gettime, clock, out);
    char text[32] = "0";
    int fd = clock == CLOCK_REALTIME ? open(getenv("CLOCK_SET"), O_RDONLY) : -1;
    if (fd >= 0) {
        if (read(fd, text, sizeof(text) - 1) > 0) {
            out->tv_sec += atol(text);
        }
        close(fd);
    }
    return (int)result;
}
"""


class SetClock(ClusterTestCase):
    directory: tempfile.TemporaryDirectory

    @classmethod
    def setUpClass(cls) -> None:
        cls.directory = tempfile.TemporaryDirectory(prefix="kvnode-clock-")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.shim, cls.set = Path(cls.directory.name) / "clock.so", Path(cls.directory.name) / "seconds"
        command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(cls.shim)]
        subprocess.run(command, input=SHIM, text=True, check=True, timeout=TIMEOUT_S)

    def set_clock(self, seconds: int) -> None:
        self.set.write_text(str(seconds))

    def start(self, node: Node) -> None:
        """With the clock that set_clock sets."""
        variables = {"LD_PRELOAD": str(self.shim), "CLOCK_SET": str(self.set)}
        # AddressSanitizer wants to be loaded first, which here is no matter.
        variables["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        with unittest.mock.patch.dict(os.environ, variables):
            node.start()

    def test_the_leaders_clock_is_set_back_ten_minutes(self) -> None:
        self.set_clock(0)
        cluster = self.make_cluster(groups=1, followers=1)
        leader, follower = cluster.leader(), cluster.followers()[0]
        self.start(leader)
        follower.start()
        cluster.wait_formed()
        leader.set("before", "1")
        cluster.wait_same_data()
        self.set_clock(-600)
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
