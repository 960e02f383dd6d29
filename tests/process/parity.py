"""parity.py: asks two servers the same and compares their answers byte for byte; see parity/README.md for the scripts.

A Server is a port and what to call it. A Session holds a script's connections to one server. run_script sends each
line of a script to both and returns what they answered differently; Differences knows which of it is intended.
"""
from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, Optional

from harness import HOST, TIMEOUT_S, Connection, free_port, wait_until
from wire import encode_command

SCRIPTS = Path(__file__).with_name("parity")
REPLY_S = 30.0  # that an answer may take; who needs longer has none
TIMEOUTS = 4  # of them in one script: then the rest of it is not worth waiting for

# --- the real thing ------------------------------------------------------------------------------------------------


class RedisServer:
    """Debian's redis-server on a free port, with nothing on disk; one database, as kvnode has."""

    def __init__(self, *more: str):
        self.port = free_port()
        self._directory = tempfile.TemporaryDirectory(prefix="kvnode-parity-")
        words = ["redis-server", "--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no"]
        words += ["--databases", "1", "--enable-debug-command", "yes", "--dir", self._directory.name, *more]
        # The cluster bus is at port + 10000 unless it is told another one, and nobody has reserved that.
        words += ["--cluster-port", str(free_port())]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: ask(self.port, "PING") == b"+PONG\r\n", what="redis-server answers")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(TIMEOUT_S)
        self._directory.cleanup()


def redis_is_installed() -> bool:
    return shutil.which("redis-server") is not None


# --- replies -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Element:
    """One complete reply: its bytes, its type, and what it is made of."""

    raw: bytes
    kind: bytes
    items: tuple["Element", ...] = ()


class RawConnection(Connection):
    """Reads replies without making anything of them."""

    def read_element(self) -> Element:
        line = self.read_until(b"\r\n") + b"\r\n"
        kind = line[:1]
        if kind in b"+-:,#(_":
            return Element(line, kind)
        size = int(line[1:])
        if kind == b"|":  # attributes are a prefix of what they belong to
            prefix = line + b"".join(self.read_element().raw for _ in range(size * 2))
            element = self.read_element()
            return Element(prefix + element.raw, element.kind, element.items)
        if kind in b"$=!":
            return Element(line + (self.read_exactly(size + 2) if size >= 0 else b""), kind)
        if kind in b"*~>%":
            items = tuple(self.read_element() for _ in range(size * (2 if kind == b"%" else 1)))
            return Element(line + b"".join(item.raw for item in items), kind, items)
        raise ValueError(f"no RESP type: {line!r}")


def ask(port: int, *words: str) -> bytes:
    """The raw reply to one command on a connection of its own."""
    with RawConnection(port) as connection:
        connection.send(encode_command(*words))
        return connection.read_element().raw


# --- scripts -------------------------------------------------------------------------------------------------------

ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}
WORD = re.compile(rb'\s*(?:"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|([^\s"\']+))(?=\s|$)', re.S)
PLACEHOLDER = re.compile(rb"\{(?:(.)\*(\d+)|(now|nowms)([+-]\d+)?)\}")


def unescape(text: bytes) -> bytes:
    """What stands between double quotes, as redis-cli reads it."""

    def character(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code[1:], 16)]) if len(code) == 3 else ESCAPES.get(code, code)

    return re.sub(rb"\\(x[0-9a-fA-F]{2}|.)", character, text, flags=re.S)


def crc64(data: bytes) -> bytes:
    """Redis's sum behind a DUMP: CRC-64/Jones, least significant byte first."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
    return crc.to_bytes(8, "little")


def quoted(text: bytes) -> bytes:
    """A word in double quotes; {crc64} at its end is the sum of what is before it."""
    word = unescape(text)
    return word[:-7] + crc64(word[:-7]) if word.endswith(b"{crc64}") else word


def split_words(line: str, now_ms: int = 0) -> list[bytes]:
    """redis-cli's words, and besides: {x*1000} is a thousand x, {now+10} and {nowms-5} are Unix times."""

    def placeholder(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return match[1] * int(match[2])
        return b"%d" % ((now_ms if match[3] == b"nowms" else now_ms // 1000) + int(match[4] or 0))

    data, at, words = line.strip().encode(), 0, []
    while at < len(data):
        match = WORD.match(data, at)
        if not match:
            raise ValueError(f"unbalanced quotes: {line}")
        if match[3] is not None:
            words.append(PLACEHOLDER.sub(placeholder, match[3]))
        else:
            words.append(quoted(match[1]) if match[1] is not None else match[2].replace(b"\\'", b"'"))
        at = match.end()
    return words


LINE = re.compile(r"(?:(?P<client>\d)(?P<what>[:<!]))?\s*(?:\[(?P<how>[a-z]+(?: \d+)?)\]\s*)?(?P<text>.*)")


@dataclass
class Step:
    """A line of a script."""

    number: int
    client: int
    what: str  # ':' a command, '<' one more reply, '!' the server closes
    how: str  # how replies are compared; '' byte for byte
    text: str
    expected: dict[int, bytes] = field(default_factory=dict)  # protocol -> what kvnode answers whatever Redis does


@dataclass
class Script:
    name: str
    protocols: tuple[int, ...]
    server: str  # 'single', 'cluster' or 'none'
    steps: list[Step]


def read_script(path: Path) -> Script:
    script = Script(path.stem, (2, 3), "single", [])
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("%resp "):
            script.protocols = (int(line.split()[1]),)
        elif line.startswith("%redis "):
            script.server = line.split()[1]
        elif match := re.fullmatch(r"=([23]?) (.*)", line):
            for protocol in (int(match[1]),) if match[1] else (2, 3):
                script.steps[-1].expected[protocol] = unescape(match[2].encode())
        else:
            match = LINE.fullmatch(line)
            assert match is not None
            script.steps.append(
                Step(number, int(match["client"] or 1), match["what"] or ":", match["how"] or "", match["text"])
            )
    return script


class Session:
    """A script's connections to one server, opened when they are first used, in one protocol."""

    def __init__(self, port: int, protocol: int):
        self.port, self.protocol = port, protocol
        self.timeouts = 0
        self._clients: dict[int, RawConnection] = {}

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        for number in list(self._clients):
            self._drop(number)

    def _drop(self, number: int) -> None:
        self._clients.pop(number).close()

    def _client(self, number: int) -> RawConnection:
        if number not in self._clients:
            client = self._clients[number] = RawConnection(self.port, timeout=REPLY_S)
            if self.protocol == 3:
                client.send(encode_command("HELLO", "3"))
                client.read_element()
        return self._clients[number]

    def play(self, step: Step, now_ms: int) -> list[Element]:
        """What the step is answered with; no reply and a closed connection are answers, too."""
        if self.timeouts >= TIMEOUTS:
            return [Element(b"<given up>", b"")]
        try:
            client = self._client(step.client)
            if step.what == "<":
                return [client.read_element()]
            if step.what == "!":
                closed = client.is_closed(REPLY_S)
                self._drop(step.client)
                return [Element(b"<closed>" if closed else b"<still open>", b"")]
            words = split_words(step.text, now_ms)
            client.send(words[0] if step.how == "raw" else encode_command(*words))
            return [] if step.how == "none" else list(self._read_replies(client, words))
        except socket.timeout:
            self.timeouts += 1
            self._drop(step.client)
            return [Element(b"<no reply>", b"")]
        except ConnectionRefusedError:
            return [Element(b"<gone>", b"")]
        except (EOFError, ConnectionError):
            self._drop(step.client)
            return [Element(b"<closed>", b"")]
        except ValueError as error:
            self._drop(step.client)
            return [Element(f"<{error}>".encode(), b"")]

    def _read_replies(self, client: RawConnection, words: list[bytes]) -> Iterator[Element]:
        """One reply, with the pushes that come before it; of a subscription one for each channel."""
        subscribes = re.fullmatch(rb"[ps]?(un)?subscribe", words[0].lower()) is not None
        left = max(1, len(words) - 1) if subscribes else 1
        while left > 0:
            element = client.read_element()
            left -= subscribes or element.kind != b">"
            yield element
            if subscribes and element.kind in (b"-", b"+"):  # an error, or QUEUED
                return


# --- comparing -----------------------------------------------------------------------------------------------------


def sorted_elements(element: Element) -> bytes:
    """Maps by pairs, all others item by item, at every depth; the count of a SCAN's cursor is left alone."""
    items = [sorted_elements(item) for item in element.items]
    if element.kind == b"%":
        items = [a + b for a, b in zip(items[::2], items[1::2])]
    if not (element.kind == b"*" and element.items and element.items[-1].items and len(items) == 2):
        items.sort()
    return element.raw.split(b"\r\n", 1)[0] + b"".join(items) if element.items else element.raw


def field_names(raw: bytes) -> list[str]:
    """`name=value` and `name:value`, as CLIENT LIST and INFO have them."""
    return [a or b for a, b in re.findall(r"([\w-]+)=\S*|^([\w-]+):", raw.decode("latin-1"), re.M)]


def masked(raw: bytes) -> bytes:
    return re.sub(rb"\d+", b"0", raw)


def integers(elements: list[Element]) -> list[int]:
    return [int(n) for n in re.findall(rb"-?\d+", b"".join(e.raw for e in elements))]


def same(how: str, redis: list[Element], kvnode: list[Element]) -> bool:
    a, b = (b"".join(element.raw for element in reply) for reply in (redis, kvnode))
    if a == b:
        return True
    if how == "mask":  # numbers are what must differ: ids, times, addresses
        return masked(a) == masked(b)
    if how == "shape":
        return [element.kind for element in redis] == [element.kind for element in kvnode] and a[:1] != b"-"
    if how == "code":
        return a[:1] == b[:1] == b"-" and a.split(b" ")[0] == b.split(b" ")[0]
    if how == "sorted":
        return [sorted_elements(e) for e in redis] == [sorted_elements(e) for e in kvnode]
    if how == "fields":
        read_by_tools = set((SCRIPTS / "fields").read_text(encoding="utf-8").split())
        return a[:1] == b[:1] and set(field_names(a)) & read_by_tools <= set(field_names(b))
    if how.startswith("near "):
        pairs = list(zip(integers(redis), integers(kvnode)))
        return masked(a) == masked(b) and all(x == y or min(x, y) >= 0 and abs(x - y) <= int(how[5:]) for x, y in pairs)
    return False


@dataclass(frozen=True)
class Mismatch:
    where: str  # file:line
    protocol: int
    text: str
    redis: bytes
    kvnode: bytes

    def __str__(self) -> str:
        def shown(raw: bytes) -> str:
            text = repr(raw)[2:-1]
            return text if len(text) <= 600 else text[:400] + f" ... ({len(raw)} bytes)"

        lines = f"{self.where} (RESP{self.protocol})  {self.text}", f"redis:  {shown(self.redis)}"
        return "\n    ".join((*lines, f"kvnode: {shown(self.kvnode)}"))


class Differences:
    """parity/differences: what kvnode answers otherwise on purpose, a line each: regular expression, reason."""

    def __init__(self, path: Path = SCRIPTS / "differences"):
        self._rows: list[tuple[re.Pattern[str], str]] = []
        self._used: set[str] = set()
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                pattern, reason = re.split(r"\s{2,}# ", line)
                assert reason.strip(), f"no reason: {line}"
                self._rows.append((re.compile(pattern), reason))

    def intended(self, family: str, text: str) -> bool:
        """Whether this may differ; for an answer that does differ."""
        found = [row for row, _ in self._rows if row.fullmatch(f"{family}: {text}")]
        self._used.update(row.pattern for row in found)
        return bool(found)

    def unused(self) -> list[str]:
        return [row.pattern for row, _ in self._rows if row.pattern not in self._used]

    def __len__(self) -> int:
        return len(self._rows)


@dataclass
class Outcome:
    compared: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)


def run_script(script: Script, protocol: int, redis: Optional[int], kvnode: int, differences: Differences) -> Outcome:
    """Plays it on both, on a clean table. redis: None when only kvnode has what the script is about."""
    outcome, now_ms = Outcome(), int(time.time() * 1000)
    for port in filter(None, (redis, kvnode)):
        ask(port, "FLUSHALL")
    with Session(redis or 0, protocol) as theirs, Session(kvnode, protocol) as ours:
        last = {step.client for step in script.steps}
        farewell = [Step(0, client, ":", "", "ECHO end") for client in sorted(last)]
        for step in [*script.steps, *farewell]:
            expected = step.expected.get(protocol, b"$3\r\nend\r\n" if step.number == 0 else None)
            answer = ours.play(step, now_ms)
            asked = theirs.play(step, now_ms) if redis else []
            outcome.compared += 1
            a, b = (b"".join(element.raw for element in reply) for reply in (asked, answer))
            as_written = expected in (None, b) or step.how == "mask" and masked(expected) == masked(b)
            if redis and not same(step.how, asked, answer):
                if differences.intended(script.name, step.text) and as_written:
                    continue
            elif as_written and (redis or expected is not None):
                continue
            where = f"parity/{script.name}.txt:{step.number}"
            outcome.mismatches.append(Mismatch(where, protocol, step.text, a if expected is None else expected, b))
    return outcome
