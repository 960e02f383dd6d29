#!/usr/bin/env python3
# ctest: timeout=300
"""kvnode's tools on what is kept and on what is brought along: -check, -export, -import, -repair (docs/tools.md)."""
from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import threading
import unittest
from pathlib import Path
from typing import Iterator

from harness import (
    HOST, TIMEOUT_S, Cluster, Connection, Node, RespClient, free_port, main, run_kvnode, wait_until,
)
from kept import ToolTestCase, last_segment, run_tool
from peers import fill, pipeline_all

FAR = 4000000000000  # Unix ms, in the year 2096


class Check(ToolTestCase):
    def test_it_says_what_is_there(self) -> None:
        node, directory = self.make_kept()
        node.start().wait_healthy()
        fill(node, 300)
        with node.resp() as client:
            pipeline_all(client, [("DEL", f"key{i}") for i in range(100)])
            client.execute("SETRANGE", "patched", 5, "x")
            client.execute("SETRANGE", "patched", 50, "x")
        position = node.position()
        busy = run_kvnode("-check", str(directory))
        self.assertEqual((busy.returncode, busy.stdout), (2, ""))
        self.assert_one_line(busy.stderr, "a node runs on it")
        self.assertEqual(node.stop(), 0)

        before = {path.name: path.read_bytes() for path in directory.iterdir()}
        found = run_kvnode("-check", str(directory))
        self.assertEqual((found.returncode, found.stderr), (0, ""))
        self.assertRegex(found.stdout, r"(?m)^.*: all is good$")
        self.assertRegex(found.stdout, r"(?m)^keys +201$")
        self.assertRegex(found.stdout, rf"(?m)^last index +{position}$")
        self.assertRegex(found.stdout, r"(?m)^history +[0-9a-f]{16}$")
        self.assertRegex(found.stdout, r"(?m)^node .*stopped cleanly$")
        self.assertEqual({path.name: path.read_bytes() for path in directory.iterdir()}, before, "it only looks")

    def test_a_torn_tail_is_no_damage(self) -> None:
        node, directory = self.make_kept()
        node.start().wait_healthy()
        fill(node, 10)
        node.kill()
        with open(last_segment(directory), "ab") as file:
            file.write(b"deadbeef 4711 REPLICATE|torn|")
        found = run_kvnode("-check", str(directory))
        self.assertEqual((found.returncode, found.stderr), (0, ""))
        self.assertRegex(found.stdout, r"(?m)^torn tail +29 bytes\b.*line \d+, byte \d+")
        self.assertRegex(found.stdout, r"(?m)^keys +10$")

    def test_damage_is_named_by_file_line_and_byte(self) -> None:
        node, directory = self.make_kept(fsync="always")
        node.start().wait_healthy()
        fill(node, 100)
        node.set("more", "so that the first are known to be on the disk")
        node.stop()
        last = last_segment(directory)
        content = bytearray(last.read_bytes())
        content[content.index(b"key5|")] ^= 1
        last.write_bytes(content)
        found = run_kvnode("-check", str(directory))
        self.assertEqual((found.returncode, found.stdout), (1, ""))
        self.assert_one_line(found.stderr, rf"^kvnode: .*{re.escape(last.name)}, line \d+, byte \d+: ")

    def test_what_is_no_such_directory(self) -> None:
        cluster: Cluster = self.make_cluster(groups=1, followers=0)
        for arguments in (["-check"], ["-check", str(cluster.directory / "none")], ["-check", str(cluster.leader().log_path)],
                          ["-check", "a", "-to", "b"]):
            found = run_kvnode(*arguments)
            self.assertEqual((found.returncode, found.stdout), (2, ""), arguments)
            self.assert_one_line(found.stderr, "^kvnode: ")


def url_of(node: Node, password: str = "") -> str:
    return f"http://{':' + password + '@' if password else ''}{HOST}:{node.api}"


def fill_oddly(node: Node) -> None:
    """Keys and values of every kind: bytes that lines and URLs escape, deadlines, patches, large ones."""
    fill(node, 500)
    with node.resp() as client:
        pipeline_all(client, [("SET", f"session{i}", "token", "PXAT", FAR + i) for i in range(100)])
        every_byte = bytes(range(256))
        client.execute("SET", every_byte, every_byte * 3)
        client.execute("SET", "", "the empty key")
        client.execute("SET", "empty", "")
        client.execute("SET", "large", every_byte * 20000)
        client.execute("SETBIT", "patched", 7001, 1)
        client.execute("DEL", "key7")


def lines_of(export: bytes) -> tuple[list[bytes], bytes]:
    """Its state lines, sorted, and what is behind them."""
    lines = [line + b"\n" for line in export.split(b"\n")[:-1]]
    return sorted(lines[:-1]), lines[-1]


class Export(ToolTestCase):
    def test_of_a_directory_and_of_a_node_it_is_the_same(self) -> None:
        node, directory = self.make_kept()
        node.start().wait_healthy()
        fill_oddly(node)
        keys, position = node.execute("DBSIZE"), node.position()
        of_node = run_tool("-export", url_of(node))
        self.assertEqual((of_node.returncode, of_node.stderr), (0, b""))
        self.assertEqual(node.http("GET", "/export").body, of_node.stdout, "it is what GET /export answers")
        node.stop()
        of_directory = run_tool("-export", directory)
        self.assertEqual((of_directory.returncode, of_directory.stderr), (0, b""))
        state, end = lines_of(of_directory.stdout)
        self.assertEqual(lines_of(of_node.stdout), (state, end))
        self.assertEqual(end, b"END|%d|%d\n" % (keys, position))
        self.assertEqual(len(state), keys)
        self.assertRegex(b"".join(state), rb"(?m)^REPLICATEX\|session7\|token\|1\|\d+\|%d$" % (FAR + 7))

    def test_the_password_and_what_goes_wrong(self) -> None:
        node, _ = self.make_kept(requirepass="open sesame")
        node.start().wait_healthy()
        self.assertEqual(node.http("GET", "/export").status, 401)
        for url, why in ((url_of(node), "401"), (f"http://{HOST}:{free_port()}", "cannot be reached")):
            refused = run_kvnode("-export", url)
            self.assertEqual((refused.returncode, refused.stdout), (1, ""))
            self.assert_one_line(refused.stderr, why)
        let_in = run_tool("-export", url_of(node, "open%20sesame"))
        self.assertEqual((let_in.returncode, let_in.stdout), (0, b"END|0|0\n"))
        for url in ("http://somewhere", "https://h:1", "http://:9000"):
            self.assertEqual(run_kvnode("-export", url).returncode, 2, url)

    def test_a_client_that_does_not_read_holds_up_nobody(self) -> None:
        node, _ = self.make_kept()
        node.start().wait_healthy()
        with node.resp() as client:
            for i in range(48):
                client.execute("SET", f"large{i}", bytes([65 + i]) * (1 << 20))
        with Connection(node.api) as reader, Connection(node.api) as goner:
            for connection in (reader, goner):
                connection.send(b"GET /export HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            for i in range(48):
                self.assertEqual(node.execute("GET", f"large{i}"), bytes([65 + i]) * (1 << 20))
            node.execute("SET", "meanwhile", "x")
            goner.close()
            answer = b"".join(iter(lambda: reader.sock.recv(1 << 20), b""))
        self.assertTrue(answer.endswith(b"\r\n0\r\n\r\n"))
        self.assertRegex(answer[-100:], rb"END\|4[89]\|")
        self.assertEqual(answer.count(b"REPLICATEX|large"), 48)


def contents(export: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Key, value and deadline of each line; versions and times begin anew with an import."""
    state, _ = lines_of(export)
    return sorted((fields[1], fields[2], fields[5]) for fields in (line.split(b"|") for line in state))


class Import(ToolTestCase):
    def make_export(self) -> bytes:
        node, _ = self.make_kept()
        node.start().wait_healthy()
        fill_oddly(node)
        with node.resp() as client:
            client.execute("SET", b"k" * 70000, "a key that is no URL", "PXAT", FAR)
        return run_tool("-export", url_of(node)).stdout

    def assert_imported(self, outcome: subprocess.CompletedProcess[bytes], keys: int) -> None:
        self.assertEqual((outcome.returncode, outcome.stderr), (0, b""))
        self.assertRegex(outcome.stdout, rb"^imported %d keys, \d+\.\d+ MB\n$" % keys)

    def assert_refused(self, outcome: subprocess.CompletedProcess[bytes], why: str, code: int = 1) -> None:
        self.assertEqual((outcome.returncode, outcome.stdout), (code, b""))
        self.assert_one_line(outcome.stderr.decode(), why)

    def test_what_was_exported_is_there_again_byte_for_byte(self) -> None:
        export = self.make_export()
        keys = len(contents(export))
        node, _ = self.make_kept(requirepass="secret")
        node.start().wait_healthy()
        self.assert_imported(run_tool("-import", "-", "-to", url_of(node, "secret"), stdin=export), keys)
        self.assertTrue(contents(run_tool("-export", url_of(node, "secret")).stdout) == contents(export))

        kept, directory = self.make_kept()
        file = directory.parent / "all.lines"
        file.write_bytes(export)
        self.assert_imported(run_tool("-import", file, "-data", directory), keys)
        self.assertTrue(contents(run_tool("-export", directory).stdout) == contents(export))
        self.assertEqual(run_kvnode("-check", str(directory)).returncode, 0)
        kept.start().wait_healthy()
        self.assertTrue(contents(run_tool("-export", url_of(kept)).stdout) == contents(export))
        self.assertEqual(kept.set("key1", "more")["version"], 2)
        kept.kill()
        kept.start().wait_healthy()
        self.assertEqual(kept.get("key1"), "more")
        kept.stop()
        self.assert_refused(run_tool("-import", file, "-data", directory), "holds data already")

    def test_each_key_goes_to_the_leader_of_its_slot(self) -> None:
        export = self.make_export()
        cluster = self.start_cluster(groups=2, followers=1)
        entry = cluster.followers(0)[0]
        self.assert_imported(run_tool("-import", "-", "-to", url_of(entry), stdin=export), len(contents(export)))
        both = [contents(run_tool("-export", url_of(cluster.leader(group))).stdout) for group in (0, 1)]
        self.assertTrue(both[0] and both[1])
        self.assertTrue(sorted(both[0] + both[1]) == contents(export))

    def test_nothing_is_written_of_what_is_not_whole(self) -> None:
        export = self.make_export()
        node, directory = self.make_kept()
        node.start().wait_healthy()
        lines = export.splitlines(keepends=True)
        for content, why in (
            (b"", "stdin: it is empty"),
            (b"GET / HTTP/1.1\r\n\r\n", "neither what -export writes nor an RDB file"),
            (b"\x00" * 100, "neither what -export writes nor an RDB file"),
            (export[: export.rindex(b"END|")], "END is missing"),
            (export[:-1], "it is not whole"),
            (lines[0] + export, r"END says \d+ keys, and there are \d+"),
            (export + lines[0], "something stands behind END"),
            (b"REPLICATEX|a|b|1|0|0\nDELETE|a|2\nEND|1|0\n", "line 2: neither REPLICATEX nor END"),
            (b"REPLICATEX|%zz|b|1|0|0\nEND|1|0\n", "line 1: "),
        ):
            with self.subTest(why=why):
                self.assert_refused(run_tool("-import", "-", "-to", url_of(node), stdin=content), why)
        self.assert_refused(run_tool("-import", directory / "none", "-to", url_of(node)), "cannot be opened")
        self.assertEqual(node.execute("DBSIZE"), 0)

    def test_the_node_refuses_or_is_not_there(self) -> None:
        export = b"REPLICATEX|a|b|1|0|0\nEND|1|0\n"
        node, _ = self.make_kept(requirepass="secret")
        node.start().wait_healthy()
        self.assert_refused(run_tool("-import", "-", "-to", url_of(node), stdin=export), "401.*0 of 1 keys")
        nowhere = f"http://{HOST}:{free_port()}"
        self.assert_refused(run_tool("-import", "-", "-to", nowhere, stdin=export), "cannot be reached")
        self.assert_refused(run_tool("-import", "-", "-to", "http://", stdin=export), "-to: it is not http://HOST:PORT")

    def test_a_deadline_by_query(self) -> None:
        node, _ = self.make_kept()
        node.start().wait_healthy()
        self.assertEqual(node.http("POST", f"/set?key=a&deadline={FAR}", b"x").status, 200)
        self.assertEqual(node.execute("PEXPIRETIME", "a"), FAR)
        self.assertEqual(node.http("POST", "/set?key=a&deadline=1", b"x").status, 200)
        self.assertEqual(node.execute("EXISTS", "a"), 0, "it has passed")
        for query in ("deadline=0", "deadline=x", "deadline=-1", f"deadline={1 << 48}", f"deadline={FAR}&ttl=1"):
            self.assertEqual(node.http("POST", "/set?key=a&" + query, b"x").status, 400, query)


def little(number: int, size: int) -> bytes:
    return number.to_bytes(size, "little")


def rdb(*pieces: bytes, version: int = 10) -> bytes:
    """A file of these pieces, without a checksum."""
    return b"REDIS%04d" % version + b"".join(pieces) + b"\xff" + bytes(8)


class ImportRdb(ToolTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.node, _ = self.make_kept()
        self.node.start().wait_healthy()

    def run_import(self, content: bytes, *more: str) -> subprocess.CompletedProcess[str]:
        outcome = run_tool("-import", "-", "-to", url_of(self.node), *more, stdin=content)
        return subprocess.CompletedProcess(outcome.args, outcome.returncode, outcome.stdout.decode(), outcome.stderr.decode())

    def test_strings_and_deadlines(self) -> None:
        outcome = self.run_import(rdb(
            b"\xfa\x03abc\x03def", b"\xfe\x00\xfb\x08\x03",
            b"\x00\x01a\x03abc", b"\x00\x01b\xc0\xff", b"\x00\x01c\xc1\x00\x80", b"\x00\x01d\xc2\x00\x00\x00\x80",
            b"\x00\x01e\xc3\x09\x40\x40\x01xx\xe0\x33\x00\x01xx"[:16],
            b"\xfc" + little(FAR, 8) + b"\xf8\x05\x00\xc0\x07\x01x",
            b"\xfd" + little(2000000000, 4) + b"\xf9\x05\x00\x01f\x01y",
            b"\xfc" + little(1, 8) + b"\x00\x04gone\x01z",
        ))
        self.assertEqual((outcome.returncode, outcome.stderr), (0, ""))
        self.assertRegex(outcome.stdout, "^imported 7 keys, .*; 1 had expired$")
        with self.node.resp() as client:
            self.assertEqual(client.execute("MGET", *"abcdef7"), [b"abc", b"-1", b"-32768", b"-2147483648", b"x" * 64, b"y", b"x"])
            self.assertEqual(client.execute("PEXPIRETIME", "7"), FAR)
            self.assertEqual(client.execute("PEXPIRETIME", "f"), 2000000000000)
            self.assertEqual(client.execute("EXPIRETIME", "a"), -1)

    def test_what_has_no_place_is_named_and_nothing_is_written(self) -> None:
        content = rdb(b"\x00\x01a\x01b", b"\x01\x01l\x02\x01x\x01y", b"\x04\x01h\x01\x01f\x01v", b"\x0c\x01z\x03zip",
                      b"\xfe\x05", b"\x00\x01a\x01c", b"\x0d\x01h\x02zz")
        refused = self.run_import(content)
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        self.assert_one_line(refused.stderr, "1 list, 1 hash, 1 sorted set, 1 string of database 5, 1 hash of database 5; nothing was written")
        self.assertEqual(self.node.execute("DBSIZE"), 0)
        outcome = self.run_import(content, "-skip-other-types")
        self.assertEqual((outcome.returncode, outcome.stderr), (0, ""))
        self.assertRegex(outcome.stdout, "^imported 1 keys, .*left out: 1 list, 1 hash, ")
        self.assertEqual(self.node.get("a"), "b")

    def test_what_is_damaged_is_refused_with_one_line(self) -> None:
        whole = rdb(b"\x00\x01a\x03abc")
        for content, why in (
            (whole[:12], "cut off"), (whole[:-4], "cut off"), (whole[:9], "cut off"), (b"REDIS", "no RDB file"),
            (rdb(version=13), "of RDB version 13"), (b"VALKEY080" + whole[9:], "Valkey"),
            (whole[:-8] + b"12345678", "the checksum is another one"), (whole + b"*1", "something stands behind its end"),
            (rdb(b"\xc8\x01a\x01b"), "a type that is not known"), (rdb(b"\x00\x01a\xc3\x02\x05aa"), "damaged"),
        ):
            with self.subTest(why=why, content=content):
                refused = self.run_import(content)
                self.assertEqual((refused.returncode, refused.stdout), (1, ""))
                self.assert_one_line(refused.stderr, f"^kvnode: stdin: .*{why}")
        self.assertEqual(self.node.execute("DBSIZE"), 0)

    @unittest.skipUnless(shutil.which("redis-server"), "there is no redis-server")
    def test_a_file_that_redis_has_saved(self) -> None:
        port = free_port()
        directory = self.node.log_path.parent
        command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(directory), "--dbfilename", "saved.rdb"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as redis:
            try:
                with wait_until(lambda: RespClient(port), what="redis-server") as client:
                    values = {b"plain": b"text", b"int": b"12345", b"": b"", b"lzf": b"abc" * 5000, bytes(range(256)): bytes(range(256)) * 300}
                    values.update({b"key%d" % i: b"%d" % (i * 7919 - 1000000) for i in range(3000)})
                    pipeline_all(client, [("SET", key, value) for key, value in values.items()])
                    client.execute("PEXPIREAT", "plain", FAR)
                    client.execute("SAVE")
                    strings = (directory / "saved.rdb").read_bytes()
                    for command_line in (
                        "RPUSH list a b", "RPUSH long " + "x " * 600, "SADD set a b", "SADD ints 1 2 3", "HSET hash f v", "ZADD zset 1.5 a",
                        "HSET large f " + "v" * 100, "ZADD largez 1 " + "m" * 100, "SADD larges " + "m" * 100, "XADD stream 1-1 a b",
                        "XGROUP CREATE stream group 0", "XREADGROUP GROUP group consumer STREAMS stream >", "SELECT 3", "SET other db",
                    ):
                        client.execute(*command_line.split())
                    client.execute("SAVE")
                    everything = (directory / "saved.rdb").read_bytes()
            finally:
                redis.terminate()
        outcome = self.run_import(strings)
        self.assertEqual((outcome.returncode, outcome.stderr), (0, ""))
        with self.node.resp() as client:
            self.assertEqual(client.execute("MGET", *values), list(values.values()))
            self.assertEqual(client.execute("PEXPIRETIME", "plain"), FAR)
        refused = self.run_import(everything)
        self.assert_one_line(refused.stderr, r"what has no place in kvnode: .*; nothing was written")
        for count in ("2 list", "3 set", "2 hash", "2 sorted set", "1 stream", "1 string of database 3"):
            self.assertIn(f" {count}", refused.stderr)
        self.assertEqual(self.run_import(everything, "-skip-other-types").returncode, 0)
        for cut in (100, len(everything) // 2, len(everything) - 9, len(everything) - 1):
            self.assertEqual(self.run_import(everything[:cut]).returncode, 1)
        broken = bytearray(strings)
        broken[strings.index(b"text")] ^= 1
        self.assert_one_line(self.run_import(bytes(broken)).stderr, "the checksum is another one")


class Repair(ToolTestCase):
    def make_damaged(self) -> tuple[Node, Path, Path]:
        """A directory with a bit flipped in three lines, behind two of which only changes follow, and with a torn tail."""
        node, directory = self.make_kept(fsync="always")
        node.start().wait_healthy()
        fill(node, 300)
        with node.resp() as client:
            pipeline_all(client, [("SET", f"session{i}", "token", "PXAT", FAR + i) for i in range(100)])
            client.execute("SET", "patched", "0" * 200)
            client.execute("SET", "again", "0" * 200)
            client.execute("SETRANGE", "patched", 5, "LOST")
            client.execute("SETRANGE", "again", 5, "LOST")
            client.execute("SETRANGE", "patched", 50, "x")
            client.execute("SETRANGE", "again", 50, "x")
            client.execute("SET", "again", "whole")
            client.execute("DEL", "key9")
        node.kill()
        last = last_segment(directory)
        content = bytearray(last.read_bytes())
        for text in (b"|key5|", b"|patched|5|", b"|again|5|"):
            content[content.index(text) + 3] ^= 1
        last.write_bytes(bytes(content) + b"deadbeef 4711 REPLICATE|torn|")
        return node, directory, directory.parent / "repaired"

    def test_all_but_what_is_damaged_is_there(self) -> None:
        node, directory, repaired = self.make_damaged()
        before = {path.name: path.read_bytes() for path in directory.iterdir()}
        self.assertEqual(run_kvnode("-check", str(directory)).returncode, 1)
        outcome = run_kvnode("-repair", str(directory), str(repaired))
        self.assertEqual((outcome.returncode, outcome.stderr), (0, ""), outcome)
        self.assertEqual({path.name: path.read_bytes() for path in directory.iterdir()}, before, "DIR stays as it is")
        self.assertEqual(len(re.findall(r"(?m)^lost: journal-\d+\.log, line \d+, about byte \d+: \d+ bytes$", outcome.stdout)), 4)
        self.assertRegex(outcome.stdout, r"(?m)^399 keys are in ")
        self.assertRegex(outcome.stdout, r"(?m)^4 records are lost, \d+ bytes; besides them 2 times a key")
        self.assertEqual(run_kvnode("-check", str(repaired)).returncode, 0)
        node.start(data=str(repaired)).wait_healthy()
        self.assertEqual(node.execute("DBSIZE"), 399)
        self.assertIsNone(node.get("patched"), "a value of which a part is unknown is none")
        self.assertIsNone(node.get("key9"))
        self.assertIsNone(node.get("key5"))
        self.assertEqual(node.get("again"), "whole")
        self.assertEqual(node.execute("PEXPIRETIME", "session7"), FAR + 7)
        self.assertEqual(node.set("again", "more")["version"], 5, "versions go on")
        node.stop()
        refused = run_kvnode("-repair", str(directory), str(repaired))
        self.assertEqual(refused.returncode, 1)
        self.assert_one_line(refused.stderr, "holds data already")

    def test_what_is_whole_stays_whole(self) -> None:
        node, directory = self.make_kept()
        node.start().wait_healthy()
        fill_oddly(node)
        busy = run_kvnode("-repair", str(directory), str(directory.parent / "new"))
        self.assertEqual(busy.returncode, 2)
        before = node.digest()
        node.stop()
        outcome = run_kvnode("-repair", str(directory), str(directory.parent / "new"))
        self.assertEqual(outcome.returncode, 0, outcome)
        self.assertRegex(outcome.stdout, "(?m)^nothing is lost$")
        node.start(data=str(directory.parent / "new")).wait_healthy()
        self.assertEqual(node.digest(), before)


@contextlib.contextmanager
def running_redis(directory: Path, *words: str) -> Iterator[int]:
    """A redis-server that keeps nothing; gives its port."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", HOST, "--save", "", "--dir", str(directory), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as redis:
        try:
            wait_until(lambda: RespClient(port).close() is None, what="redis-server listens")
            yield port
        finally:
            redis.terminate()


@contextlib.contextmanager
def talking(script: bytes) -> Iterator[int]:
    """A server that says this to whoever connects, whatever is asked, and then that it is over; gives its port."""

    def serve() -> None:
        with listener.accept()[0] as peer:
            peer.sendall(script)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(TIMEOUT_S)


class ImportRedis(ToolTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.node, self.directory = self.make_kept()
        self.node.start().wait_healthy()

    def run_import(self, source: str, *more: str) -> subprocess.CompletedProcess[str]:
        return run_kvnode("-import", source, "-to", url_of(self.node), *more)

    def assert_refused(self, source: str, why: str) -> None:
        refused = self.run_import(source)
        self.assertEqual((refused.returncode, refused.stdout), (1, ""), refused)
        self.assert_one_line(refused.stderr, why)
        self.assertNotIn("secret", refused.stderr)

    @unittest.skipUnless(shutil.which("redis-server"), "there is no redis-server")
    def test_all_that_it_has(self) -> None:
        for renamed in ("", "PEXPIRETIME"):  # an older one has no such command
            with self.subTest(without=renamed):
                words = ("--rename-command", renamed, "") if renamed else ()
                with running_redis(self.node.log_path.parent, "--requirepass", "secret word", *words) as port:
                    url = f"redis://:secret%20word@{HOST}:{port}"
                    with RespClient(port) as client:
                        client.execute("AUTH", "secret word")
                        values = {b"key%d" % i: b"%d" % (i * 7919) for i in range(3000)}
                        values.update({b"": b"", bytes(range(256)): bytes(range(256)) * 300})
                        pipeline_all(client, [("SET", key, value) for key, value in values.items()])
                        client.execute("PEXPIREAT", "key7", FAR)
                        outcome = self.run_import(url)
                        self.assertEqual((outcome.returncode, outcome.stderr), (0, ""))
                        self.assertRegex(outcome.stdout, r"^imported 3002 keys, \d+\.\d+ MB\n$")
                        with self.node.resp() as mine:
                            self.assertEqual(mine.execute("MGET", *values), list(values.values()))
                            deadline = int(mine.execute("PEXPIRETIME", "key7"))
                            self.assertLessEqual(abs(deadline - FAR), 0 if not renamed else 60000)
                            self.assertEqual(mine.execute("PEXPIRETIME", "key8"), -1)
                            mine.execute("FLUSHALL")
                        for command in ("RPUSH list a", "HSET hash f v", "ZADD zset 1 a", "SELECT 3", "SET other db"):
                            client.execute(*command.split())
                    self.assert_refused(url, "1 list\\b.*nothing was written")
                    self.assert_refused(url, "1 key of database 3")
                    self.assertEqual(self.node.execute("DBSIZE"), 0)
                    outcome = self.run_import(url, "-skip-other-types")
                    self.assertEqual((outcome.returncode, self.node.execute("DBSIZE")), (0, 3002))
                    self.node.execute("FLUSHALL")
                    self.assert_refused(f"redis://{HOST}:{port}", "asks for a password")
                    self.assert_refused(f"redis://:wrong@{HOST}:{port}", "answers WRONGPASS")
                    self.assert_refused(url + "/3", "another database")

    @unittest.skipUnless(shutil.which("redis-server"), "there is no redis-server")
    def test_cluster_mode(self) -> None:
        with running_redis(self.node.log_path.parent, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as port:
            self.assert_refused(f"redis://{HOST}:{port}", "cluster mode")

    def test_it_goes_away_or_is_none(self) -> None:
        page = b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"
        script = b"$0\r\n\r\n:-2\r\n" + page + b"+string\r\n" + page + b"$1\r\nx\r\n:-1\r\n"
        with talking(script) as port:
            self.assertEqual(self.run_import(f"redis://{HOST}:{port}").returncode, 0)
        for n in range(len(script)):
            with talking(script[:n]) as port:
                self.assert_refused(f"redis://{HOST}:{port}", "has gone away in the middle")
        for garbage in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$x\r\n", b"*3\r\n", b"\r\n", b"-LOADING wait\r\n", b"\n" * 100):
            with talking(garbage) as port:
                self.assert_refused(f"redis://{HOST}:{port}", "does not speak RESP|answers ")
        self.assert_refused(f"redis://{HOST}:{free_port()}", "cannot be reached")
        self.assert_refused("redis://nowhere", "it is not redis://HOST:PORT")


if __name__ == "__main__":
    main()
