"""The later life of a certificate: renewal at the CA's word, revocation by account and by its own
key, archive, removal.

A manager and a server of its fleet against Pebble; what the CA knows is asked at its own management
port. The server alone holds the key of some credentials: then the manager's order goes to it.
"""

import datetime
import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import lab
from notice_sinks import Webhook

sys.path.insert(0, str(lab.SOURCE / "tests/fakeca"))
import faults  # noqa: E402
from fakeca import FakeCA  # noqa: E402

ALPHA, BRAVO, HTTP_PORT, CA_PORT = "127.0.29.1", "127.0.29.2", 9002, 9100
FAKE_PORT, HOOK_PORT = 9300, 22400
HOUR, DAY = 3600, 86400
DIRECTORY = MANAGER = SERVER = PEBBLE = FAKE = HOOK = None


def setUpModule():
    global DIRECTORY, MANAGER, SERVER, PEBBLE, FAKE, HOOK
    DIRECTORY = Path(tempfile.mkdtemp(prefix="certmgr-life-"))
    PEBBLE = lab.Pebble(DIRECTORY / "ca", HTTP_PORT, CA_PORT, {"PEBBLE_VA_NOSLEEP": "1"})
    PEBBLE.admin_port = CA_PORT + 100
    PEBBLE.start(ALPHA)
    MANAGER = lab.Server(DIRECTORY, "alpha", ALPHA, PEBBLE, challenge_port=HTTP_PORT)
    SERVER = lab.Server(DIRECTORY, "bravo", BRAVO, PEBBLE, challenge_port=HTTP_PORT)
    FAKE = FakeCA(DIRECTORY / "fake", FAKE_PORT, (ALPHA, HTTP_PORT)).start()
    for server in (MANAGER, SERVER):
        server.directory_url = None  # two CAs
        server.extra = ("[acme]\nallowed_cas = "
                        f"https://127.0.0.1:{FAKE_PORT} https://127.0.0.1:{CA_PORT}\n")
    secret = DIRECTORY / "hook-secret"
    secret.touch(mode=0o600)
    secret.write_text("a secret of the laboratory 0123\n")
    HOOK = Webhook(HOOK_PORT, secret.read_text().strip())
    MANAGER.extra += (f"[notify]\nwebhook_url = http://127.0.0.1:{HOOK_PORT}/hook\n"
                      f"webhook_secret_file = {secret}\ncheck_interval = 1\n")
    MANAGER.target().init().start()
    SERVER.target().join(MANAGER).start()
    MANAGER.cli("account", "add", "pebble", "--directory", PEBBLE.url, "--agree-tos", "--contact",
                "admin@example.com", "--ca-bundle", PEBBLE.ca, "--http-port", HTTP_PORT)
    MANAGER.cli("root", "add", PEBBLE.root())
    MANAGER.cli("settings", "--account", "pebble")


def tearDownModule():
    SERVER.stop()
    MANAGER.stop()
    PEBBLE.stop()
    FAKE.stop()
    HOOK.stop()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


def issue(name, *servers):
    words = [word for server in servers for word in ("-s", server)]
    credential = MANAGER.json("request", "-d", name, *words, "--keyring-file",
                              f"{name.split('.')[0]}.kyr")["credential"]
    return credential, MANAGER.wait_issued(credential)["credential"]


def at_ca(view):
    """What Pebble knows of the certificate: (status, reason)."""
    number = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=view["chain"],
                            capture_output=True, text=True, check=True).stdout
    context = ssl.create_default_context(cafile=str(PEBBLE.ca))
    url = (f"https://127.0.0.1:{PEBBLE.admin_port}/cert-status-by-serial/"
           f"{int(number.split('=')[1], 16):x}")
    with urllib.request.urlopen(url, context=context, timeout=30) as reply:
        said = json.loads(reply.read())
    return said["Status"], said.get("Reason")


def wait_status(credential, status, timeout=40):
    before = []  # an error from before what was just asked for is no news: it goes a moment later

    def there():
        view = MANAGER.show(credential)["credential"]
        before.append(view.get("error"))
        if view["status"] != status and before[-1] != before[0] and "error" in view:
            raise lab.LabError(json.dumps(view["error"], indent=1))
        return view if view["status"] == status else None
    return lab.wait_for(f"{credential} to be {status}", there, timeout)


def gone(doc_id):
    try:
        MANAGER.document(doc_id)
    except urllib.error.HTTPError as error:
        return error.code == 404
    return False


BROWSER = []


def user():
    """One browser for all tests: the set-up link is good once."""
    if not BROWSER:
        BROWSER.append(lab.Browser(MANAGER).set_up(MANAGER.setup_link))
    return BROWSER[0]


class Revocation(unittest.TestCase):
    def test_by_account(self):
        credential, view = issue("account.life.example", "alpha")
        self.assertEqual(at_ca(view)[0], "Valid")
        MANAGER.cli("revoke", credential, "--reason", "superseded")
        revoked = wait_status(credential, "revoked")
        self.assertEqual(at_ca(view), ("Revoked", 4))
        self.assertEqual(revoked["revocation"]["signer"], "account")
        self.assertEqual(revoked["revocation"]["published"], [])  # Pebble's leaves name no place
        shown = MANAGER.cli("show", credential).stdout
        self.assertIn("revoked at:", shown)
        self.assertIn("The CA has revoked the certificate. Reason: superseded.",
                      user().get(f"/credentials/{credential}").text)
        self.assertNotIn("next_action_at", revoked)
        done = MANAGER.cli("revoke", credential, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("revoked already", done.stderr)
        # a new certificate by hand; the old one is kept without its key
        MANAGER.cli("renew", credential)
        second = wait_status(credential, "issued")
        self.assertNotEqual(second["fingerprint"], view["fingerprint"])
        self.assertNotIn("revocation", second)
        self.assertEqual(at_ca(second)[0], "Valid")
        kept = MANAGER.document(f"archive:{credential}-{view['fingerprint'][:16]}")
        self.assertEqual(kept["why"], "revoked")
        self.assertNotIn("sealed_key", kept)

    def test_with_a_new_key(self):
        """Revoked are the former certificate and the one before it, when all serve the new one."""
        credential, first = issue("rolled.life.example", "alpha", "bravo")
        MANAGER.cli("renew", credential)
        lab.wait_for("the second certificate", lambda: MANAGER.show(credential)["credential"][
            "fingerprint"] != first["fingerprint"], 40)
        second = wait_status(credential, "issued")
        self.assertEqual(second["public_key_sha256"], first["public_key_sha256"])
        MANAGER.cli("renew", "--new-key", "--revoke", "keyCompromise", credential)
        lab.wait_for("both to be revoked", lambda: at_ca(first) == at_ca(second) ==
                     ("Revoked", 1), 60)
        third = wait_status(credential, "issued")
        self.assertNotEqual(third["public_key_sha256"], first["public_key_sha256"])
        self.assertEqual(at_ca(third)[0], "Valid")
        for receipt in MANAGER.show(credential)["receipts"]:
            self.assertEqual(receipt["fingerprint"], third["fingerprint"])

    def test_by_the_key_that_the_manager_holds(self):
        credential, view = issue("own.life.example", "alpha", "bravo")
        MANAGER.cli("revoke", credential, "--key", "--reason", "1")
        self.assertEqual(wait_status(credential, "revoked")["revocation"]["signer"], "key")
        self.assertEqual(at_ca(view), ("Revoked", 1))
        # a compromised key is not used again
        MANAGER.cli("renew", credential)
        second = wait_status(credential, "issued")
        self.assertNotEqual(second["public_key_sha256"], view["public_key_sha256"])

    def test_by_the_key_that_another_server_holds(self):
        credential, view = issue("holder.life.example", "bravo")
        self.assertFalse(MANAGER.can_open(MANAGER.document(f"keyfile:{credential}")["sealed_key"]))
        MANAGER.cli("revoke", credential, "--key", "--reason", "cessationOfOperation")
        revoked = wait_status(credential, "revoked")
        self.assertEqual(at_ca(view), ("Revoked", 5))
        self.assertEqual(revoked["revocation"]["holder"], "bravo")

    def test_refused_reason(self):
        credential, _view = issue("reason.life.example", "alpha")
        done = MANAGER.cli("revoke", credential, "--reason", "certificateHold", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("reason", done.stderr)
        self.assertEqual(MANAGER.cli("revoke", credential, "--reason", "why not",
                                     check=False).returncode, 2)
        self.assertEqual(MANAGER.show(credential)["credential"]["status"], "issued")


class Run:
    """One case at the fake CA, an account there, a credential of it."""

    def __init__(self, name, ari, **request):
        self.case = FAKE.case(name)
        self.case.ari, self.name = ari, name
        self.request = request

    def submit(self):
        MANAGER.cli("account", "add", self.name, "--directory", self.case.url, "--agree-tos",
                    "--contact", "admin@example.com", "--ca-bundle", FAKE.issuer.ca, "--http-port",
                    HTTP_PORT)
        words = [word for key, value in self.request.items() for word in (f"--{key}", value)]
        self.credential = MANAGER.json("request", "-d", f"{self.name}.fake.example", "-s", "alpha",
                                       "--account", self.name, "--keyring-file",
                                       f"{self.name}.kyr", *words)["credential"]
        return self

    def issued(self):
        return MANAGER.wait_issued(self.credential)["credential"]

    def proposal(self, **want):
        def there():
            view = MANAGER.show(self.credential)["credential"]
            ari = view.get("ari", {})
            return view if all(ari.get(k) == v for k, v in want.items()) and "renew_at" in ari \
                else None
        return lab.wait_for("the CA's proposal", there, 30)

    def renewed(self):
        """As soon as the second certificate is there."""
        def there():
            view = MANAGER.show(self.credential)["credential"]
            return view if self.case.issued >= 2 and view["status"] == "issued" and \
                view["chain"].startswith(self.case.orders[-1].pems[0].strip()) else None
        return lab.wait_for("the renewal", there, 40)


class Refusal(unittest.TestCase):
    """A CA that fails, or does not want: what was asked for stands, is told, and is tried again;
    what becomes of the credential waits for the CA's yes."""

    @classmethod
    def setUpClass(cls):
        """Out of order: the request is tried again for some seconds, while the others go on."""
        cls.run_ = Run("revfail", None).submit()
        cls.issued_ = cls.run_.issued()
        cls.run_.case.fault("revokeCert", faults.error_page(500, times=None))
        MANAGER.cli("revoke", cls.run_.credential, "--reason", "superseded", "--after", "archive")

    def told(self, run, words):
        """As soon as the CA's refusal says this: the credential, and its error."""
        def there():
            view = MANAGER.show(run.credential)["credential"]
            return view if words in str(view.get("error")) else None
        view = lab.wait_for(f"\"{words}\" for {run.name}", there, 60)
        self.assertEqual(view["status"], "revoke_pending")
        self.assertNotIn("revoked_at", view["revocation"])
        self.assertEqual(view["error"]["attempts"], view["attempts"])
        self.assertEqual(view["next_action_at"], view["error"]["next_attempt_at"])
        self.assertTrue(view["error"]["hint"])
        self.assertTrue(MANAGER.document(f"keyfile:{run.credential}")["sealed_key"], "not put away")
        return view

    def again(self, run, browser=None):
        if not browser:
            MANAGER.cli("retry", run.credential)
            return
        page = browser.post(f"/credentials/{run.credential}/retry",
                            browser.hidden(f"/credentials/{run.credential}"))
        self.assertEqual(page.status, 303)

    def events(self, run):
        return [e["event"] for message in HOOK.messages for e in message["events"]
                if e["kind"] == "revocation_failed" and e["key"] == f"revoke:{run.credential}"]

    def test_2_archive_waits_for_the_ca(self):
        run, issued, browser = self.run_, self.issued_, user()
        # out of order: tried again by itself, in a minute and more
        view = self.told(run, "HTTP 500")
        self.assertEqual(view["error"]["retry"], "transient")
        self.assertGreater(epoch(view["next_action_at"]) - epoch(view["revocation"]["asked_at"]), 20)
        asked = {k: view["revocation"][k] for k in ("reason", "after", "fingerprint", "asked_by", "asked_at")}
        self.assertEqual((asked["reason"], asked["after"]), (4, "archive"))
        page = browser.get(f"/credentials/{run.credential}").text
        for words in ("Revoke pending", "The CA is asked to revoke the certificate. Reason: superseded.",
                      "As soon as it has: Archive the credential.", "HTTP 500"):
            self.assertIn(words, page)
        self.assertNotIn("<script>alert", page)
        shown = MANAGER.cli("show", run.credential).stdout
        self.assertRegex(shown, r"revocation asked: +20")
        self.assertRegex(shown, r"afterwards: +archive")
        self.assertRegex(MANAGER.show(run.credential)["next"], "the CA is asked at 20.* to revoke")
        lab.wait_for("the notice", lambda: self.events(run) == ["open"])
        # the reason is none of this CA's: nothing is gained by asking often
        run.case.rules.clear()
        run.case.fault("revokeCert", faults.refuse("badRevocationReason", "not <this> reason", times=None))
        self.again(run, browser)
        view = self.told(run, "not <this> reason")
        self.assertEqual(view["error"]["problem"]["detail"], "not <this> reason")
        self.assertEqual(view["error"]["retry"], "configuration")
        self.assertGreater(epoch(view["next_action_at"]), time.time() + HOUR)
        self.assertIn("not &lt;this&gt; reason", browser.get(f"/credentials/{run.credential}").text)
        # neither this account nor, after it, the certificate's own key
        run.case.rules.clear()
        run.case.fault("revokeCert", faults.refuse("unauthorized", "not you", 403, times=None))
        self.again(run)
        view = self.told(run, "not you")
        self.assertEqual(view["revocation"]["signer"], "key")
        self.assertEqual(view["error"]["problem"]["detail"], "not you")
        self.assertEqual({k: view["revocation"][k] for k in asked}, asked)
        self.assertEqual(self.events(run), ["open"], "one notice, not over")
        # somebody else has revoked it in the meantime: that is what was wanted
        run.case.rules.clear()
        run.case.orders[-1].revoked = True
        self.again(run)
        archived = wait_status(run.credential, "archived")
        self.assertIn("revoked_at", archived["revocation"])
        self.assertEqual({k: archived["revocation"][k] for k in asked}, asked)
        self.assertNotIn("error", archived)
        self.assertIn("the CA knew of it already", MANAGER.cli("log", run.credential).stdout)
        self.assertEqual(archived["chain"], issued["chain"])
        lab.wait_for("the keyfile's end", lambda: gone(f"keyfile:{run.credential}"))
        lab.wait_for("the end of the notice", lambda: self.events(run) == ["open", "resolved"])
        self.assertEqual(run.case.violations, [])

    def test_1_delete_and_keep_wait_for_the_ca(self):
        runs = {after: Run(f"rev{after}", None).submit() for after in ("delete", "keep")}
        for after, run in runs.items():
            run.issued()
            run.case.fault("revokeCert", faults.refuse("badRevocationReason", "none of these", times=None))
            MANAGER.cli("revoke", run.credential, "--after", after)
        for after, run in runs.items():
            self.assertEqual(self.told(run, "none of these")["revocation"]["after"], after)
            run.case.rules.clear()
            self.again(run)
        wait_status(runs["keep"].credential, "revoked")
        lab.wait_for("the removal", lambda: MANAGER.cli("show", runs["delete"].credential, check=False)
                     .returncode == 3)
        for run in runs.values():
            self.assertTrue(run.case.orders[-1].revoked)


def epoch(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Proposals(unittest.TestCase):
    """RFC 9773, reference/acme.md 4.4."""

    @classmethod
    def setUpClass(cls):
        MANAGER.cli("root", "add", FAKE.issuer.root)
        now = int(time.time())
        cls.future = Run("arifuture", lambda order: (now + 20 * DAY, now + 22 * DAY,
                                                     "https://ca.example/why")).submit()
        cls.past = Run("aripast", lambda order: (now - 2 * HOUR, now - HOUR, None)).submit()
        cls.inverted = Run("ariinverted", lambda order: (now + DAY, now, None)).submit()
        cls.broken = Run("aribroken", lambda order: (now - DAY, now - HOUR, None))
        cls.broken.case.fault("renewalInfo", faults.error_page(times=None))
        cls.broken.submit()
        cls.refused = {}
        for variant in faults.REPLACES:
            run = cls.refused[variant] = Run(f"ari{variant.lower()}", lambda order: (
                now - 2 * HOUR, now - HOUR, None) if order.id == 0
                else (now + 20 * DAY, now + 21 * DAY, None))
            run.case.replaces = faults.REPLACES[variant]
            run.submit()

    def test_future(self):
        self.future.issued()
        view = self.future.proposal(explanation_url="https://ca.example/why")
        self.assertGreater(epoch(view["ari"]["renew_at"]), time.time() + 19 * DAY)
        self.assertLess(epoch(view["ari"]["renew_at"]), time.time() + 22 * DAY)
        self.assertEqual(view["next_action_at"], view["ari"]["renew_at"])
        self.assertIn("the CA proposes", MANAGER.show(self.future.credential)["next"])
        self.assertEqual(self.future.case.counts["renewalInfo"], 1)
        page = user().get(f"/credentials/{self.future.credential}")
        self.assertIn("https://ca.example/why", page.text)

    def test_past_is_now_and_replaces(self):
        second = self.past.renewed()
        self.assertIs(self.past.case.orders[1].replaces, self.past.case.orders[0])
        self.assertIn("renewed_at", second["ari"])
        # the CA says the same of the new one: a day at least lies between
        view = self.past.proposal()
        self.assertGreater(epoch(view["ari"]["renew_at"]), time.time() + 20 * HOUR)
        self.assertEqual(len(self.past.case.orders), 2)
        self.assertEqual(self.past.case.violations, [])

    def test_bad_answers_leave_the_usual_time(self):
        for run in (self.inverted, self.broken):
            view = run.issued()
            lab.wait_for("the question", lambda: run.case.counts.get("renewalInfo"), 30)
            time.sleep(0.3)
            after = MANAGER.show(run.credential)["credential"]
            self.assertNotIn("renew_at", after.get("ari", {}))
            self.assertEqual(after["next_action_at"], view["next_action_at"])
            self.assertNotIn("error", after)

    def test_replaces_refused(self):
        """Without `replaces` the second time, at once; the certificate is renewed all the same."""
        for variant, run in self.refused.items():
            with self.subTest(variant):
                run.renewed()
                done = [payload for kind, payload in run.case.said if kind == "newOrder"]
                self.assertEqual(["replaces" in payload for payload in done], [False, True, False])
                said = [step["text"] for step in MANAGER.show(run.credential)["steps"]]
                self.assertTrue([s for s in said if faults.REPLACES[variant][1] in s], said)


class Accounts(unittest.TestCase):
    """A real CA: RFC 8555 7.3.1 to 7.3.6."""

    def add(self, name, *more):
        MANAGER.cli("account", "add", name, "--directory", PEBBLE.url, "--agree-tos", "--contact",
                    f"{name}@example.com", "--ca-bundle", PEBBLE.ca, "--http-port", HTTP_PORT, *more)

    def issue(self, name):
        credential = MANAGER.json("request", "-d", f"{name}.life.example", "-s", "alpha",
                                  "--account", name, "--keyring-file", f"{name}.kyr")["credential"]
        MANAGER.wait_issued(credential)
        return credential

    def document(self, name):
        return MANAGER.document(f"account:{name}")

    def test_life(self):
        self.add("living")
        done = MANAGER.cli("account", "roll-over", "living", check=False)
        self.assertIn("not registered", done.stderr)
        credential = self.issue("living")
        MANAGER.cli("account", "update", "living")
        before = self.document("living")
        MANAGER.cli("account", "find", "living")
        self.assertEqual(self.document("living")["kid"], before["kid"])
        MANAGER.cli("account", "roll-over", "living")
        after = self.document("living")
        self.assertEqual(after["kid"], before["kid"])
        self.assertNotEqual(after["thumbprint"], before["thumbprint"])
        self.assertNotIn("rollover", after)
        MANAGER.cli("account", "find", "living")  # the CA knows the new key
        first = MANAGER.show(credential)["credential"]["fingerprint"]
        MANAGER.cli("renew", credential)          # and orders go on with it
        lab.wait_for("the renewal", lambda: MANAGER.show(credential)["credential"][
            "fingerprint"] != first, 40)
        wait_status(credential, "issued")
        done = MANAGER.cli("account", "delete", "living", check=False)
        self.assertIn("used by 1 credential", done.stderr)
        MANAGER.cli("account", "deactivate", "living")
        self.assertEqual(self.document("living")["status"], "deactivated")
        done = MANAGER.cli("account", "update", "living", check=False)
        self.assertIn("deactivated", done.stderr)
        MANAGER.cli("archive", credential)
        wait_status(credential, "archived")
        MANAGER.cli("account", "delete", "living")
        with self.assertRaises(urllib.error.HTTPError):
            self.document("living")

    def test_contacts(self):
        """Changed here, then told to the CA (RFC 8555 7.3.2)."""
        case = FAKE.case("contacts")

        def contact(mail):
            MANAGER.cli("account", "add", "contacts", "--directory", case.url, "--agree-tos",
                        "--contact", mail, "--ca-bundle", FAKE.issuer.ca, "--http-port", HTTP_PORT)
        contact("first@example.com")
        MANAGER.cli("root", "add", FAKE.issuer.root)
        self.issue("contacts")
        account = next(iter(case.accounts.values()))
        self.assertEqual(account.contact, ["mailto:first@example.com"])
        contact("second@example.com")
        MANAGER.cli("account", "update", "contacts")
        self.assertEqual(account.contact, ["mailto:second@example.com"])
        MANAGER.cli("account", "deactivate", "contacts")
        self.assertEqual(account.status, "deactivated")
        self.assertEqual((len(case.accounts), case.violations), (1, []))

    def test_rollover_goes_on_after_a_kill(self):
        """The answer of the key change is lost, or the change itself, and the server is killed."""
        for name, fault in (("rolllost", faults.lost()), ("rollunreached", faults.unreached())):
            case = FAKE.case(name)
            MANAGER.cli("account", "add", name, "--directory", case.url, "--agree-tos", "--contact",
                        "admin@example.com", "--ca-bundle", FAKE.issuer.ca, "--http-port", HTTP_PORT)
            MANAGER.cli("root", "add", FAKE.issuer.root)
            self.issue(name)
            case.fault("keyChange", fault)
            self.assertNotEqual(MANAGER.cli("account", "roll-over", name, check=False).returncode, 0)
            before = self.document(name)
            self.assertIn("rollover", before)  # both keys are there
            MANAGER.kill()
            MANAGER.start()  # nobody asks for it again
            lab.wait_for("the end of the change",
                         lambda: "rollover" not in self.document(name), 30)
            after = self.document(name)
            self.assertEqual(after["thumbprint"], before["rollover"]["thumbprint"])
            self.assertNotIn("rollover", after)
            MANAGER.cli("account", "find", name)
            self.assertEqual(case.violations, [])

    def test_conflict_keeps_the_key(self):
        case = FAKE.case("rollconflict")
        MANAGER.cli("account", "add", "rollconflict", "--directory", case.url, "--agree-tos",
                    "--contact", "admin@example.com", "--ca-bundle", FAKE.issuer.ca, "--http-port",
                    HTTP_PORT)
        MANAGER.cli("root", "add", FAKE.issuer.root)
        self.issue("rollconflict")
        before = self.document("rollconflict")
        case.fault("keyChange", faults.refuse("conflict", "the key has an account", 409))
        self.assertNotEqual(MANAGER.cli("account", "roll-over", "rollconflict",
                                        check=False).returncode, 0)
        after = self.document("rollconflict")
        self.assertEqual(after["thumbprint"], before["thumbprint"])
        self.assertNotIn("rollover", after)
        MANAGER.cli("account", "update", "rollconflict")


class Away(unittest.TestCase):
    def test_revoke_and_delete(self):
        credential, view = issue("delete.life.example", "alpha")
        MANAGER.wait_receipts(credential, ["alpha"], "deployed")
        keyring = MANAGER.data / "delete.kyr"
        self.assertTrue(keyring.exists())
        MANAGER.cli("revoke", credential, "--after", "delete")
        lab.wait_for("the removal", lambda: gone(f"credential:{credential}") and
                     gone(f"keyfile:{credential}"))
        self.assertEqual(at_ca(view)[0], "Revoked")
        self.assertNotEqual(MANAGER.cli("show", credential, check=False).returncode, 0)
        self.assertTrue(keyring.exists())  # silence never undeploys
        kept = MANAGER.document(f"archive:{credential}-{view['fingerprint'][:16]}")
        self.assertEqual(kept["why"], "deleted")
        lab.wait_for("the archive on the other server", lambda: SERVER.document(
            f"archive:{credential}-{view['fingerprint'][:16]}"))

    def test_form(self):
        credential, view = issue("form.life.example", "alpha")
        page = user().get(f"/credentials/{credential}/end")
        browser = user()
        self.assertEqual(page.status, 200)
        self.assertIn("4: superseded", page.text)
        hidden = page.hidden()
        bad = browser.post(f"/credentials/{credential}/revoke", dict(hidden, reason="9"))
        self.assertEqual(bad.status, 422)
        self.assertIn("does not accept", bad.text)
        done = browser.post(f"/credentials/{credential}/revoke",
                            dict(hidden, reason="4", after="archive"))
        self.assertEqual(done.status, 303)
        archived = wait_status(credential, "archived")
        self.assertEqual(at_ca(view), ("Revoked", 4))
        self.assertIn("revoked_at", archived["revocation"])
        again = browser.get(f"/credentials/{credential}/end")
        self.assertNotIn("/revoke\"", again.text)
        done = browser.post(f"/credentials/{credential}/remove", dict(hidden, how="delete", sure="1"))
        self.assertEqual(done.status, 303)
        lab.wait_for("the removal", lambda: gone(f"credential:{credential}"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
