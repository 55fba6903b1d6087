"""SIGKILL while power in the fleet changes: joining, roles, promotion, removal are finished.

Each step is begun by its command, a process (front, agent, or all) is killed a moment later, and the
same command once more leads to the state that was asked for: never to two managers or none.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import lab

PORTS = {"ui_port": 19543, "replication_port": 19544, "challenge_port": 19580}
KILLS = (("front-process", 0.03), ("agent-process", 0.0), ("all", 0.06), ("front-process", 0.09),
         ("all", 0.02))


class Kill(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="certmgr-kill-"))
        self.servers = [lab.Server(self.dir, name, f"127.0.206.{21 + i}", **PORTS)
                        for i, name in enumerate(("alpha", "beta"))]
        self.alpha, self.beta = self.servers
        self.alpha.init().start()

    def tearDown(self):
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.dir)

    def begin(self, server, *words):
        return subprocess.Popen([str(server.certmgr), "--root", str(server.root), *words],
                                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, text=True)

    def killed(self, server, process, delay, *words):
        """Begins the command, kills, and repeats the command until it succeeds."""
        child = self.begin(server, *words)
        time.sleep(delay)
        if process == "all":
            server.kill()
            server.start(wait=False)
        else:
            pid = server.pid_of(process)
            if pid:
                os.kill(pid, signal.SIGKILL)
        child.communicate(timeout=60)
        lab.wait_for(f"{' '.join(words)} after a kill of {process}",
                     lambda: server.cli(*words, check=False).returncode == 0, 60, 0.2)

    def roles(self, server, name):
        done = server.cli("server", "list", check=False)
        rows = [line.split() for line in done.stdout.splitlines()[1:]]
        return next((row[1:3] for row in rows if row[0] == name), None)

    def days(self, server):
        """None while it begins anew: it does a moment after its role has changed."""
        done = server.cli("settings", "--json", check=False)
        return json.loads(done.stdout).get("renew_days") if done.returncode == 0 else None

    def test_every_step(self):
        token = self.alpha.json("server", "add", "beta")["token"]
        self.beta.configure()
        for delay in (0.0, 0.05, 0.1, 0.2):  # the command itself is killed
            child = self.begin(self.beta, "join", "-")
            child.stdin.write(token + "\n")
            child.stdin.flush()
            time.sleep(delay)
            child.kill()
            child.communicate()
        done = self.beta.cli("join", "-", stdin=token + "\n", check=False)
        self.assertTrue(done.returncode == 0 or "belongs to a fleet already" in done.stderr,
                        done.stderr)
        self.beta.start()
        manager, other = self.alpha, self.beta
        for process, delay in KILLS:
            with self.subTest(process=process, delay=delay):
                self.killed(manager, process, delay, "server", "role", other.name, "standby",
                            "--url", f"https://{other.address}:{other.replication_port}")
                lab.wait_for("the standby to learn it", lambda: self.roles(
                    other, other.name) == ["active", "standby,server"], 60, 0.2)
                self.killed(other, process, delay, "manager", "promote")
                manager, other = other, manager
                for server in self.servers:
                    lab.wait_for(f"{server.name} to follow", lambda s=server: self.roles(
                        s, manager.name) == ["active", "manager,server"] and self.roles(
                            s, other.name) == ["active", "server"], 60, 0.2)
        lab.wait_for("the manager to write", lambda: manager.cli(
            "settings", "--renew-days", "21", check=False).returncode == 0)
        lab.wait_for("the other to hear it",
                     lambda: self.days(other) == 21)
        self.killed(manager, "front-process", 0.02, "server", "remove", other.name)
        lab.wait_for("it to be removed", lambda: (self.roles(manager, other.name) or [None])[0] ==
                     "removed", 60, 0.2)
        other.stop()  # and comes back under its name with other keys
        shutil.rmtree(other.root / "var/lib/certmgr")
        other.join(manager).start()
        lab.wait_for("it to be served again",
                     lambda: self.days(other) == 21)


if __name__ == "__main__":
    unittest.main(verbosity=2)
