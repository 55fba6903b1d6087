#!/usr/bin/env python3
"""script/test_verdict, on written logs: what a run of ctest is worth when cases needed a second attempt."""

import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MINIMUM = int((ROOT / "tests/minimum").read_text())


def verdict(again, ran=MINIMUM, arguments=0):
    lines = [f" 7/{ran} Test #{number}: {name} .......***Failed    0.10 sec\n"
             f"     Test #{number}: {name} .......   Passed    0.10 sec\n" for number, name in enumerate(again)]
    with tempfile.NamedTemporaryFile("w") as log:
        log.write("".join(lines) + f"100% tests passed, 0 tests failed out of {ran}\n")
        log.flush()
        return subprocess.run([ROOT / "script/test_verdict", log.name, str(arguments)],
                              capture_output=True, text=True, check=False)


class Verdict(unittest.TestCase):
    def test_a_clean_run_says_nothing(self):
        done = verdict([])
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_a_second_attempt_is_named(self):
        done = verdict(["integration.lab", "web.browser"])
        self.assertEqual(done.returncode, 0)
        self.assertIn("    integration.lab\n    web.browser\n", done.stdout)

    def test_more_than_two_fail(self):
        done = verdict(["integration.a", "integration.b", "unit.c"])
        self.assertEqual(done.returncode, 1)
        self.assertIn("3 cases needed a second attempt", done.stdout)

    def test_a_lint_has_one_attempt(self):
        self.assertEqual(verdict(["lint.format"]).returncode, 1)
        self.assertEqual(verdict(["fuzz.json"]).returncode, 1)

    def test_too_few_cases_fail_a_whole_run_only(self):
        self.assertEqual(verdict([], MINIMUM - 1).returncode, 1)
        self.assertEqual(verdict([], 3, arguments=1).returncode, 0)


if __name__ == "__main__":
    unittest.main()
