"""parity_random.py: sequences of commands by chance, the same for two servers, and how to make a failing one small.

Left out is what two correct servers answer differently: RANDOMKEY, the order of SCAN, DBSIZE of what has expired, idle times, and deadlines that
depend on the very millisecond (EXPIRE GT after EXPIRE with the same seconds; those are asked with absolute times).
And what parity/differences lists: OBJECT, MOVE, deadlines after the year 10000.
"""
from __future__ import annotations

import random
import re
import time
from typing import Callable, Optional, Sequence

from parity import REPLY_S, Element, RawConnection
from wire import encode_command

Command = list[bytes]

SETS = ("h1", "h2", "{t}h")  # HyperLogLogs; nobody looks at their bytes, where Redis notes what PFCOUNT has found
KEYS = ("k1", "k2", "k3", "{t}k", "")
INTEGERS = ("0", "1", "-1", "7", "42", "100", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
            "2147483647", "4294967296", "010", "+1", " 1", "1 ", "", "abc", "1.5", "0x10")
OFFSETS = ("0", "1", "2", "3", "7", "8", "9", "15", "40", "-1", "-2", "-3", "-100", "100", "1000")
BAD_OFFSETS = ("abc", "", "4294967296", "9223372036854775807", "-9223372036854775808", "1.0")
FLOATS = ("0", "1", "-1", "0.1", "3.14", "5.0e3", "1e400", "-inf", "nan", "abc", "1.0e-5", "", "0.30000000000000004",
          "1e17", "123456789.123456789", " 1", "0x10", "1e-20")
VALUES = ("", "a", "foo", "hello world", "0", "1", "-5", "12", "3.5", "1e3", "010", "\xff\x00\x7f", "\x00\x00\x01",
          "ohmytext", "mynewtext", "x" * 44, "y" * 45, "z" * 300, "9223372036854775807", "9223372036854775806")
FAR = ("4000000000", "4000000001", "5000000000", "1", "0", "-1", "abc", "9223372036854775808")
SOON = ("100", "5000", "0", "-1", "abc", "9223372036854775807", "1.5", "-9223372036854775808")
FIELDS = ("u8", "i8", "u1", "i1", "u63", "i64", "u64", "i65", "u0", "i16", "u16", "u7", "i5", "x8", "u", "U8", "i08")
FIELD_OFFSETS = ("0", "1", "#0", "#1", "#2", "7", "8", "100", "-1", "#-1", "abc", "#", "4294967296", "##1", "#1a")

Chance = random.Random


def key(r: Chance) -> str:
    return r.choices(KEYS, (30, 30, 20, 10, 2))[0]


def integer(r: Chance) -> str:
    return r.choice(INTEGERS)


def offset(r: Chance) -> str:
    return r.choice(BAD_OFFSETS if r.random() < 0.08 else OFFSETS)


def floating(r: Chance) -> str:
    return r.choice(FLOATS)


def value(r: Chance) -> str:
    return r.choice(VALUES)


def far(r: Chance) -> str:
    return r.choice(FAR)


def soon(r: Chance) -> str:
    return r.choice(SOON)


def bit(r: Chance) -> str:
    return r.choices(("0", "1", "2", "-1", "abc"), (45, 45, 4, 3, 3))[0]


def unit(r: Chance) -> str:
    return r.choice(("BIT", "BYTE", "bit", "byte", "BITS"))


def some(make: Callable[[Chance], str], most: int) -> Callable[[Chance], list[str]]:
    return lambda r: [make(r) for _ in range(r.randint(0, most))]


def maybe(*parts: object) -> Callable[[Chance], list[str]]:
    return lambda r: expand(parts, r) if r.random() < 0.5 else []


def one_of(*choices: object) -> Callable[[Chance], list[str]]:
    return lambda r: expand((r.choice(choices),), r)


def set_options(r: Chance) -> list[str]:
    words: list[str] = []
    for _ in range(r.choice((0, 0, 1, 1, 2, 3))):
        words += expand((r.choice(("NX", "XX", "GET", "KEEPTTL", ("EX", soon), ("PX", r.choice(("500000", "0", "-1"))),
                                   ("EXAT", far), ("PXAT", far), "nx", "EX", "PERSIST", "bogus")),), r)
    return words


def expire_options(r: Chance) -> list[str]:
    return [r.choice(("NX", "XX", "GT", "LT", "gt", "bogus")) for _ in range(r.choice((0, 0, 1, 1, 1, 2)))]


def bitfield_operations(r: Chance) -> list[str]:
    words: list[str] = []
    for _ in range(r.choice((0, 1, 1, 2, 3))):
        words += expand((r.choice((("GET", FIELDS, FIELD_OFFSETS), ("SET", FIELDS, FIELD_OFFSETS, integer),
                                   ("INCRBY", FIELDS, FIELD_OFFSETS, integer),
                                   ("OVERFLOW", ("WRAP", "SAT", "FAIL", "sat", "bogus")), "GET", "bogus")),), r)
    return words


def expand(parts: Sequence[object], r: Chance) -> list[str]:
    """Strings are themselves, functions make words; a tuple that begins in upper case goes on, any other is a choice."""
    words: list[str] = []
    for part in parts:
        if isinstance(part, str):
            words.append(part)
        elif isinstance(part, tuple):
            goes_on = any(not isinstance(item, str) for item in part)
            words += expand(part, r) if goes_on else [r.choice(part)]
        else:
            made = part(r)  # type: ignore[operator]
            words += [made] if isinstance(made, str) else made
    return words


RELATIVE = ("NX", "XX")
GRAMMAR: tuple[tuple[object, ...], ...] = (
    ("GET", key), ("SET", key, value), ("SET", key, integer), ("SET", key, value, set_options),
    ("SETNX", key, value), ("SETEX", key, soon, value), ("PSETEX", key, ("500000", "0", "-5", "abc"), value),
    ("GETSET", key, value), ("GETDEL", key), ("GETEX", key),
    ("GETEX", key, one_of(("EX", soon), ("EXAT", far), ("PXAT", far), "PERSIST", "bogus")),
    ("GETEX", key, "PERSIST", one_of("PERSIST", ("EX", soon))),
    ("APPEND", key, value), ("STRLEN", key), ("GETRANGE", key, offset, offset), ("SUBSTR", key, offset, offset),
    ("SETRANGE", key, offset, value), ("INCR", key), ("DECR", key), ("INCRBY", key, integer), ("DECRBY", key, integer),
    ("INCRBYFLOAT", key, floating), ("MGET", some(key, 4)), ("MSET", key, value, maybe(key, value), maybe(key)),
    ("MSETNX", key, value, maybe(key, value), maybe(key)),
    ("LCS", key, key, one_of("LEN", "IDX", ("IDX", maybe("MINMATCHLEN", offset), maybe("WITHMATCHLEN")), ("LEN", maybe("IDX")))),
    ("SETBIT", key, offset, bit), ("GETBIT", key, offset), ("BITCOUNT", key), ("BITCOUNT", key, offset, offset),
    ("BITCOUNT", key, offset, offset, unit), ("BITCOUNT", key, offset), ("BITPOS", key, bit),
    ("BITPOS", key, bit, offset), ("BITPOS", key, bit, offset, offset), ("BITPOS", key, bit, offset, offset, unit),
    ("BITOP", ("AND", "OR", "XOR", "NOT", "and", "NAND"), key, key, maybe(key), maybe(key)),
    ("BITFIELD", key, bitfield_operations), ("BITFIELD_RO", key, bitfield_operations),
    ("PFADD", SETS, some(value, 4)), ("PFADD", SETS, integer, value), ("PFCOUNT", SETS, maybe(SETS)), ("PFCOUNT", key),
    ("PFMERGE", SETS, maybe(SETS), maybe(SETS)), ("PFMERGE", SETS, key), ("DEL", SETS), ("EXPIRE", SETS, soon), ("STRLEN", SETS),
    ("EXISTS", some(key, 3)), ("DEL", some(key, 2)), ("UNLINK", key), ("TOUCH", some(key, 3)), ("TYPE", key),
    ("EXPIRE", key, soon), ("EXPIRE", key, soon, RELATIVE), ("PEXPIRE", key, ("500000", "0", "-1", "abc", "9223372036854775807")),
    ("EXPIREAT", key, far, expire_options), ("PEXPIREAT", key, far, expire_options),
    ("TTL", key), ("PTTL", key), ("EXPIRETIME", key), ("PEXPIRETIME", key), ("PERSIST", key),
    ("RENAME", key, key), ("RENAMENX", key, key), ("COPY", key, key, one_of("REPLACE", "bogus", maybe("DB", ("0", "5", "abc")))),
    ("KEYS", ("*", "k?", "k[12]", "x*")),
    ("MULTI",), ("EXEC",), ("DISCARD",), ("EXEC",), ("WATCH", key), ("UNWATCH",), ("SELECT", ("0", "abc")),
    ("PING", some(value, 2)), ("ECHO", value), ("FLUSHALL", one_of("SYNC", "bogus", maybe("ASYNC"))), ("RESET",),
    ("RESTORE", key, ("0", "-1", "abc", "500000"), value),
    ("SCAN", ("abc", "1x", "-")), ("WAIT", "0", "0"),
)
SELDOM = {"FLUSHALL", "RESET", "SELECT", "WATCH", "MULTI", "DISCARD"}
WEIGHTS = [0.3 if row[0] in SELDOM else 1.0 for row in GRAMMAR]


def random_sequence(r: Chance) -> list[Command]:
    rows = r.choices(GRAMMAR, WEIGHTS, k=r.randint(5, 60))
    sequence = []
    for row in rows:
        words = expand(row, r)
        if row[0] == "EXEC":  # whose arity error parity/differences has
            pass
        elif r.random() < 0.02:  # an argument too few
            words = words[:-1] or words
        elif r.random() < 0.02:  # or too many
            words.append(value(r))
        sequence.append([word.encode("latin-1") for word in words])
    return sequence


# --- comparing -----------------------------------------------------------------------------------------------------

# Of these a reply counts up or down with the clock.
TIMED = re.compile(rb"(?i)P?(TTL|EXPIRETIME)$")
UNORDERED = re.compile(rb"(?i)KEYS$")


def normal(element: Element, timed: bool, unordered: bool) -> object:
    if element.items:
        items = [normal(item, timed, unordered) for item in element.items]
        return element.raw.split(b"\r\n", 1)[0], sorted(items, key=repr) if unordered else items
    if timed and element.kind == b":" and int(element.raw[1:]) > 0:
        return b":positive"
    return element.raw


def checked_since_7_2(commands: list[Command], theirs: Element, ours: Element) -> bool:
    """Redis 7.0 does not look at the range that it is to search in a key that does not exist; 7.2 does."""
    if not any(command[0] in (b"BITCOUNT", b"BITPOS") for command in commands):
        return False
    return theirs.kind == b":" and ours.kind == b"-"


class Bench:
    """The two servers, a connection to each for every protocol."""

    def __init__(self, redis: int, kvnode: int):
        self._ports = redis, kvnode
        self._clients: dict[int, list[RawConnection]] = {}

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        for protocol in list(self._clients):
            self._close(protocol)

    def _close(self, protocol: int) -> None:
        for client in self._clients.pop(protocol):
            client.close()

    def _open(self, protocol: int) -> list[RawConnection]:
        if protocol not in self._clients:
            self._clients[protocol] = [RawConnection(port, timeout=REPLY_S) for port in self._ports]
        return self._clients[protocol]

    def mismatch(self, sequence: list[Command], protocol: int) -> Optional[str]:
        """Plays it from an empty table on; the first reply that differs, in words."""
        start = [[b"RESET"], [b"FLUSHALL"], [b"HELLO", b"%d" % protocol]]
        sent = b"".join(encode_command(*command) for command in start + sequence)
        replies: list[list[Element]] = []
        try:
            for client in self._open(protocol):
                client.send(sent)
                replies.append([client.read_element() for _ in start + sequence][len(start) :])
        except (OSError, EOFError, ValueError) as error:
            self._close(protocol)
            return f"{'kvnode' if replies else 'redis'} failed: {error!r}"
        # In a transaction any reply of EXEC may be one of a timed command.
        timed_block = unordered_block = False
        block: list[Command] = []
        for command, theirs, ours in zip(sequence, *replies):
            timed, unordered = bool(TIMED.match(command[0])), bool(UNORDERED.match(command[0]))
            timed_block, unordered_block = timed_block or timed, unordered_block or unordered
            block.append(command)
            pairs = [(theirs, ours)]
            if command[0] == b"EXEC":
                pairs = list(zip(theirs.items, ours.items)) or pairs
                timed, unordered = timed_block, unordered_block
                timed_block = unordered_block = False
            asked = [command]
            if command[0] == b"EXEC":
                asked, block = block, []
            if len(theirs.items) != len(ours.items) or any(
                normal(a, timed, unordered) != normal(b, timed, unordered) and not checked_since_7_2(asked, a, b)
                for a, b in pairs
            ):
                return f"at {b' '.join(command)!r}\n    redis:  {theirs.raw!r}\n    kvnode: {ours.raw!r}"
        return None


def shrink(sequence: list[Command], fails: Callable[[list[Command]], bool], until: float) -> list[Command]:
    """Leaves out as much as can be, halves first, then single commands, while it still fails."""
    size = len(sequence) // 2
    while size > 0 and time.monotonic() < until:
        at, before = 0, len(sequence)
        while at < len(sequence) and time.monotonic() < until:
            shorter = sequence[:at] + sequence[at + size :]
            if shorter and fails(shorter):
                sequence = shorter
            else:
                at += size
        if size > 1 or len(sequence) == before:
            size //= 2
    return sequence
