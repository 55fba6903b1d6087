"""A server leaves the trust root: what it wrote counts no more, people see why, and it is let in
again only by joining."""

import base64
import json
import shutil
import tempfile
import unittest
from pathlib import Path

import lab
import lab_steps
import rotation_lab as rotation

PORTS = {"ui_port": 29643, "replication_port": 29644, "challenge_port": 29680}
WHY = "its signer is no longer in the trust root: signer beta was removed"
EMPTY = {"docs": [], "new_edits": False}


def expired(token):
    """The same invitation, an hour later."""
    text = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    text["expires_at"] = "2026-01-01T00:00:00.000Z"
    return base64.urlsafe_b64encode(json.dumps(text).encode()).decode().rstrip("=")


class Removed(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="certmgr-removed-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.ca = lab.Pebble(self.dir / "ca", http_port=29680, base=29700, tls_port=29681)
        self.ca.admin_port = 29710
        self.ca.start("127.0.209.11")
        self.addCleanup(self.ca.stop)
        self.alpha, self.beta, self.gamma = (
            self.server(name, 11 + i) for i, name in enumerate(("alpha", "beta", "gamma")))
        self.alpha.init().start()
        for server in (self.beta, self.gamma):
            server.target().join(self.alpha).start()
        self.alpha.cli("account", "add", "pebble", "--directory", self.ca.url, "--agree-tos",
                       "--ca-bundle", self.ca.ca, "--http-port", self.ca.http_port)
        self.alpha.cli("settings", "--account", "pebble")

    def server(self, name, last):
        server = lab_steps.Server(self.dir, name, f"127.0.209.{last}", pebble=self.ca, **PORTS)
        self.addCleanup(server.stop)
        return server

    def credential(self, name, *servers):
        self.ca.address(name, self.alpha.address)
        made = self.alpha.json("request", "-d", name,
                               *(x for s in servers for x in ("-s", s)))["credential"]
        self.alpha.wait_issued(made)
        self.alpha.wait_receipts(made, list(servers), "deployed")
        return made

    def reporters(self, credential):
        return {r["server"] for r in self.alpha.show(credential).get("receipts", [])}

    def deployed(self, credential):
        return {r["server"]: r.get("fingerprint") for r in
                self.alpha.view(credential).get("receipts", []) if r["state"] != "failed"}

    def refused(self):
        return {row["id"]: row for row in
                self.alpha.json("replication", "refused")["quarantine"]}

    def test_removed_and_back(self):
        made = self.credential("one.removed.example", "beta", "gamma")
        receipt = f"receipt:beta:{made}"
        self.assertEqual(self.reporters(made), {"beta", "gamma"})
        self.assertEqual(self.beta.replication("POST", "/_bulk_docs", EMPTY), [])
        if lab_steps.IN_BUILD:  # the manager dies in the middle, and its next life goes on
            self.alpha.steps.arm("rejudge.slice")
            self.alpha.cli("server", "remove", "beta", check=False)
            self.alpha.process.child.wait(60)
            self.assertTrue(self.alpha.steps.hit("rejudge.slice"))
            self.alpha.start()
        else:
            self.alpha.cli("server", "remove", "beta")

        # Its receipt counts no more, the other server's does.
        lab.wait_for("the receipt to count no more", lambda: receipt in self.refused(), 60, 0.2)
        self.assertIn(WHY, self.refused()[receipt]["reason"])
        self.assertEqual(self.refused()[receipt]["peer"], "beta")
        self.assertEqual(self.reporters(made), {"gamma"})
        self.assertIn(WHY, self.alpha.cli("replication", "refused").stdout)
        browser = lab.Browser(self.alpha)
        browser.set_up(self.alpha.setup_link)
        page = browser.get("/status").text
        self.assertIn(receipt, page)
        self.assertIn(WHY, page)

        # What the manager signed stays, and a restart changes nothing.
        self.alpha.wait_issued(made)
        self.alpha.kill()
        self.alpha.start()
        self.assertIn(receipt, self.refused())
        self.assertEqual(self.reporters(made), {"gamma"})

        # It cannot write.
        with self.assertRaises(OSError):
            self.beta.replication("POST", "/_bulk_docs", EMPTY)

        self.returns_with_its_keys(made, receipt)
        self.alpha.cli("server", "remove", "beta")
        self.returns_with_new_keys(made)

    def token(self):
        return self.alpha.json("server", "add", "beta")["token"]

    def join(self, token, *words, check=True):
        return self.beta.cli("join", *words, "-", stdin=token + "\n", check=check)

    def returns_with_its_keys(self, made, receipt):
        """A person is told how; killed on the way, the same command ends it."""
        before, token = rotation.keys(self.beta), self.token()
        running = self.join(token, "--again", check=False)
        self.assertIn("certmgr runs with it", running.stderr)
        self.beta.stop()
        told = self.join(token, check=False)
        self.assertEqual(told.returncode, 4)
        self.assertIn("certmgr server add beta; here: certmgr join --again TOKEN", told.stderr)
        if lab_steps.IN_BUILD:
            self.beta.command_steps.arm("join.followed")
            self.assertNotEqual(self.join(token, "--again", check=False).returncode, 0)
            self.assertTrue(self.beta.command_steps.hit("join.followed"))
        back = self.join(token, "--again")
        self.assertIn("is back in the fleet, with its keys", back.stdout)
        self.beta.start()
        self.assertEqual(rotation.keys(self.beta), before)
        lab.wait_for("what it reported to count again",
                     lambda: self.reporters(made) == {"beta", "gamma"} and
                     receipt not in self.refused(), 60, 0.2)
        self.assertEqual(self.beta.replication("POST", "/_bulk_docs", EMPTY), [])

    def returns_with_new_keys(self, made):
        """What it reports now counts; a join whose answer was lost is ended by its old token. What
        it had is ordered anew for the keys that it has now, and nobody needs to ask."""
        before, token = rotation.keys(self.beta), self.token()
        self.beta.stop()
        shutil.rmtree(self.beta.root / "var/lib/certmgr")
        if lab_steps.IN_BUILD:
            self.beta.command_steps.arm("join.answered")
            self.assertNotEqual(self.join(token, check=False).returncode, 0)
            told = self.alpha.cli("server", "add", "beta", check=False)
            self.assertIn("with the same token", told.stderr)
            token = expired(token)
        self.join(token)
        self.beta.start()
        after = rotation.keys(self.beta)
        self.assertTrue(all(before[k] != after[k] for k in before), (before, after))
        lab.wait_for("a key that it can open",
                     lambda: self.alpha.document(f"keyfile:{made}")["key_generation"] == 2, 90, 0.2)
        fingerprint = self.alpha.document(f"keyfile:{made}")["fingerprint"]
        lab.wait_for("its deployment", lambda: self.deployed(made) == {"beta": fingerprint,
                                                                       "gamma": fingerprint}, 90, 0.2)
        again = self.credential("two.removed.example", "beta")
        self.assertEqual(self.reporters(again), {"beta"})
        self.assertNotIn(f"receipt:beta:{again}", self.refused())


if __name__ == "__main__":
    unittest.main()
