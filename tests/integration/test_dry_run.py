"""Dry runs: the same CA has a staging, or it has none. One server against two cases of the fake CA."""

import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import lab

sys.path.insert(0, str(lab.SOURCE / "tests/fakeca"))
from fakeca import FakeCA  # noqa: E402

ADDRESS, HTTP_PORT, CA_PORT, DNS_PORT = "127.0.205.2", 25101, 25110, 25120
DIRECTORY = SERVER = CA = DNS = LIVE = STAGING = BROWSER = None


def add(name, case, *more):
    SERVER.cli("account", "add", name, "--directory", case.url, "--agree-tos", "--contact",
               "admin@example.com", "--ca-bundle", CA.issuer.ca, "--http-port", HTTP_PORT, *more)


def setUpModule():
    global DIRECTORY, SERVER, CA, DNS, LIVE, STAGING, BROWSER
    DIRECTORY = Path(tempfile.mkdtemp(prefix="certmgr-dry-"))
    CA = FakeCA(DIRECTORY / "ca", CA_PORT, (ADDRESS, HTTP_PORT)).start()
    DNS = lab.Process("dns", ["pebble-challtestsrv", "-management", f"127.0.0.1:{DNS_PORT + 2}",
                              "-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01",
                              f"127.0.0.1:{DNS_PORT}", "-defaultIPv6", "", "-defaultIPv4", ADDRESS],
                      DIRECTORY).start()
    SERVER = lab.Server(DIRECTORY, "alpha", ADDRESS, challenge_port=HTTP_PORT, ui_port=25102,
                        replication_port=25103, directory_url=f"https://127.0.0.1:{CA_PORT}/")
    SERVER.extra = f"[network]\nresolver = 127.0.0.1:{DNS_PORT}\n"
    SERVER.target().init().start()
    SERVER.cli("root", "add", CA.issuer.root)
    LIVE, STAGING = CA.case("live"), CA.case("staging")
    add("stage", STAGING)
    add("live", LIVE, "--staging", "stage")
    SERVER.cli("settings", "--account", "live")
    BROWSER = lab.Browser(SERVER).set_up(SERVER.setup_link)


def tearDownModule():
    SERVER.stop()
    DNS.stop()
    CA.stop()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


def orders(case):
    return case.counts.get("newOrder", 0)


def credential_of(name):
    rows = SERVER.json("list")["credentials"]
    return next((row["id"] for row in rows if name in row["host_names"]), None)


class DryRun(unittest.TestCase):
    def test_1_a_draft(self):
        """request --dry-run: everything is asked of the staging, nothing is kept; then for real."""
        done = SERVER.cli("request", "-d", "a.dry.example", "-s", "alpha", "--dry-run",
                          "--keyring-file", "a.kyr")
        self.assertIn("dry run: passed", done.stdout)
        self.assertIn("The dry run has passed", done.stdout)
        credential = credential_of("a.dry.example")
        self.assertIn(f"certmgr retry {credential}", done.stdout)
        view = SERVER.show(credential)["credential"]
        self.assertEqual((view["status"], view["trial"]["account"]), ("draft", "stage"))
        self.assertEqual((orders(LIVE), orders(STAGING)), (0, 1))
        self.assertEqual(LIVE.counts.get("newAccount", 0), 0)
        self.assertFalse((SERVER.data / "a.kyr").exists())
        self.assertEqual(SERVER.show(credential)["challenge"], [])
        page = BROWSER.get(f"/credentials/{credential}")
        self.assertIn("Nothing was issued yet", page.text)
        SERVER.cli("retry", credential)
        SERVER.wait_issued(credential)
        self.assertEqual((orders(LIVE), orders(STAGING)), (1, 1))
        self.assertEqual(LIVE.violations + STAGING.violations, [])

    def test_2_of_a_certificate_that_serves(self):
        """renew --dry-run by command, button and API; what serves stays as it is."""
        credential = credential_of("a.dry.example")
        before = SERVER.show(credential)["credential"]
        done = SERVER.cli("renew", "--dry-run", credential)
        self.assertIn("dry run: passed", done.stdout)
        page = BROWSER.get(f"/credentials/{credential}")
        self.assertIn("/dry-run", page.text)
        BROWSER.post(f"/credentials/{credential}/dry-run", BROWSER.hidden(f"/credentials/{credential}"))
        lab.wait_for("the dry run of the button", lambda: orders(STAGING) == 3 and SERVER.show(
            credential)["credential"]["trial"]["state"] == "passed")
        status, _, _ = SERVER.api("POST", f"/credentials/{credential}/dry-run")
        self.assertEqual(status, 204)
        lab.wait_for("the dry run of the API", lambda: orders(STAGING) == 4 and SERVER.show(
            credential)["credential"]["trial"]["state"] == "passed")
        after = SERVER.show(credential)["credential"]
        for member in ("status", "fingerprint", "key_generation", "next_action_at", "chain"):
            self.assertEqual(before[member], after[member], member)
        self.assertEqual(orders(LIVE), 1)

    def test_3_no_staging(self):
        case = CA.case("alone")
        add("alone", case)
        done = SERVER.cli("request", "-d", "b.dry.example", "-s", "alpha", "--account", "alone",
                          "--dry-run", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("has no staging environment", done.stderr)
        self.assertIsNone(credential_of("b.dry.example"))
        page = BROWSER.post("/credentials", dict(
            BROWSER.hidden("/credentials/new"), host_names="b.dry.example", servers="alpha",
            account="alone", key_type="P-256", provider="acme", keyring_file="b.kyr", target="default",
            renew_days="30", key_rollover="keep", dry_run="1"))
        self.assertEqual(page.status, 409)
        self.assertIn("has no staging environment", page.text)

    def test_4_the_form_makes_a_draft(self):
        page = BROWSER.post("/credentials", dict(
            BROWSER.hidden("/credentials/new"), host_names="c.dry.example", servers="alpha",
            account="live", key_type="P-256", provider="acme", keyring_file="c.kyr", target="default",
            renew_days="30", key_rollover="keep", dry_run="1"))
        self.assertIn(page.status, (200, 303), page.text)
        credential = lab.wait_for("the draft", lambda: credential_of("c.dry.example"))
        lab.wait_for("its dry run", lambda: SERVER.show(credential)["credential"].get(
            "trial", {}).get("state") == "passed")
        self.assertEqual(SERVER.show(credential)["credential"]["status"], "draft")

    def test_5_the_switch(self):
        self.assertIs(SERVER.json("settings")["staging_first"], True)
        SERVER.cli("settings", "--staging-first", "no")
        self.assertIs(SERVER.json("settings")["staging_first"], False)


if __name__ == "__main__":
    unittest.main(verbosity=2)
