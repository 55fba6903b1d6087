"""Who may be the manager: two at once, half-made ones, and what several signers have to agree on.

Nothing is overwritten by a second manager, both raise the alarm, and a person ends it.
"""

import json
import os
import shutil
import struct
import tempfile
import unittest
from pathlib import Path

import lab
import lab_steps

PORTS = {"ui_port": 22643, "replication_port": 22644, "challenge_port": 22680}
SKEW = os.environ.get("CERTMGR_SKEW")


class Managers(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="certmgr-managers-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def server(self, name, last):
        server = lab_steps.Server(self.dir, name, f"127.0.215.{last}", **PORTS)
        self.addCleanup(server.stop)
        return server

    def url(self, server):
        return f"https://{server.address}:{server.replication_port}"

    def standby(self, manager, server):
        lab.wait_for(f"{server.name} to be a standby", lambda: manager.cli(
            "server", "role", server.name, "standby", "--url", self.url(server),
            check=False).returncode == 0, 60, 0.2)
        self.sees(server, server.name, "standby,server")

    def sees(self, server, name, roles, state="active"):
        def seen():
            listing = server.cli("server", "list", "--json", check=False)
            rows = json.loads(listing.stdout)["servers"] if listing.returncode == 0 else []
            return any(row["name"] == name and row["state"] == state and
                       ",".join(row["roles"]) == roles for row in rows)
        lab.wait_for(f"{server.name} to see {name} as {state} {roles}", seen, 90, 0.1)

    def set_days(self, server, days):
        lab.wait_for(f"{server.name} to write", lambda: server.cli(
            "settings", "--renew-days", days, check=False).returncode == 0, 60, 0.2)

    def days(self, server):
        done = server.cli("settings", "--json", check=False)
        return json.loads(done.stdout).get("renew_days") if done.returncode == 0 else None

    def wait_days(self, server, days):
        lab.wait_for(f"{server.name} to have {days}", lambda: self.days(server) == days, 60)

    def second(self, server):
        """The alarm of a second manager, as status and people see it."""
        done = server.cli("replication", "status", "--json", check=False)
        return (json.loads(done.stdout).get("second_manager") or {}).get("server") \
            if done.returncode == 0 else None

    def trust(self, server):
        done = server.cli("trust", "show", "--json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def fleet(self, first, *names):
        servers = [self.server(name, first + i) for i, name in enumerate(names)]
        servers[0].init().start()
        for server in servers[1:]:
            server.join(servers[0]).start()
        return servers

    def test_two_at_once(self):
        """Two standbys promoted apart from each other: neither takes over, both tell."""
        alpha, beta, gamma = self.fleet(41, "alpha", "beta", "gamma")
        for server in (beta, gamma):
            self.standby(alpha, server)
        for server in (beta, gamma):
            self.sees(server, "gamma", "standby,server")
        self.set_days(alpha, 11)
        self.wait_days(beta, 11)
        self.wait_days(gamma, 11)
        alpha.kill()
        gamma.stop()
        beta.cli("manager", "promote", "--lost")
        self.sees(beta, "beta", "manager,server")
        self.set_days(beta, 22)
        beta.stop()
        gamma.start()
        gamma.cli("manager", "promote", "--lost")
        self.sees(gamma, "gamma", "manager,server")
        self.set_days(gamma, 33)
        beta.start()
        for server, other in ((beta, "gamma"), (gamma, "beta")):
            lab.wait_for(f"the alarm on {server.name}",
                         lambda s=server, o=other: self.second(s) == o, 90, 0.2)
            self.assertIn("two managers", server.process.log.read_text())
        self.assertEqual((self.days(beta), self.days(gamma)), (22, 33))
        self.sees(beta, "beta", "manager,server")
        self.sees(gamma, "gamma", "manager,server")
        # A person decides: gamma is removed, comes back as a server, and the alarm ends.
        gamma.stop()
        beta.cli("server", "remove", "gamma")
        lab.wait_for("the end of the alarm", lambda: self.second(beta) is None, 60, 0.2)
        shutil.rmtree(gamma.root / "var/lib/certmgr")
        gamma.join(beta).start()
        self.wait_days(gamma, 22)

    def test_half_promoted(self):
        """The agent has pinned itself as the manager, everything dies: no command is repeated."""
        if not lab_steps.IN_BUILD:
            self.skipTest("this build has no steps")
        alpha, beta = self.fleet(51, "alpha", "beta")
        self.standby(alpha, beta)
        lab_steps.settle([beta.steps], 0.5)  # its agent writes down that it is a standby
        beta.steps.arm("trust.json.after")
        done = beta.cli("manager", "promote", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("same command again", done.stderr)
        beta.process.child.wait(60)
        beta.start()
        self.sees(beta, "beta", "manager,server")
        self.sees(alpha, "alpha", "server")
        self.set_days(beta, 22)
        self.wait_days(alpha, 22)

    def two_sign(self, alpha, beta):
        self.assertEqual(alpha.cli("trust", "threshold", "2", "--signer", beta.name,
                                   check=False).returncode, 7)
        self.sign(alpha, beta)
        lab.wait_for("the threshold", lambda: all(
            self.trust(server).get("threshold") == 2 for server in (alpha, beta)), 60)

    def sign(self, manager, signer):
        file = self.dir / "proposal.json"
        manager.cli("trust", "propose", file)
        lab.wait_for("the signature", lambda: signer.cli("trust", "sign", file,
                                                         check=False).returncode == 0, 60, 0.2)

    def test_join_with_two_signers(self):
        """The first try is a proposal; signed, the same command with the same token joins."""
        alpha, beta = self.fleet(61, "alpha", "beta")
        self.two_sign(alpha, beta)
        gamma = self.server("gamma", 63).configure()
        token = alpha.json("server", "add", "gamma")["token"] + "\n"
        refused = gamma.cli("join", "-", stdin=token, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("1 of 2 root signers have signed (a server joins)", refused.stderr)
        self.assertIn("same command again", refused.stderr)
        self.assertFalse((gamma.root / "var/lib/certmgr/agent/trust.json").exists())
        again = gamma.cli("join", "-", stdin=token, check=False)
        self.assertIn("1 of 2", again.stderr, "nothing is joined by asking twice")
        self.sign(alpha, beta)
        gamma.cli("join", "-", stdin=token)
        gamma.start()
        self.set_days(alpha, 22)
        self.wait_days(gamma, 22)
        used = json.loads((alpha.root / "var/lib/certmgr/agent/invitations.json").read_text())
        self.assertEqual(used, {}, "the invitation is used up")

    def test_promotion_with_two_signers(self):
        """The manager is lost, and another has to agree: the file goes there and comes back."""
        alpha, beta, gamma = self.fleet(81, "alpha", "beta", "gamma")
        self.standby(alpha, beta)
        self.two_sign(alpha, gamma)
        self.set_days(alpha, 11)
        self.wait_days(beta, 11)
        alpha.kill()
        file = self.dir / "promotion.json"
        asked = beta.cli("manager", "promote", "--lost", check=False)
        self.assertEqual(asked.returncode, 7, asked.stderr)
        beta.cli("trust", "propose", file)
        signed = gamma.cli("trust", "sign", file)
        self.assertIn("take the file there", signed.stdout)
        self.sees(gamma, "beta", "manager,server")
        self.sees(beta, "alpha", "manager,server")  # it listens to nobody, and hears nothing of it
        beta.cli("trust", "sign", file)
        self.sees(beta, "beta", "manager,server")
        self.sees(beta, "alpha", "server", "removed")
        self.set_days(beta, 22)
        self.wait_days(gamma, 22)

    @unittest.skipUnless(SKEW, "CERTMGR_SKEW names no library that sets the clock")
    def test_renewal_with_two_signers(self):
        """A day later the manager wants a fresh trust root: the other signs it by itself."""
        alpha, beta = self.fleet(71, "alpha", "beta")
        self.two_sign(alpha, beta)
        before = self.trust(alpha)
        clock = self.dir / "clock"
        clock.write_bytes(struct.pack("=q", 2 * 24 * 3600))
        for server in (alpha, beta):
            server.stop()
            asan = os.environ.get("ASAN_OPTIONS", "")
            server.process.env = dict(
                server.process.env, LD_PRELOAD=SKEW, CERTMGR_SKEW_FILE=str(clock),
                ASAN_OPTIONS=(asan + ":" if asan else "") + "verify_asan_link_order=0")
        alpha.start()
        lab.wait_for("the proposal", lambda: "proposal" in self.trust(alpha), 60)
        self.assertEqual(self.trust(alpha)["version"], before["version"], "one does not suffice")
        beta.start()
        for server in (alpha, beta):
            lab.wait_for(f"the fresh root on {server.name}", lambda s=server: self.trust(s).get(
                "version", 0) > before["version"], 90, 0.2)
        self.assertGreater(self.trust(alpha)["expires_at"], before["expires_at"])
        self.assertNotIn("proposal", self.trust(alpha))
        self.assertEqual(self.trust(alpha)["threshold"], 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
