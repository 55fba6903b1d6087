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
CA = None


def setUpModule():
    global CA
    CA = lab.Pebble(Path(tempfile.mkdtemp(prefix="certmgr-loss-ca-")), http_port=19480, base=19100,
                    tls_port=19481)
    CA.admin_port = 19110
    CA.start("127.0.32.12")


def tearDownModule():
    CA.stop()
    shutil.rmtree(CA.directory)

NAMES = ("alpha", "beta", "gamma")


class Fleet:
    """alpha is the manager, beta the standby."""

    def __init__(self, test, names=NAMES):
        self.dir = Path(tempfile.mkdtemp(prefix="certmgr-loss-"))
        test.addCleanup(self.end)
        self.servers = [lab.Server(self.dir, name, f"127.0.32.{11 + i}", pebble=CA, **PORTS)
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


def pinned(server):
    """The version of the trust root that its agent goes by."""
    return json.loads((server.root / "var/lib/certmgr/agent/trust.json").read_text())["version"]


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
        alpha.cli("account", "add", "pebble", "--directory", CA.url, "--agree-tos", "--ca-bundle",
                  CA.ca, "--http-port", CA.http_port)
        alpha.cli("settings", "--account", "pebble")
        CA.address("one.loss.example", beta.address)  # any server answers; beta survives
        first = alpha.json("request", "-d", "one.loss.example", "-s", "gamma")["credential"]
        alpha.wait_issued(first)
        alpha.wait_receipts(first, ["gamma"], "deployed")
        set_days(alpha, 11)
        wait_days(gamma, 11)
        wait_days(beta, 11)
        sealed = beta.document("account:pebble")["sealed_key"]
        self.assertTrue(beta.can_open(sealed))
        self.assertFalse(gamma.can_open(sealed))
        alpha.kill()
        beta.cli("manager", "promote", "--lost")
        wait_roles(beta, "beta", "active", True)
        set_days(beta, 22)
        wait_roles(gamma, "beta", "active", True)
        wait_roles(gamma, "alpha", "removed", False)
        wait_days(gamma, 22)
        # What alpha signed bears beta's signature; gamma's receipts came back by themselves.
        gamma.manager_address = beta.address
        lab.wait_for("beta's signature", lambda: gamma.document(f"keyfile:{first}")["signature"][
            "by"] == "beta")
        beta.wait_receipts(first, ["gamma"], "deployed")
        # Orders go on with the same account, and keys are made anew for the old certificate.
        second = beta.json("request", "-d", "one.loss.example", "-s", "gamma", "--keyring-file",
                           "two.kyr")["credential"]
        beta.wait_issued(second)
        beta.wait_receipts(second, ["gamma"], "deployed")
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

    def test_orderly_and_two_signers(self):
        """The manager lives: it hands over and becomes a server. Then two have to sign."""
        fleet = Fleet(self)
        alpha, beta, gamma = fleet.servers
        fleet.make_standby(beta)
        lab.wait_for("beta to learn it", lambda: "standby" in beta.cli("server", "list").stdout)
        set_days(alpha, 11)
        wait_days(beta, 11)
        beta.cli("manager", "promote")
        for server in (alpha, beta, gamma):
            wait_roles(server, "alpha", "active", False)
            wait_roles(server, "beta", "active", True)
        set_days(beta, 22)
        wait_days(alpha, 22)
        wait_days(gamma, 22)
        # Two signers: what one of them alone wants is a proposal.
        fleet.alpha, fleet.beta = beta, alpha
        asked = beta.cli("trust", "threshold", "2", "--signer", "alpha", check=False)
        self.assertEqual(asked.returncode, 7, asked.stderr)
        self.assertIn("1 of 2", asked.stdout)
        proposal = fleet.dir / "proposal.json"
        self.sign(beta, alpha, proposal)
        lab.wait_for("the threshold", lambda: beta.json("trust", "show")["threshold"] == 2, 30)
        version = beta.json("trust", "show")["version"]
        lab.wait_for("gamma's agent to follow", lambda: pinned(gamma) == version, 40)
        asked = beta.cli("server", "remove", "gamma", check=False)
        self.assertEqual(asked.returncode, 7, asked.stderr)
        self.assertIn("a server is removed", asked.stdout)
        self.assertEqual(roles(beta, "gamma"), ("active", False))
        refused = gamma.cli("trust", "sign", proposal.with_suffix(".old"), check=False)
        self.assertIn("not above", refused.stderr)
        self.sign(beta, alpha, proposal)
        wait_roles(beta, "gamma", "removed", False)
        wait_roles(alpha, "gamma", "removed", False)
        self.assertEqual(beta.json("trust", "show")["version"], version + 1)
        self.assertNotIn("proposal", beta.json("trust", "show"))
        # The same file carried back changes nothing any more.
        beta.cli("trust", "sign", proposal, check=False)
        self.assertEqual(beta.json("trust", "show")["version"], version + 1)

    def sign(self, manager, signer, proposal):
        manager.cli("trust", "propose", proposal)
        shutil.copy(proposal, proposal.with_suffix(".old"))  # who signs writes into the file
        lab.wait_for("the signature", lambda: signer.cli("trust", "sign", proposal,
                                                         check=False).returncode == 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
