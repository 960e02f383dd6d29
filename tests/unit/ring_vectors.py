#!/usr/bin/env python3
"""Writes ring_vectors.inc: the consistent-hash ring, computed without any of kvnode's code.

    python3 tests/unit/ring_vectors.py > tests/unit/ring_vectors.inc

The rules are the specification's: 150 virtual nodes a group, the position of number i of group g is the first 64 bits,
big-endian, of SHA-256 over "group:g:vnode:i"; slot s stands at s * 2^50 and belongs to the first virtual node at or
after it, wrapping.
"""
import bisect
import hashlib

SLOTS = 16384
VIRTUAL_NODES = 150


def position(group, number):
    digest = hashlib.sha256(f"group:{group}:vnode:{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def owners(groups):
    points = sorted((position(g, v), g) for g in groups for v in range(VIRTUAL_NODES))
    places = [place for place, _ in points]
    return [points[bisect.bisect_left(places, s << 50) % len(points)][1] for s in range(SLOTS)]


def ranges(table):
    return [(s, g) for s, g in enumerate(table) if s == 0 or table[s - 1] != g]


def fnv1a(values):
    h = 0xCBF29CE484222325
    for value in values:
        h = (h ^ value) * 0x100000001B3 % 2**64
    return h


def rows(cells, width):
    for i in range(0, len(cells), width):
        print("    " + " ".join(cells[i:i + width]))


print("/* Written by ring_vectors.py; not to be edited. */")
print("static const struct vector_position vector_positions[] = {")
rows([f"{{{g}, {v}, UINT64_C(0x{position(g, v):016x})}},"
      for g in (0, 1, 2, 9, 10, 99, 100, 999, 1000, 9999, 10000, 16383)
      for v in (0, 1, 9, 10, 99, 100, 149)], 2)
print("};")
for name, groups in (("one_two_three", (0, 1, 2)), ("far_apart", (7, 300, 16383))):
    print(f"/* Groups {', '.join(map(str, groups))}: the first slot of each range, and its owner. */")
    print(f"static const struct vector_range vector_ranges_{name}[] = {{")
    rows([f"{{{s}, {g}}}," for s, g in ranges(owners(groups))], 8)
    print("};")
print("/* FNV-1a (64 bits, a step an owner) over the owners of all slots, for groups 0 to n - 1; n from 1 to 100. */")
print("static const uint64_t vector_owners_fnv1a[] = {")
rows([f"UINT64_C(0x{fnv1a(owners(range(n))):016x})," for n in range(1, 101)], 3)
print("};")
