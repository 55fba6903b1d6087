"""A standby is promoted in a fleet whose servers know only a hub: the others follow through it."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

import lab
from lab_hub import PASSWORD, USER, Hub

PORTS = {"ui_port": 22743, "replication_port": 22744, "challenge_port": 22780}


class Promotion(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="certmgr-hubprom-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.hub = Hub(self.dir / "hub", "127.0.216.10", 22790).start()
        self.addCleanup(lambda: self.hub.process.stop())
        self.hub.call("PUT", "/certstore")
        password = self.dir / "password"
        password.write_text(PASSWORD + "\n")
        self.servers = [lab.Server(self.dir, name, f"127.0.216.{81 + i}", **PORTS)
                        for i, name in enumerate(("alpha", "beta", "gamma"))]
        self.alpha, self.beta, self.gamma = self.servers
        for server in self.servers:
            self.addCleanup(server.stop)
        self.alpha.init().start()
        for server in self.servers[1:]:
            server.join(self.alpha).start()
        for server in self.servers:
            self.assertTrue(server.json(
                "upstream", "set", self.hub.url + "/certstore", "--user", USER,
                "--password-file", password, "--ca-file", self.hub.ca)["ok"])

    def roles(self, server, name):
        listing = server.cli("server", "list", "--json", check=False)
        rows = json.loads(listing.stdout)["servers"] if listing.returncode == 0 else []
        return next(((r["state"], ",".join(r["roles"])) for r in rows if r["name"] == name), None)

    def sees(self, server, name, *wanted):
        lab.wait_for(f"{server.name} to see {name} as {wanted}",
                     lambda: self.roles(server, name) == wanted, 90, 0.2)

    def days(self, server):
        done = server.cli("settings", "--json", check=False)
        return json.loads(done.stdout).get("renew_days") if done.returncode == 0 else None

    def set_days(self, manager, days, *others):
        lab.wait_for(f"{manager.name} to write", lambda: manager.cli(
            "settings", "--renew-days", days, check=False).returncode == 0, 60, 0.2)
        for server in others:
            lab.wait_for(f"{server.name} to have {days}", lambda s=server: self.days(s) == days, 90,
                         0.2)

    def test_lost_manager(self):
        alpha, beta, gamma = self.servers
        alpha.cli("server", "role", "beta", "standby", "--url",
                  f"https://{beta.address}:{beta.replication_port}")
        for server in (beta, gamma):
            self.sees(server, "beta", "active", "standby,server")
        self.set_days(alpha, 11, beta, gamma)
        alpha.kill()
        beta.cli("manager", "promote", "--lost")
        self.sees(beta, "beta", "active", "manager,server")
        for server in (beta, gamma):
            self.assertEqual(server.json("replication", "status")["upstream"]["kind"], "hub")
        self.set_days(beta, 22, gamma)
        self.sees(gamma, "alpha", "removed", "server")
        lab.wait_for("beta's signature on the hub", lambda: (
            self.hub.winner("settings:global") or {}).get("signature", {}).get("by") == "beta", 60)
        # It comes back, sees that it was replaced, and nothing of it reaches the fleet.
        alpha.start(wait=False)
        self.sees(alpha, "beta", "active", "manager,server")
        self.assertNotEqual(alpha.cli("settings", "--renew-days", "33", check=False).returncode, 0)
        self.set_days(beta, 25, gamma)


if __name__ == "__main__":
    unittest.main(verbosity=2)
