"""ACME accounts for good and bad days: a key change that is killed at every step goes on by itself.

One server against the fake CA; every case is a CA of its own.
"""

import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import lab

sys.path.insert(0, str(lab.SOURCE / "tests/fakeca"))
import faults  # noqa: E402
from fakeca import FakeCA  # noqa: E402

ADDRESS, HTTP_PORT, CA_PORT, DNS_PORT = "127.0.205.1", 25001, 25010, 25020
STEP_BUILD = os.environ.get("CERTMGR_STEP_BUILD", "1") == "1"
DIRECTORY = SERVER = CA = DNS = STEPS = None


def setUpModule():
    global DIRECTORY, SERVER, CA, DNS, STEPS
    DIRECTORY = Path(tempfile.mkdtemp(prefix="certmgr-accounts-"))
    STEPS = DIRECTORY / "steps"
    STEPS.mkdir()
    CA = FakeCA(DIRECTORY / "ca", CA_PORT, (ADDRESS, HTTP_PORT)).start()
    DNS = lab.Process("dns", ["pebble-challtestsrv", "-management", f"127.0.0.1:{DNS_PORT + 2}",
                              "-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01",
                              f"127.0.0.1:{DNS_PORT}", "-defaultIPv6", "", "-defaultIPv4", ADDRESS],
                      DIRECTORY).start()
    SERVER = lab.Server(DIRECTORY, "alpha", ADDRESS, challenge_port=HTTP_PORT, ui_port=25002,
                        replication_port=25003, directory_url=f"https://127.0.0.1:{CA_PORT}/")
    SERVER.extra = f"[network]\nresolver = 127.0.0.1:{DNS_PORT}\n"
    SERVER.process.env["CERTMGR_STEPS"] = str(STEPS)
    SERVER.target().init().start()
    SERVER.cli("root", "add", CA.issuer.root)


def tearDownModule():
    SERVER.stop()
    DNS.stop()
    CA.stop()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


def account(name):
    case = CA.case(name)
    SERVER.cli("account", "add", name, "--directory", case.url, "--agree-tos", "--contact",
               "admin@example.com", "--ca-bundle", CA.issuer.ca, "--http-port", HTTP_PORT)
    return case


def issue(name):
    credential = SERVER.json("request", "-d", f"{name}.accounts.example", "-s", "alpha",
                             "--account", name, "--keyring-file", f"{name}.kyr")["credential"]
    SERVER.wait_issued(credential)
    return credential


def document(name):
    return SERVER.document(f"account:{name}")


@unittest.skipUnless(STEP_BUILD, "this build knows no steps")
class RollOver(unittest.TestCase):
    """RFC 8555 7.3.5, killed with kill -9 at every step of its journal: nobody is asked, the next
    life ends it, and the CA has changed the key at most once."""

    def killed(self, step, changed, journal=True):
        name = f"roll-{step}"
        case = account(name)
        issue(name)
        before = document(name)
        (STEPS / f"rollover.{step}").write_text("all")
        done = SERVER.cli("account", "roll-over", name, check=False)
        self.assertNotEqual(done.returncode, 0)
        SERVER.process.child.wait(30)
        self.assertTrue((STEPS / f"rollover.{step}.hit").exists())
        self.assertEqual(case.counts.get("keyChange", 0), int(changed), "what the CA knows at the kill")
        SERVER.start()
        lab.wait_for("the end of the change", lambda: "rollover" not in document(name), 30)
        after = document(name)
        self.assertEqual(after["thumbprint"] != before["thumbprint"], journal)
        self.assertEqual(after["kid"], before["kid"])
        SERVER.cli("account", "find", name)  # the CA knows the key that is kept
        self.assertEqual(case.counts.get("keyChange", 0), int(journal))
        self.assertEqual(case.violations, [])

    def test_before_the_journal(self):
        """A key that nobody heard of: nothing has begun."""
        self.killed("made", changed=False, journal=False)

    def test_the_old_key_is_still_the_ca_s(self):
        self.killed("journalled", changed=False)

    def test_the_new_key_is_the_ca_s_already(self):
        self.killed("answered", changed=True)

    def test_proven_but_not_stored(self):
        self.killed("asked", changed=True)

    def test_a_busy_ca_does_not_cost_the_key(self):
        """429 to the question which key is known says nothing about it: were the change sent again
        with the old key, "malformed" would be the answer, and the only good key dropped."""
        case = account("roll-busy")
        issue("roll-busy")
        before = document("roll-busy")
        (STEPS / "rollover.answered").write_text("all")
        SERVER.cli("account", "roll-over", "roll-busy", check=False)
        SERVER.process.child.wait(30)
        case.fault("account", faults.refuse("rateLimited", "not now", 429, times=None))
        asked = case.counts.get("account", 0)
        SERVER.start()
        lab.wait_for("the question", lambda: case.counts.get("account", 0) > asked, 30)
        self.assertIn("rollover", document("roll-busy"))
        case.rules.clear()
        lab.wait_for("another go", lambda: SERVER.cli("account", "roll-over", "roll-busy",
                                                      check=False).returncode == 0, 30)
        self.assertNotEqual(document("roll-busy")["thumbprint"], before["thumbprint"])
        self.assertEqual(case.counts["keyChange"], 1)

    def test_stored_but_not_told(self):
        self.killed("swapped", changed=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
