"""ACME accounts for good and bad days: a key change that is killed at every step goes on by itself.

One server against the fake CA; every case is a CA of its own.
"""

import json
import os
import shutil
import subprocess
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
        lab.wait_for("the end of the change", lambda: "rollover" not in document(name))
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
        lab.wait_for("the question", lambda: case.counts.get("account", 0) > asked)
        self.assertIn("rollover", document("roll-busy"))
        case.rules.clear()
        lab.wait_for("another go", lambda: SERVER.cli("account", "roll-over", "roll-busy",
                                                      check=False).returncode == 0)
        self.assertNotEqual(document("roll-busy")["thumbprint"], before["thumbprint"])
        self.assertEqual(case.counts["keyChange"], 1)

    def test_stored_but_not_told(self):
        self.killed("swapped", changed=True)


PASSPHRASE = "correct horse battery staple"


class Move(unittest.TestCase):
    """Export, and import of what others have registered: looked up at the CA before it is stored."""

    def import_(self, name, path, *more):
        return SERVER.cli("account", "import", name, path, "--http-port", HTTP_PORT, "--agree-tos",
                          *more, check=False)

    def absent(self, name):
        self.assertEqual(SERVER.api("GET", f"/accounts/{name}")[0], 404)

    def test_there_and_back(self):
        case = account("mover")
        issue("mover")
        before = document("mover")
        secret = DIRECTORY / "passphrase"
        secret.write_text("too short\n")
        done = SERVER.cli("account", "export", "mover", "--passphrase-file", secret, check=False)
        self.assertIn("12 to", done.stderr)
        secret.write_text(PASSPHRASE + "\n")
        text = SERVER.cli("account", "export", "mover", "--passphrase-file", secret).stdout
        made = json.loads(text)
        self.assertEqual((made["kid"], made["contacts"]), (before["kid"], before["contacts"]))
        self.assertNotIn("sealed_key", made)
        self.assertTrue(made["key_pem"].startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----"))
        opened = subprocess.run(["openssl", "pkey", "-passin", f"pass:{PASSPHRASE}", "-noout",
                                 "-text"], input=made["key_pem"], text=True, capture_output=True,
                                check=True).stdout
        self.assertIn("prime256v1", opened)
        log = SERVER.process.log.read_text()  # the agent says so by itself, whatever the front says
        self.assertRegex(log, r"warn agent agent account:mover the key left under a passphrase")
        self.assertNotIn(PASSPHRASE, log)
        path = DIRECTORY / "mover.json"
        path.write_text(text)
        self.assertNotEqual(self.import_("mover", path, "--passphrase-file", secret).returncode, 0)
        wrong = DIRECTORY / "wrong"
        wrong.write_text("something else entirely")
        done = self.import_("moved", path, "--passphrase-file", wrong)
        self.assertIn("passphrase right", done.stderr)
        self.absent("moved")
        done = self.import_("moved", path, "--passphrase-file", secret)
        self.assertEqual(done.returncode, 0, done.stderr)
        after = document("moved")
        for member in ("kid", "thumbprint", "directory", "contacts"):
            self.assertEqual(after[member], before[member], member)
        self.assertEqual((after["status"], case.counts["newAccount"]), ("valid", 2))
        issue("moved")
        self.assertEqual(case.violations, [])

    def test_for_the_recovery_key(self):
        account("kept")
        made = json.loads(SERVER.cli("account", "export", "kept", "--recovery").stdout)
        self.assertEqual(made["sealed_key"], document("kept")["sealed_key"])
        self.assertNotIn("key_pem", made)

    def test_a_key_that_the_ca_does_not_know(self):
        case = CA.case("unknown")
        path = DIRECTORY / "unknown.pem"
        subprocess.run(["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out",
                        path], check=True)
        done = self.import_("unknown", path, "--directory", case.url, "--ca-bundle", CA.issuer.ca)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("does not know an account with this key", done.stderr)
        self.absent("unknown")
        self.assertEqual(case.violations, [])

    @unittest.skipUnless(shutil.which("certbot"), "certbot is not installed")
    def test_from_certbot(self):
        case, home = CA.case("frombot"), DIRECTORY / "certbot"
        subprocess.run([str(a) for a in (
            "certbot", "register", "-n", "--server", case.url, "--agree-tos", "-m", "a@example.com",
            "--no-eff-email", "--config-dir", home / "etc", "--work-dir", home / "work",
            "--logs-dir", home / "log")], check=True, capture_output=True, timeout=240,
            env=dict(os.environ, REQUESTS_CA_BUNDLE=str(CA.issuer.ca)))
        key = next(home.rglob("private_key.json"))
        done = self.import_("frombot", key, "--directory", case.url, "--ca-bundle", CA.issuer.ca)
        self.assertEqual(done.returncode, 0, done.stderr)
        after = document("frombot")
        self.assertEqual(after["kid"], json.loads((key.parent / "regr.json").read_text())["uri"])
        issue("frombot")  # orders are signed by certbot's key
        self.assertEqual(case.violations, [])

    def test_by_the_form(self):
        case = account("formed")
        issue("formed")
        browser = lab.Browser(SERVER).set_up(SERVER.setup_link)
        page = browser.get("/accounts/formed")
        self.assertIn("/accounts/formed/export", page.text)
        page = browser.post("/accounts/formed/export", dict(browser.hidden("/accounts/formed"),
                                                            passphrase=PASSPHRASE))
        made = json.loads(page.text)
        page = browser.post("/accounts", dict(
            browser.hidden("/accounts/new?preset=other"), name="formed2", directory=case.url,
            contacts="", ca_pem=CA.issuer.ca.read_text(), http_port=str(HTTP_PORT), tls_port="443",
            terms_agreed="1", self_check="1", key=made["key_pem"], key_passphrase="not the right one"))
        self.assertEqual(page.status, 422)
        self.assertNotIn("ENCRYPTED", page.text)
        browser.post("/accounts", dict(
            browser.hidden("/accounts/new?preset=other"), name="formed2", directory=case.url,
            contacts="", ca_pem=CA.issuer.ca.read_text(), http_port=str(HTTP_PORT), tls_port="443",
            terms_agreed="1", self_check="1", key=made["key_pem"], key_passphrase=PASSPHRASE))
        self.assertEqual(document("formed2")["thumbprint"], document("formed")["thumbprint"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
