"""SIGKILL of everything at each named step of a backup and of a restore (lab_steps.py).

CI takes some of the steps (CERTMGR_SEED repeats the choice); CERTMGR_STEPS_ALL=1 takes every one.
"""

import base64
import itertools
import json
import shutil
import subprocess
import unittest

import lab
import lab_steps
import rotation_lab as rotation
from lab_steps import Operation

SECRET = base64.b64encode(b"in the middle of a rotation").decode()

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
            # with the end of the hold the front begins anew, which may be just now
            lab.wait_for("the settings", lambda: self.days(self.alpha) == days)
            self.assertIn("is not empty", restore().stderr)
            self.nothing_left(self.alpha)

        passed = self.torture(Operation("restore", empty, restore, is_restored,
                                        [("command", self.alpha.command_steps)]))
        self.assertLessEqual({"restore.staged", "restore.taken", "restore.held", "restore.epoch",
                              "restore.config", "restore.rename", "restore.renamed"}, passed)

    def test_in_the_middle_of_a_rotation(self):
        """The backup has the keys that follow and those from before: the restored server ends it."""
        # Before the trust root lists the new keys; and behind it, with envelopes for the former key.
        for step, beside in (("rotate.said_keys", "next"), ("identity.exchanged", "old")):
            with self.subTest(step=step):
                self.secret(f"before-{beside}")
                before = rotation.keys(self.alpha)
                self.alpha.steps.arm(step)
                self.alpha.quiet("server", "rotate", check=False)
                lab.wait_for(f"the kill at {step}", lambda: not self.alpha.process.running(), 60)
                self.assertTrue(self.alpha.steps.hit(step))
                self.alpha.stop()
                self.new_name()
                self.alpha.quiet("backup", self.file)
                left = rotation.secrets_left(self.alpha)
                self.assertTrue(any(f"agent/{beside}/" in one for one in left), left)
                shutil.rmtree(self.state)
                self.alpha.quiet("restore", self.file, "--recovery-key", self.key)
                self.alpha.steps.clear()
                self.alpha.start()
                lab.wait_for("the end of the hold", self.free, 60)
                rotation.wait_done(self.alpha)
                after = rotation.keys(self.alpha)
                self.assertTrue(all(before[k] != after[k] for k in before), (before, after))
                self.assertEqual(rotation.listed(self.alpha, "alpha"), after)
                lab.wait_for("nothing to be left of the former keys",
                             lambda: rotation.secrets_left(self.alpha) == [], 60)
                self.assertIn(SECRET, self.opened(f"before-{beside}"))

    def secret(self, name):
        """A DNS account whose secret is sealed for this server and the recovery key."""
        file = self.dir / "tsig"
        file.write_text(SECRET + "\n")
        self.alpha.quiet("dns", "add", name, "--kind", "rfc2136", "-d", f"{name}.example",
                         "--option", f"server={self.alpha.address}", "--option", "key_name=k.example",
                         "--secret-file", f"tsig_secret={file}")

    def opened(self, name):
        """What the present seal key opens of it, by the stock openssl tool."""
        sealed = self.alpha.document(f"dns-account:{name}")["sealed"]
        (self.dir / "sealed.der").write_bytes(base64.b64decode(sealed))
        key = self.state / "agent/seal.key"
        done = subprocess.run(["openssl", "cms", "-decrypt", "-inform", "DER", "-in",
                               self.dir / "sealed.der", "-inkey", key, "-recip",
                               key.with_suffix(".crt")], capture_output=True, text=True, check=False)
        return done.stdout

    def free(self):
        """Nobody else is in the fleet, so a person releases it."""
        done = self.alpha.quiet("hold", "--json", check=False)
        if done.returncode == 0 and json.loads(done.stdout).get("active"):
            self.alpha.quiet("hold", "release", check=False)
            return False
        return done.returncode == 0 and self.days(self.alpha) is not None


if __name__ == "__main__":
    unittest.main(verbosity=2)
