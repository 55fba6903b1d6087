"""The manager is lost: a standby takes its place, and the lost one steps down when it comes back.

Three servers and a Pebble. The standby holds the managers' secrets, so orders go on with the same
account.
"""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

import lab

PORTS = {"ui_port": 19443, "replication_port": 19444, "challenge_port": 19480}
NAMES = ("alpha", "beta", "gamma")


class Fleet:
    """alpha is the manager, beta the standby."""

    def __init__(self, test, pebble=None, names=NAMES):
        self.dir = Path(tempfile.mkdtemp(prefix="certmgr-loss-"))
        test.addCleanup(self.end)
        self.servers = [lab.Server(self.dir, name, f"127.0.32.{11 + i}", pebble=pebble, **PORTS)
                        for i, name in enumerate(names)]
        self.alpha, self.beta = self.servers[:2]
        self.alpha.init().start()
        for server in self.servers[1:]:
            server.target().join(self.alpha).start()

    def end(self):
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.dir)

    def url(self, server):
        return f"https://{server.address}:{server.replication_port}"

    def make_standby(self, server):
        return self.alpha.cli("server", "role", server.name, "standby", "--url", self.url(server),
                              "--ui-url", f"https://{server.address}:{server.ui_port}")


def roles(server, name):
    listing = server.cli("server", "list", "--json", check=False)
    if listing.returncode != 0:
        return None
    rows = {row["name"]: row for row in json.loads(listing.stdout)["servers"]}
    return (rows[name]["state"], "manager" in rows[name]["roles"])


def wait_roles(server, name, state, manager):
    lab.wait_for(f"{server.name} to see {name} {state}, manager {manager}",
                 lambda: roles(server, name) == (state, manager), 40)


def days(server):
    done = server.cli("settings", "--json", check=False)
    return json.loads(done.stdout).get("renew_days") if done.returncode == 0 else None


def set_days(server, value):
    lab.wait_for(f"{server.name} to write",
                 lambda: server.cli("settings", "--renew-days", str(value),
                                    check=False).returncode == 0, 40, 0.3)


def wait_days(server, value):
    lab.wait_for(f"{server.name} to have {value}", lambda: days(server) == value, 40)


class Loss(unittest.TestCase):
    def test_lost_and_back(self):
        fleet = Fleet(self)
        alpha, beta, gamma = fleet.servers
        refused = beta.cli("manager", "promote", "--lost", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("no standby", refused.stderr)
        fleet.make_standby(beta)
        lab.wait_for("beta to learn it", lambda: "standby" in beta.cli("server", "list").stdout)
        lab.wait_for("gamma to learn it", lambda: "standby" in gamma.cli("server", "list").stdout)
        set_days(alpha, 11)
        wait_days(gamma, 11)
        wait_days(beta, 11)
        alpha.kill()
        beta.cli("manager", "promote", "--lost")
        wait_roles(beta, "beta", "active", True)
        set_days(beta, 22)
        wait_roles(gamma, "beta", "active", True)
        wait_roles(gamma, "alpha", "removed", False)
        wait_days(gamma, 22)
        # It comes back: it sees that it was replaced before it writes, and steps down.
        alpha.start(wait=False)
        wait_roles(alpha, "beta", "active", True)
        refused = alpha.cli("settings", "--renew-days", "33", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertEqual(days(beta), 22)
        self.assertEqual(days(gamma), 22)
        # It may join again under its name.
        alpha.stop()
        shutil.rmtree(alpha.root / "var/lib/certmgr")
        alpha.manager_address = None
        alpha.join(beta).start()
        wait_days(alpha, 22)
        set_days(beta, 44)
        wait_days(alpha, 44)


if __name__ == "__main__":
    unittest.main(verbosity=2)
