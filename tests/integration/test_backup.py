"""Backup while running, restore, hold: a manager that comes back from an old state loses nothing.

No CA is needed: settings are the documents. The fleet is one manager and one server.
"""

import json
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import lab
import lab_steps

PORTS = {"ui_port": 27443, "replication_port": 27444, "challenge_port": 27480}


class Backup(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="certmgr-backup-"))
        self.manager = lab_steps.Server(self.dir, "alpha", "127.0.26.11", **PORTS)
        self.edge = lab.Server(self.dir, "beta", "127.0.26.12", **PORTS)
        self.key = self.dir / "recovery.key"
        self.manager.configure()
        self.manager.cli("init", "--recovery-key", self.key)
        self.manager.start()
        self.edge.join(self.manager).start()
        self.state = self.manager.root / "var/lib/certmgr"

    def tearDown(self):
        self.edge.stop()
        self.manager.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- helpers --

    def set_days(self, days):
        self.manager.cli("settings", "--renew-days", str(days))

    def days(self, server):
        """None while it begins anew, as it does at the end of a hold."""
        done = server.cli("settings", "--json", check=False)
        return json.loads(done.stdout).get("renew_days") if done.returncode == 0 else None

    def wait_days(self, server, days):
        lab.wait_for(f"{server.name} to have {days}", lambda: self.days(server) == days)

    def move_away(self):
        self.manager.kill()
        old = self.dir / f"old-{time.monotonic_ns()}"
        self.state.rename(old)
        return old

    def restore(self, backup, **kw):
        return self.manager.cli("restore", backup, "--recovery-key", self.key, **kw)

    def hold(self):
        done = self.manager.cli("hold", "--json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def dies_at(self, step, go=lambda: None):
        """go() leads to it: everything of the manager dies there, and is started again."""
        if not lab_steps.IN_BUILD:
            go()
            return
        self.manager.steps.arm(step)
        go()
        self.manager.process.child.wait(60)
        self.assertTrue(self.manager.steps.hit(step))
        self.manager.steps.clear()
        self.manager.start()

    def wait_free(self):
        lab.wait_for("the end of the hold", lambda: (self.hold() or {}).get("active") is False)

    # -- tests --

    def test_nothing_is_lost(self):
        self.set_days(11)
        self.wait_days(self.edge, 11)
        backup = self.dir / "one.backup"
        self.manager.cli("backup", backup)
        self.assertEqual(backup.stat().st_mode & 0o777, 0o600)
        header = self.manager.json("backup", "check", backup)
        self.assertEqual(header["name"], "alpha")
        self.assertNotIn("sealed_key", header)
        self.assertNotIn(b"PRIVATE KEY", backup.read_bytes())
        self.assertEqual(list((self.state / "store").glob("backup-*")), [])
        self.set_days(22)
        self.wait_days(self.edge, 22)
        self.set_days(33)  # the trust root and this never reach the backup
        self.wait_days(self.edge, 33)
        self.refusals(backup)
        self.move_away()
        self.assertIn("beta", self.restore(backup).stdout)
        # Killed when the server has given everything back: it does so once more.
        self.dies_at("hold.answered", lambda: self.manager.start(wait=False))
        self.wait_free()
        self.wait_days(self.manager, 33)
        lab.wait_for("the manager to write again",
                     lambda: self.manager.cli("settings", "--renew-days", "44",
                                              check=False).returncode == 0)
        self.wait_days(self.edge, 44)
        self.snapshot_put_back()

    def snapshot_put_back(self):
        """The manager's machine is set back, nobody restores: the server gives back, all tell."""
        self.manager.stop()
        shutil.copytree(self.state, self.dir / "snapshot")
        self.manager.start()
        self.assertNotIn("older copy", self.manager.tail(1000) + self.edge.tail(1000))
        self.set_days(55)
        self.wait_days(self.edge, 55)
        lab.wait_for("the checkpoint", lambda: next(
            row for row in self.edge.json("replication", "status")["directions"]
            if row["direction"] == "pull")["saved"])
        self.move_away()
        (self.dir / "snapshot").rename(self.state)
        self.manager.start()
        self.wait_days(self.manager, 55)
        self.assertIn("The manager runs from an older copy of its store: Server beta remembers",
                      self.manager.tail(1000))
        # Nobody is told by mail here: the status shows it all the same.
        alarm = self.manager.json("status")["notices"]["alarms"][0]
        self.assertEqual((alarm["kind"], alarm["severity"]), ("old_copy", "critical"))
        self.assertIn("ALARM:", self.manager.cli("status").stdout)
        self.assertIn("it has forgotten what it had confirmed",
                      self.edge.cli("replication", "status").stdout)
        self.set_days(66)
        self.wait_days(self.edge, 66)

    def refusals(self, backup):
        """A place in use, a key that others can read, a damaged file: each is told."""
        self.assertIn("is not empty", self.restore(backup, check=False).stderr)
        done = self.manager.cli("backup", backup, check=False)
        self.assertIn("exists already", done.stderr)
        data = bytearray(backup.read_bytes())
        data[len(data) // 2] ^= 1
        damaged = self.dir / "damaged"
        damaged.write_bytes(data)
        self.assertIn("checksum does not fit",
                      self.manager.cli("backup", "check", damaged, check=False).stderr)
        old = self.move_away()
        self.assertIn("damaged", self.restore(damaged, check=False).stderr)
        self.key.chmod(0o644)
        self.assertIn("can be read by others", self.restore(backup, check=False).stderr)
        self.key.chmod(0o600)
        self.assertFalse(self.state.exists())
        old.rename(self.state)
        self.manager.start()

    def test_released_by_hand(self):
        self.set_days(11)
        self.wait_days(self.edge, 11)
        backup = self.dir / "two.backup"
        self.manager.stop()
        self.manager.cli("backup", backup)  # the same while no server runs
        self.manager.start()
        self.set_days(22)
        self.wait_days(self.edge, 22)
        self.edge.stop()
        self.move_away()
        self.restore(backup)
        self.manager.start()
        held = self.hold()
        self.assertTrue(held["active"])
        self.assertEqual(held["waiting"], ["beta"])
        refused = self.manager.cli("settings", "--renew-days", "55", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("on hold", refused.stderr)
        refused = self.manager.cli("server", "add", "gamma", check=False)
        self.assertIn("on hold", refused.stderr)
        self.dies_at("hold.released", lambda: self.manager.cli("hold", "release", check=False))
        self.wait_free()
        left = self.manager.cli("hold").stdout
        self.assertIn("released before beta answered; it still gives back", left)
        self.wait_days(self.manager, 11)
        self.edge.start()  # answers late: what it knows newer still comes back
        self.wait_days(self.manager, 22)

    def test_killed_restores(self):
        """SIGKILL at any moment: the place is empty or whole, and the next restore finishes."""
        self.set_days(11)
        backup = self.dir / "three.backup"
        self.manager.cli("backup", backup)
        self.move_away()
        for attempt in range(12):
            child = subprocess.Popen([str(self.manager.certmgr), "--root", str(self.manager.root),
                                      "restore", str(backup), "--recovery-key", str(self.key)],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.01 * attempt)
            child.send_signal(signal.SIGKILL)
            child.wait()
            if self.state.exists():
                self.manager.cli("store", "check")
                shutil.rmtree(self.state)
        self.restore(backup)
        report = self.manager.json("store", "check")
        self.assertEqual(report["problems"], [])
        if lab_steps.IN_BUILD:  # a page that is so broken that LMDB falls over it
            (self.manager.command_steps.dir / "check.begins").write_text("")
            done = self.manager.cli("store", "check", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("so damaged that reading it ended with signal 9", done.stderr)
            self.assertIn("Restore the newest backup", done.stderr)
        self.manager.start()
        self.wait_free()
        self.wait_days(self.manager, 11)

    def test_from_before_a_rotation(self):
        """Its keys were replaced since the backup: nobody comes, and it learns and says why."""
        backup = self.dir / "before.backup"
        self.manager.cli("backup", backup)
        self.assertIn("are not being replaced",
                      self.manager.cli("server", "rotate", "--status", check=False).stderr)
        self.manager.cli("server", "rotate")
        lab.wait_for("the rotation", lambda: "done" in self.manager.cli(
            "server", "rotate", "--status", check=False).stdout)
        self.assertIn("make another now", self.manager.cli("server", "rotate", "--status").stdout)
        self.move_away()
        self.restore(backup)
        self.manager.start()
        lab.wait_for("it to know", lambda: (self.hold() or {}).get("keys_replaced"), 90, 0.2)
        told = self.manager.cli("hold").stdout
        self.assertIn("were replaced after this backup was made: no server accepts it", told)
        self.assertNotIn("release", told)
        refused = self.manager.cli("hold", "release", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("Restore a backup made since then", refused.stderr)

    def test_store_commands(self):
        stat = self.manager.json("store", "stat")
        self.assertGreater(stat["documents"], 0)
        self.assertLess(stat["map_percent"], 70)
        self.manager.cli("store", "scrub")
        lab.wait_for("the scrub", lambda: self.manager.json("store", "stat")["scrub"].get(
            "finished_at"))
        self.assertEqual(self.manager.json("store", "stat")["scrub"]["problems"], [])
        copy = self.dir / "copy" / "data.mdb"
        copy.parent.mkdir()
        self.manager.cli("store", "backup", copy)
        self.assertGreater(copy.stat().st_size, 4096)
        new = self.dir / "second.key"
        self.manager.cli("recovery-key", "new", new)
        self.assertEqual(new.stat().st_mode & 0o777, 0o600)
        backup = self.dir / "four.backup"
        self.manager.cli("backup", backup)
        self.a_lost_store_is_not_made_anew()
        self.move_away()
        self.assertIn("not the recovery key", self.restore(backup, check=False).stderr)
        self.key = new
        self.restore(backup)
        self.manager.start()
        self.wait_free()

    def a_lost_store_is_not_made_anew(self):
        """data.mdb is gone, the keys are there: an empty store would forget every document."""
        self.manager.stop()
        (self.state / "store" / "data.mdb").unlink()
        done = subprocess.run([str(self.manager.certmgr), "--root", str(self.manager.root), "serve"],
                              capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("restore the newest backup", done.stderr)
        done = self.manager.cli("init", "--recovery-key", self.dir / "another.key", check=False)
        self.assertEqual(done.returncode, 4)
        self.assertIn("store", done.stderr)
        self.assertIn("certmgr restore", done.stderr)
        self.assertFalse((self.state / "store" / "data.mdb").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
