"""A server replaces its three keys while the fleet works; a copy with the old ones is refused."""

import shutil
import unittest

import lab
import rotation_lab as rotation

CA = None


def setUpModule():
    global CA
    CA = rotation.certificate_authority(http_port=21180, base=21200)


def tearDownModule():
    CA.stop()
    shutil.rmtree(CA.directory)


class Rotate(unittest.TestCase):
    def test_server(self):
        fleet = rotation.Fleet(self, 11, 21010, CA)
        alpha, beta, gamma = fleet.servers
        fleet.account()
        made = fleet.credential("one.rotate.example", "beta", "gamma")
        # A CSR that is out for weeks: its key is sealed for the former key, too.
        hand = alpha.json("request", "-d", "hand.rotate.example", "-s", "beta", "--provider",
                          "manual")["credential"]
        lab.wait_for("beta to know of the CSR", lambda: beta.cli(
            "csr", "show", hand, check=False).returncode == 0, 60, 0.2)
        before = rotation.keys(beta)
        beta.cli("server", "rotate")
        rotation.wait_done(beta)
        after = rotation.keys(beta)
        self.assertTrue(all(before[k] != after[k] for k in before), (before, after))
        lab.wait_for("alpha to list them", lambda: rotation.listed(alpha, "beta") == after)
        lab.wait_for("gamma to list them", lambda: rotation.listed(gamma, "beta") == after)
        lab.wait_for("alpha's agent to drop the former ones",
                     lambda: "old" not in rotation.entry(alpha, "beta"))
        self.assertEqual(rotation.secrets_left(beta), [])
        # Whatever it wrote was signed anew before the former key stopped to count.
        self.assertEqual(alpha.json("replication", "refused")["quarantine"], [])
        self.assertEqual({r["server"] for r in alpha.show(made)["receipts"]}, {"beta", "gamma"})
        for doc in (f"keyfile:{made}", f"credential:{made}"):
            sealed = beta.document(doc)["sealed_key"]
            self.assertTrue(beta.can_open(sealed), doc)
            self.assertTrue(gamma.can_open(sealed), doc)
            self.assertFalse(alpha.can_open(sealed), doc)
        out = beta.document(f"credential:{hand}")["csr_out"]["sealed_key"]
        self.assertTrue(beta.can_open(out))

    def test_manager(self):
        fleet = rotation.Fleet(self, 21, 21020, CA)
        alpha, beta, gamma = fleet.servers
        fleet.account()
        fleet.credential("first.rotate.example", "gamma")
        before = rotation.keys(alpha)
        gamma.stop()  # it misses everything, and knows neither the new TLS key nor the new signer
        alpha.cli("server", "rotate", "alpha")
        rotation.wait_done(alpha)
        self.assertEqual(rotation.secrets_left(alpha), [])
        after = rotation.keys(alpha)
        self.assertTrue(all(before[k] != after[k] for k in before), (before, after))
        lab.wait_for("beta to list them", lambda: rotation.listed(beta, "alpha") == after, 60)
        # Everything of the manager's goes on: orders with the account's key, documents, deployment.
        made = fleet.credential("two.rotate.example", "beta")
        self.assertTrue(beta.can_open(beta.document(f"keyfile:{made}")["sealed_key"]))
        self.assertTrue(alpha.can_open(beta.document("account:pebble")["sealed_key"]))
        gamma.start()
        lab.wait_for("gamma to follow", lambda: rotation.listed(gamma, "alpha") == after, 60)
        third = fleet.credential("three.rotate.example", "gamma")
        self.assertTrue(gamma.can_open(beta.document(f"keyfile:{third}")["sealed_key"]))

    def test_ordered_by_the_manager(self):
        fleet = rotation.Fleet(self, 31, 21030, names=("alpha", "beta"))
        alpha, beta = fleet.servers
        before = rotation.keys(beta)
        refused = beta.cli("server", "rotate", "alpha", check=False)
        self.assertIn("only the manager", refused.stderr)
        beta.stop()
        alpha.cli("server", "rotate", "beta")
        self.assertEqual(alpha.json("server", "rotate", "beta", "--status")["state"], "ordered")
        beta.start()
        rotation.wait_done(beta)
        self.assertTrue(all(before[k] != v for k, v in rotation.keys(beta).items()))
        lab.wait_for("alpha to be through with it", lambda: alpha.cli(
            "server", "rotate", "beta", "--status", check=False).returncode != 0)

    def test_copy_with_old_keys(self):
        fleet = rotation.Fleet(self, 41, 21040, names=("alpha", "beta"))
        alpha, beta = fleet.servers
        beta.stop()
        shutil.copytree(beta.root, fleet.dir / "copy")
        beta.start()
        beta.cli("server", "rotate")
        rotation.wait_done(beta)
        beta.stop()
        beta.root.rename(fleet.dir / "real")
        (fleet.dir / "copy").rename(beta.root)
        beta.start()
        said = lab.wait_for("the copy to know that it is one", lambda: rotation.status(beta).get(
            "state") == "replaced" and rotation.status(beta), 60)
        self.assertIn("a copy of it from before", said["error"])
        self.assertIn("nobody accepts it", beta.tail(400))
        again = beta.cli("server", "rotate", check=False)
        self.assertNotEqual(again.returncode, 0)
        self.assertIn("copy of it from before", again.stderr)
        self.assertNotEqual(alpha.document("trust:root")["version"], 0)
        self.assertIn("A copy of server beta is refused", alpha.tail(400))

    def two_signers(self, net, port):
        fleet = rotation.Fleet(self, net, port, names=("alpha", "beta"))
        alpha, beta = fleet.servers
        alpha.cli("server", "role", "beta", "standby", "--url",
                  f"https://{beta.address}:{beta.replication_port}")
        lab.wait_for("beta to learn it", lambda: "standby" in beta.cli("server", "list").stdout)
        alpha.cli("trust", "threshold", "2", check=False)
        lab.wait_for("a proposal", lambda: alpha.json("trust", "show").get("proposal"))
        self.sign(fleet)
        lab.wait_for("two to be needed",
                     lambda: all(server.json("trust", "show")["threshold"] == 2
                                 for server in fleet.servers), 60)
        return fleet

    def sign(self, fleet):
        alpha, beta = fleet.servers
        alpha.cli("trust", "propose", fleet.dir / "proposal.json")
        beta.cli("trust", "sign", fleet.dir / "proposal.json")
        (fleet.dir / "proposal.json").unlink()

    def wait_proposed(self, alpha):
        """Until what waits for signatures lists the keys that alpha has made; the new sign key."""
        def proposed():
            document = (alpha.json("trust", "show").get("proposal") or {}).get("document", {})
            listed = {s["name"]: s["sign"] for s in document.get("servers", [])}.get("alpha")
            return listed if listed and listed == rotation.pending(alpha) else None

        return lab.wait_for("the proposal", proposed, 60)

    def test_two_signers(self):
        fleet = self.two_signers(51, 21050)
        alpha, beta = fleet.servers
        before = rotation.keys(alpha)
        alpha.cli("server", "rotate")
        self.wait_proposed(alpha)
        self.assertEqual(rotation.status(alpha)["state"], "proposed")
        self.assertEqual(rotation.keys(alpha), before)
        self.sign(fleet)
        rotation.wait_done(alpha)  # the second version is signed without a person
        self.assertTrue(all(before[k] != v for k, v in rotation.keys(alpha).items()))
        lab.wait_for("beta to follow",
                     lambda: rotation.listed(beta, "alpha") == rotation.keys(alpha), 60)

    def test_given_up(self):
        fleet = self.two_signers(91, 21110)
        alpha = fleet.alpha
        before = rotation.keys(alpha)
        alpha.cli("server", "rotate")
        first = self.wait_proposed(alpha)
        alpha.cli("server", "rotate", "--cancel")
        self.assertEqual(rotation.status(alpha)["state"], "cancelled")
        self.assertEqual(rotation.keys(alpha), before)
        again = alpha.cli("server", "rotate", "--cancel", check=False)
        self.assertIn("not being replaced", again.stderr)
        alpha.stop()
        alpha.start()
        self.assertEqual(rotation.status(alpha)["state"], "cancelled")
        # Asked for again: other keys, and those that were given up are destroyed.
        alpha.cli("server", "rotate")
        lab.wait_for("other keys", lambda: rotation.pending(alpha) not in (None, first))
        second = self.wait_proposed(alpha)
        self.assertNotEqual(first, second)
        # Given up, but people sign it all the same: those keys count, so it goes on.
        alpha.cli("server", "rotate", "--cancel")
        self.assertEqual(rotation.status(alpha)["state"], "cancelled")
        self.sign(fleet)
        rotation.wait_done(alpha)
        after = rotation.keys(alpha)
        self.assertTrue(all(before[k] != after[k] for k in before), (before, after))
        self.assertEqual(rotation.listed(alpha, "alpha"), after)
        self.assertEqual(rotation.secrets_left(alpha), [])
        late = alpha.cli("server", "rotate", "--cancel", check=False)
        self.assertIn("not being replaced", late.stderr)


if __name__ == "__main__":
    unittest.main()
