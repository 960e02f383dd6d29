#!/usr/bin/env python3
"""check-layers.py: fails when an include looks up a layer or a floor, when includes go in a circle, or when a pure
layer reaches for the outside world.

    tools/check-layers.py [ROOT]

Layers: server -> cluster -> protocol. Inside server/ the floors are below, lowest first; rooms of one floor do not
include each other. Every quoted include is written from the root and must exist. protocol/ and cluster/ know no
sockets, no clock, no libev and no log.
"""
import re
import sys
from pathlib import Path

LAYERS = {"protocol": 0, "cluster": 1, "server": 2}
# Each room is a folder or a file (without its ending) of server/.
FLOORS = (
    ("log", "memory", "version", "notify_flags", "stats"),
    ("net",),
    ("store",),
    ("journal",),
    ("settings", "acks"),
    ("options", "password"),
    ("peers",),
    ("context",),
    ("clients",),
    ("dispatch",),
    ("upkeep", "metrics"),
    ("commands", "rest", "resp"),
    ("persistence",),
    ("node", "tools"),
    ("main",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# What the table of metrics counts is where it is; nothing else may look there from below.
WINDOWS = {("server/metrics.c", "server/commands/client/pubsub.h"), ("server/metrics.c", "server/commands/client/tracking.h")}
OUTSIDE_WORLD = re.compile(
    r"^(ev\.h|ev\+\+\.h|libev/.*|time\.h|sys/time\.h|sys/timeb\.h|sys/timerfd\.h|sys/socket\.h|sys/un\.h|sys/select\.h"
    r"|sys/epoll\.h|sys/uio\.h|sys/ioctl\.h|poll\.h|netdb\.h|netinet/.*|arpa/.*|net/.*|ifaddrs\.h|unistd\.h|fcntl\.h"
    r"|signal\.h|syslog\.h|pthread\.h|threads\.h|errno\.h)$"
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"(?P<own>[^"]+)"|<(?P<system>[^>]+)>)', re.MULTILINE)

Graph = dict[str, list[str]]


def read_includes(root: Path) -> tuple[Graph, Graph]:
    """The quoted and the system includes of every source file, by its path from the root."""
    own: Graph = {}
    system: Graph = {}
    for layer in LAYERS:
        for path in sorted((root / layer).rglob("*")):
            if path.suffix in (".c", ".h", ".def"):
                name = path.relative_to(root).as_posix()
                found = list(INCLUDE.finditer(path.read_text(encoding="utf-8")))
                own[name] = [m["own"] for m in found if m["own"]]
                system[name] = [m["system"] for m in found if m["system"]]
    return own, system


def layer_of(name: str) -> int:
    return LAYERS[name.split("/", 1)[0]]


def room_of(name: str) -> str:
    """What of server/ a file belongs to; "" for one of another layer."""
    parts = name.split("/")
    return "" if parts[0] != "server" else parts[1].split(".", 1)[0]


def looks_up(name: str, target: str) -> str:
    """Why a file of server/ may not include another one; "" when it may."""
    room, other = room_of(name), room_of(target)
    if not room or not other or room == other or (name, target) in WINDOWS:
        return ""
    for unknown in (room, other):
        if unknown not in FLOOR_OF:
            return f"server/{unknown} is on no floor"
    if FLOOR_OF[other] < FLOOR_OF[room]:
        return ""
    return f"{target} is {'beside' if FLOOR_OF[other] == FLOOR_OF[room] else 'a floor above'} it"


def find_cycle(graph: Graph) -> list[str]:
    """One circle of includes, its first file repeated at the end; empty when there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name):] + [name]
        if name in done:
            return []
        for target in graph.get(name, []):
            cycle = visit(target, path + [name])
            if cycle:
                return cycle
        done.add(name)
        return []

    for start in graph:
        cycle = visit(start, [])
        if cycle:
            return cycle
    return []


def violations(root: Path) -> list[str]:
    """One sentence for every rule that a file breaks."""
    own, system = read_includes(root)
    found = []
    for name, targets in own.items():
        for target in targets:
            if target not in own:
                found.append(f'{name}: "{target}" is no file of a layer (includes are written from the root)')
            elif layer_of(target) > layer_of(name):
                found.append(f"{name}: {target} is a layer above it")
            elif looks_up(name, target):
                found.append(f"{name}: {looks_up(name, target)}")
    for name, targets in system.items():
        for target in targets:
            if layer_of(name) < LAYERS["server"] and OUTSIDE_WORLD.match(target):
                found.append(f"{name}: <{target}> belongs to server/: this layer does no I/O and has no clock")
    cycle = find_cycle(own)
    if cycle:
        found.append("a circle: " + " -> ".join(cycle))
    if not own:
        found.append(f"{root}: no sources, so nothing was checked")
    return found


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    found = violations(root)
    for sentence in found:
        print(sentence)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
