"""The fake CA is fair: clients written by others get certificates from it, by HTTP-01."""

import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import lab

sys.path.insert(0, str(lab.SOURCE / "tests/fakeca"))
from fakeca import FakeCA  # noqa: E402

CA_PORT, HTTP_PORT = 12480, 5102
NAMES = ("a.peers.example", "b.peers.example")

UACME_HOOK = """#!/bin/sh
# begin METHOD IDENT TOKEN AUTH
case "$1.$2" in
begin.http-01) printf %s "$5" >"$WEB_ROOT/.well-known/acme-challenge/$4" ;;
begin.*) exit 1 ;;
*) rm -f "$WEB_ROOT/.well-known/acme-challenge/$4" ;;
esac
"""


class Peers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="certmgr-peers-"))
        cls.ca = FakeCA(cls.directory / "ca", CA_PORT, ("127.0.0.1", HTTP_PORT)).start()

    @classmethod
    def tearDownClass(cls):
        cls.ca.stop()
        shutil.rmtree(cls.directory, ignore_errors=True)

    def case(self, name):
        case = self.ca.case(name)
        case.pause = 1  # lego waits 5 s otherwise
        return case

    def run_client(self, args, **env):
        if not shutil.which(args[0]):
            self.skipTest(f"{args[0]} is not installed")
        done = subprocess.run([str(a) for a in args], env=dict(os.environ, **env), text=True,
                              capture_output=True, check=False, timeout=240)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def check(self, case, chain):
        """One order, one certificate for our names, under the CA's root; nothing odd was asked."""
        self.assertEqual((len(case.orders), case.issued, case.violations), (1, 1, []), case.log)
        done = subprocess.run(["openssl", "verify", "-CAfile", self.ca.issuer.root, "-untrusted",
                               chain, "-verify_hostname", NAMES[1], chain], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_certbot(self):
        case, home = self.case("certbot"), self.directory / "certbot"
        self.run_client(["certbot", "certonly", "-n", "--server", case.url, "--agree-tos", "-m",
                         "a@example.com", "--no-eff-email", "--standalone", "--http-01-port",
                         HTTP_PORT, "--http-01-address", "127.0.0.1", "--config-dir", home / "etc",
                         "--work-dir", home / "work", "--logs-dir", home / "log",
                         *(w for n in NAMES for w in ("-d", n))],
                        REQUESTS_CA_BUNDLE=str(self.ca.issuer.ca))
        self.check(case, home / "etc/live" / NAMES[0] / "fullchain.pem")

    def test_lego(self):
        case, home = self.case("lego"), self.directory / "lego"
        self.run_client(["lego", "--path", home, "-s", case.url, "-a", "-m", "a@example.com",
                         "--http", "--http.port", f"127.0.0.1:{HTTP_PORT}",
                         *(w for n in NAMES for w in ("-d", n)), "run"],
                        LEGO_CA_CERTIFICATES=str(self.ca.issuer.ca))
        self.check(case, home / "certificates" / f"{NAMES[0]}.crt")

    def test_uacme(self):
        """uacme trusts the system's bundle alone: it runs where that file is ours."""
        case, home = self.case("uacme"), self.directory / "uacme"
        root = home / "web"
        (root / ".well-known/acme-challenge").mkdir(parents=True)
        (home / "hook").write_text(UACME_HOOK)
        (home / "hook").chmod(0o755)

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(root))

            def log_message(self, *args):
                pass

        web = http.server.ThreadingHTTPServer(("127.0.0.1", HTTP_PORT), Quiet)
        threading.Thread(target=web.serve_forever, args=(0.05,), daemon=True).start()
        inside = ["unshare", "-rm", "sh", "-c",
                  'mount --bind "$TRUST" /etc/ssl/certs/ca-certificates.crt && exec "$@"', "sh"]
        if subprocess.run(inside[:2] + ["true"], capture_output=True, check=False).returncode:
            self.skipTest("no mount namespaces here")
        try:
            for words in (["-y", "new", "a@example.com"],
                          ["-h", home / "hook", "issue", *NAMES]):
                if not shutil.which("uacme"):
                    self.skipTest("uacme is not installed")
                self.run_client([*inside, "uacme", "-a", case.url, "-c", home / "conf", "-t", "EC",
                                 *words], TRUST=str(self.ca.issuer.ca), WEB_ROOT=str(root))
        finally:
            web.shutdown()
            web.server_close()
        self.check(case, home / "conf" / NAMES[0] / "cert.pem")


if __name__ == "__main__":
    unittest.main(verbosity=2)
