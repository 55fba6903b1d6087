"""SIGKILL of everything at each named step of a backup and of a restore (lab_steps.py).

CI takes some of the steps (CERTMGR_SEED repeats the choice); CERTMGR_STEPS_ALL=1 takes every one.
"""

import itertools
import json
import shutil
import unittest

import lab
import lab_steps
from lab_steps import Operation

setUpModule = lab_steps.announce


class Backup(lab_steps.Killing):
    ports = {"ui_port": 22543, "replication_port": 22544, "challenge_port": 22580}

    def setUp(self):
        super().setUp()
        self.alpha = self.server("alpha", 31)
        self.key = self.dir / "recovery.key"
        self.alpha.configure()
        self.alpha.quiet("init", "--recovery-key", self.key)
        self.alpha.start()
        self.writes(self.alpha, [])
        self.state = self.alpha.root / "var/lib/certmgr"
        self.file, self.numbers = None, itertools.count()

    def new_name(self):
        self.file = self.dir / f"{next(self.numbers)}.backup"

    def back_up(self):
        done = self.alpha.cli("backup", self.file, check=False)
        if "interrupted leaves no such file" in done.stderr:
            done.returncode = 0  # the person looks, and it is whole
        return done

    def is_whole(self):
        self.assertEqual(self.alpha.json("backup", "check", self.file)["name"], "alpha")
        self.assertEqual([p.name for p in self.dir.glob("*.part")], [])

    def nothing_copied(self):
        self.nothing_left(self.alpha)
        self.assertEqual([p.name for p in (self.state / "store").glob("backup-*")], [])

    def test_backup(self):
        def running():
            self.new_name()
            self.revive()

        def offline():
            self.new_name()
            self.alpha.stop()
            self.alpha.process.child = None  # it is not to be started between the kills

        def done_running():
            self.is_whole()
            self.alpha.stop()
            self.alpha.start()  # takes away what a killed command has copied
            self.nothing_copied()

        def done_offline():
            self.is_whole()
            self.alpha.start()
            self.nothing_copied()

        command = ("command", self.alpha.command_steps)
        passed = self.torture(
            Operation("backup of a running server", running, self.back_up, done_running,
                      [("alpha", self.alpha.steps), command]),
            Operation("backup while none runs", offline, self.back_up, done_offline, [command]))
        self.assertLessEqual({"backup.sealed", "backup.copied", "backup.open", "backup.written",
                              "backup.renamed"}, passed)

    def test_restore(self):
        """The place is empty or whole, and the same command says which."""
        self.new_name()
        self.alpha.quiet("backup", self.file)
        days = self.days(self.alpha)

        def empty():
            self.alpha.stop()
            self.alpha.process.child = None
            shutil.rmtree(self.state, ignore_errors=True)

        def restore():
            return self.alpha.cli("restore", self.file, "--recovery-key", self.key, check=False)

        def is_restored():
            self.assertIn("is restored", restore().stdout)  # asked once more: nothing happens
            self.assertFalse(self.state.with_name("certmgr.restoring").exists())
            self.assertEqual(self.alpha.json("store", "check")["problems"], [])
            self.alpha.start()
            lab.wait_for("the end of the hold", lambda: self.free(), 60)
            self.assertEqual(self.days(self.alpha), days)
            self.assertIn("is not empty", restore().stderr)
            self.nothing_left(self.alpha)

        passed = self.torture(Operation("restore", empty, restore, is_restored,
                                        [("command", self.alpha.command_steps)]))
        self.assertLessEqual({"restore.staged", "restore.taken", "restore.held", "restore.epoch",
                              "restore.config", "restore.rename", "restore.renamed"}, passed)

    def free(self):
        """Nobody else is in the fleet, so a person releases it."""
        done = self.alpha.quiet("hold", "--json", check=False)
        if done.returncode == 0 and json.loads(done.stdout).get("active"):
            self.alpha.quiet("hold", "release", check=False)
            return False
        return done.returncode == 0 and self.days(self.alpha) is not None


if __name__ == "__main__":
    unittest.main(verbosity=2)
