"""A certificate that is not in force yet is not served (reference/acme.md N5).

A manager and a server with nginx against the fake CA, whose OCSP responder hears of certificates
late: nginx goes on serving the former one until the responder says good, or until the latest time,
over restarts of the server and without the manager.
"""

import datetime
import shutil
import ssl
import sys
import tempfile
import time
import unittest
from pathlib import Path

import lab

sys.path[:0] = [str(lab.SOURCE / "tests/fakeca"), str(lab.SOURCE / "tests/fakes")]
from fakeca import FakeCA  # noqa: E402
from ocsp import Responder  # noqa: E402

NET, HTTP_PORT, CA_PORT, DNS_PORT, OCSP_PORT, TLS_PORT = 204, 24080, 24100, 24153, 24160, 24443
DIRECTORY = CA = DNS = RESPONDER = CASE = MANAGER = SERVER = NGINX = CREDENTIAL = None


def setUpModule():
    global DIRECTORY, CA, DNS, RESPONDER, CASE, MANAGER, SERVER, NGINX
    DIRECTORY = Path(tempfile.mkdtemp(prefix="certmgr-activation-"))
    alpha, bravo = f"127.0.{NET}.11", f"127.0.{NET}.12"
    CA = FakeCA(DIRECTORY / "ca", CA_PORT, (alpha, HTTP_PORT)).start()
    CASE = CA.case("late")
    RESPONDER = Responder(DIRECTORY / "ocsp", OCSP_PORT, CA.issuer).start()
    CASE.ocsp, CASE.authz_reuse = RESPONDER.url, True
    DNS = lab.Process("dns", ["pebble-challtestsrv", "-management", f"127.0.0.1:{DNS_PORT + 2}",
                              "-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01",
                              f"127.0.0.1:{DNS_PORT}", "-defaultIPv6", "", "-defaultIPv4", alpha],
                      DIRECTORY).start()
    MANAGER = lab.Server(DIRECTORY, "alpha", alpha, challenge_port=HTTP_PORT,
                         directory_url=f"https://127.0.0.1:{CA_PORT}/")
    SERVER = lab.Server(DIRECTORY, "bravo", bravo, challenge_port=HTTP_PORT)
    for server in (MANAGER, SERVER):
        server.extra = f"[network]\nresolver = 127.0.0.1:{DNS_PORT}\n"
    NGINX = lab.Nginx(SERVER, TLS_PORT)
    MANAGER.target().init().start()
    MANAGER.cli("root", "add", CA.issuer.root)
    SERVER.join(MANAGER).start()


def tearDownModule():
    NGINX.stop()
    SERVER.stop()
    MANAGER.stop()
    DNS.stop()
    RESPONDER.stop()
    CA.stop()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


def account(*extra):
    MANAGER.cli("account", "add", "late", "--directory", CASE.url, "--agree-tos", "--contact",
                "admin@example.com", "--ca-bundle", CA.issuer.ca, "--http-port", HTTP_PORT, *extra)


def served():
    """The certificate that nginx shows, as PEM."""
    return ssl.get_server_certificate((SERVER.address, TLS_PORT)).strip()


def newest():
    """The one that the CA issued last."""
    return CASE.orders[-1].pems[0].strip()


def certificate(view):
    return view["credential"].get("fingerprint")


def renewed(before):
    """Renews with a new key; the view as soon as the next certificate is there."""
    MANAGER.cli("renew", CREDENTIAL, "--new-key")

    def over():
        view = MANAGER.show(CREDENTIAL)
        error = view["credential"].get("error")
        if error:
            raise lab.LabError(f"{error}")
        return view if certificate(view) not in (None, before) and \
            view["credential"]["status"] == "issued" else None
    return lab.wait_for("the next certificate", over, 60, 0.1)


def arrived(fingerprint):
    """The server has the document of this certificate, and waits."""
    def there():
        done = SERVER.cli("show", CREDENTIAL, "--json", check=False).stdout
        return fingerprint in done
    lab.wait_for("the certificate on bravo", there, 60, 0.2)


def epoch(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Activation(unittest.TestCase):
    def still(self, before, until=None):
        """Right after a reload the workers from before may still answer, so look until it is so.
        until: it need not be so any more from then on, however long a look has taken."""
        self.assertNotEqual(before, newest())

        def over():
            return until is not None and time.time() >= until
        lab.wait_for("the former certificate", lambda: served() == before or over(), 30, 0.1)
        shown = served()
        if not over():
            self.assertEqual(shown, before)

    def test_1_at_once(self):
        global CREDENTIAL
        account()
        CREDENTIAL = MANAGER.json("request", "-d", "www.late.example", "-s", "bravo", "--account",
                                  "late")["credential"]
        view = MANAGER.wait_issued(CREDENTIAL)
        self.assertNotIn("activation", view["credential"])
        MANAGER.wait_receipts(CREDENTIAL, ["bravo"])
        self.assertEqual(served(), newest())
        self.assertEqual(RESPONDER.asked, [])

    def test_2_when_the_responder_says_good(self):
        before, old = newest(), certificate(MANAGER.show(CREDENTIAL))
        account("--activation", "ocsp", "--activation-seconds", "3600")
        RESPONDER.fault = "unauthorized"
        view = renewed(old)
        self.assertEqual(view["credential"]["activation"]["by"], "ocsp")
        self.assertEqual(view["credential"]["activation"]["url"], RESPONDER.url)
        self.assertAlmostEqual(epoch(view["credential"]["activation"]["from"]) - time.time(), 3600,
                               delta=120)
        arrived(certificate(view))
        lab.wait_for("two questions", lambda: len(RESPONDER.asked) >= 2, 60, 0.1)
        self.still(before)
        self.assertIn("at the latest; the CA's OCSP responder is being asked",
                      MANAGER.cli("show", CREDENTIAL).stdout)
        SERVER.kill()
        SERVER.start()
        RESPONDER.fault, RESPONDER.late, asked = None, None, len(RESPONDER.asked)
        lab.wait_for("one more question", lambda: [
            answer for _, _, answer in RESPONDER.asked[asked:] if answer == "unknown"], 90, 0.1)
        self.still(before)
        self.assertEqual([r["fingerprint"] for r in MANAGER.show(CREDENTIAL)["receipts"]], [old])
        MANAGER.kill()  # and another front goes on asking
        MANAGER.start()
        RESPONDER.late = 0.0
        lab.wait_for("the new certificate", lambda: served() == newest(), 90, 0.2)
        self.assertEqual(RESPONDER.asked[-1][2], "good")
        view = lab.wait_for("the credential to say so", lambda: next(
            (v for v in [MANAGER.show(CREDENTIAL)] if v["credential"]["activation"]["by"] == "good"),
            None), 60, 0.2)
        MANAGER.wait_receipts(CREDENTIAL, ["bravo"])
        self.assertIn("says good: the certificate is in force",
                      " ".join(s["text"] for s in view["steps"]))

    def test_3_the_latest_time_needs_nobody(self):
        before, old = newest(), certificate(MANAGER.show(CREDENTIAL))
        account("--activation", "ocsp", "--activation-seconds", "20")
        RESPONDER.fault = "huge"
        view = renewed(old)
        arrived(certificate(view))
        latest = epoch(view["credential"]["activation"]["from"])
        self.still(before, latest)
        MANAGER.stop()
        lab.wait_for("the new certificate", lambda: served() == newest(), 90, 0.1)
        self.assertGreaterEqual(time.time(), latest)
        MANAGER.start()
        lab.wait_for("the manager to say so", lambda: MANAGER.show(CREDENTIAL)["credential"]
                     ["activation"]["by"] == "limit", 60, 0.2)
        MANAGER.wait_receipts(CREDENTIAL, ["bravo"])

    def test_4_a_delay(self):
        before, old = newest(), certificate(MANAGER.show(CREDENTIAL))
        account("--activation", "delay", "--activation-seconds", "10")
        RESPONDER.fault, asked = None, len(RESPONDER.asked)
        view = renewed(old)
        begin = epoch(view["credential"]["activation"]["from"])
        arrived(certificate(view))
        self.still(before, begin)
        lab.wait_for("the new certificate", lambda: served() == newest(), 90, 0.1)
        self.assertGreaterEqual(time.time(), begin)
        self.assertEqual(len(RESPONDER.asked), asked)


if __name__ == "__main__":
    unittest.main(verbosity=2)
