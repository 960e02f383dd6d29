#!/usr/bin/env python3
"""check-links.py: fails when objects need each other in a circle that is not one of those below.

    tools/check-links.py OBJECT...      (build/.../kvnode_server.dir/server/net/conn.c.o ...)

Headers that only declare hide such a circle from the includes; what an object defines and lacks (nm) does not hide it.
"""
import re
import subprocess
import sys

# One object each in several files, behind an internal header: the conns, the links of replication, the keyspace.
KNOWN = ("server/net", "server/peers", "server/store")

Graph = dict[str, set[str]]


def read_graph(objects: list[str]) -> Graph:
    """Which objects each one needs, by their sources' names."""
    names = {path: re.sub(r"^.*\.dir/(\./)?|\.o$", "", path) for path in objects}
    defined: dict[str, str] = {}
    lacking: dict[str, set[str]] = {name: set() for name in names.values()}
    command = ["nm", "--format=posix", "--print-file-name", *objects]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        path, _, entry = line.partition(": ")
        symbol, kind = entry.split()[:2]
        if kind == "U":
            lacking[names[path]].add(symbol)
        elif kind.isupper():
            defined[symbol] = names[path]
    return {name: {defined[s] for s in symbols if s in defined} - {name} for name, symbols in lacking.items()}


def reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for target in graph[todo.pop()] - seen:
            seen.add(target)
            todo.append(target)
    return seen


def circles(graph: Graph) -> list[list[str]]:
    """The sets of objects in which each needs every other one, at last."""
    beyond = {name: reachable(graph, name) for name in graph}
    found: list[list[str]] = []
    placed: set[str] = set()
    for name in sorted(graph):
        if name not in placed and name in beyond[name]:
            found.append(sorted(other for other in beyond[name] if name in beyond[other]))
            placed.update(found[-1])
    return found


def main() -> int:
    graph = read_graph(sys.argv[1:])
    if not any(graph.values()):
        print("no object needs another one: nothing was checked")
        return 1
    unknown = [c for c in circles(graph) if len({name.rsplit("/", 1)[0] for name in c}) > 1 or not c[0].startswith(KNOWN)]
    for circle in unknown:
        print("a circle at link level: " + " ".join(circle))
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
