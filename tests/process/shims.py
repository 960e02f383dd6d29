"""shims.py: the system as nodes see it that are started with it: another clock, a slower disk.

    clock = Clock()
    clock.start(node)
    clock.set(-600)     # ten minutes back
"""
from __future__ import annotations

import os
import subprocess
import tempfile
import unittest.mock
from pathlib import Path

from harness import TIMEOUT_S, Node

# In place of the C library's clock: as many seconds off as the file says.
CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *out) {
    long result = syscall(SYS_clock_gettime, clock, out);
    char text[32] = "0";
    int fd = clock == CLOCK_REALTIME ? open(getenv("SHIM_SET"), O_RDONLY) : -1;
    if (fd >= 0) {
        if (read(fd, text, sizeof(text) - 1) > 0) {
            out->tv_sec += atol(text);
        }
        close(fd);
    }
    return (int)result;
}
"""

# Whatever is to be on the disk is there as many milliseconds later as the file says.
SLOW_DISK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static void wait_first(void) {
    char text[32] = "0";
    int fd = open(getenv("SHIM_SET"), O_RDONLY);
    if (fd >= 0) {
        if (read(fd, text, sizeof(text) - 1) > 0) {
            usleep((useconds_t)atol(text) * 1000);
        }
        close(fd);
    }
}
int fsync(int fd) {
    wait_first();
    return (int)syscall(SYS_fsync, fd);
}
int fdatasync(int fd) {
    wait_first();
    return (int)syscall(SYS_fdatasync, fd);
}
"""


class Shim:
    """Stands before the C library; it reads a number whenever it is called."""

    source = ""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="kvnode-shim-")
        self._library, self._set = Path(self._directory.name) / "shim.so", Path(self._directory.name) / "set"
        command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(self._library)]
        subprocess.run(command, input=self.source, text=True, check=True, timeout=TIMEOUT_S)
        self.set(0)

    def close(self) -> None:
        self._directory.cleanup()

    def set(self, number: int) -> None:
        self._set.write_text(str(number))

    def start(self, node: Node) -> None:
        variables = {"LD_PRELOAD": str(self._library), "SHIM_SET": str(self._set)}
        # AddressSanitizer wants to be loaded first, which here is no matter.
        variables["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        with unittest.mock.patch.dict(os.environ, variables):
            node.start()


class Clock(Shim):
    """Set: seconds off the system's own."""

    source = CLOCK


class SlowDisk(Shim):
    """Set: milliseconds that a sync takes longer."""

    source = SLOW_DISK
