"""A server leaves the trust root: what it wrote counts no more, people see why, and it is let in
again only by joining."""

import shutil
import tempfile
import unittest
from pathlib import Path

import lab
import lab_steps

PORTS = {"ui_port": 29643, "replication_port": 29644, "challenge_port": 29680}
WHY = "its signer is no longer in the trust root: signer beta was removed"
EMPTY = {"docs": [], "new_edits": False}


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

        # It joins anew, with other keys: what it reports now counts, and nobody has to look.
        self.beta.stop()
        shutil.rmtree(self.beta.root / "var/lib/certmgr")
        self.beta.join(self.alpha).start()
        again = self.credential("two.removed.example", "beta")
        self.assertEqual(self.reporters(again), {"beta"})
        self.assertNotIn(f"receipt:beta:{again}", self.refused())


if __name__ == "__main__":
    unittest.main()
