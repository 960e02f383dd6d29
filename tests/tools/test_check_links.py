#!/usr/bin/env python3
"""The check of circles at link level finds one between folders and one that is new, and lets the known ones be."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "check-links.py"


class CheckLinks(unittest.TestCase):
    def check(self, sources: dict[str, str]) -> tuple[int, str]:
        """Compiles the sources to objects as the build names them, and checks those."""
        with tempfile.TemporaryDirectory() as root:
            objects = []
            for name, text in sources.items():
                path = Path(root, "x.dir", name + ".o")
                path.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cc", "-x", "c", "-c", "-o", path, "-"], input=text, text=True, check=True)
                objects.append(str(path))
            run = subprocess.run([SCRIPT, *objects], capture_output=True, text=True, timeout=20, check=False)
            return run.returncode, run.stdout

    def test_one_way_passes(self) -> None:
        sources = {"server/rest/a.c": "void b(void); void a(void) { b(); }", "server/net/b.c": "void b(void) {}"}
        self.assertEqual(self.check(sources), (0, ""))

    def test_a_circle_of_a_known_folder_passes(self) -> None:
        sources = {"server/net/a.c": "void b(void); void a(void) { b(); }", "server/net/b.c": "void a(void); void b(void) { a(); }"}
        self.assertEqual(self.check(sources), (0, ""))

    def test_a_new_circle_fails(self) -> None:
        sources = {"server/rest/a.c": "void b(void); void a(void) { b(); }", "server/rest/b.c": "void a(void); void b(void) { a(); }"}
        self.assertEqual(self.check(sources), (1, "a circle at link level: server/rest/a.c server/rest/b.c\n"))

    def test_a_circle_of_two_folders_fails(self) -> None:
        sources = {"server/net/a.c": "void b(void); void a(void) { b(); }", "server/store/b.c": "void a(void); void b(void) { a(); }"}
        self.assertEqual(self.check(sources)[0], 1)

    def test_nothing_to_check_is_not_a_success(self) -> None:
        self.assertEqual(self.check({"server/net/a.c": "void a(void) {}"})[0], 1)


if __name__ == "__main__":
    unittest.main()
