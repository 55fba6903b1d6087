"""Certificates that people bring: CSR out by command, page or API, certificate in, deployed.

A manager and a server with nginx; the CA is openssl and knows nothing of ACME.
"""

import shutil
import ssl
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import lab

sys.path[:0] = [str(lab.SOURCE / "tests/fakeca")]
from issuer import Issuer  # noqa: E402

NET, HTTP_PORT, TLS_PORT = 214, 24280, 24243
DIRECTORY = CA = MANAGER = SERVER = NGINX = CREDENTIAL = BROWSER = None
NAME = "www.byhand.example"


def setUpModule():
    global DIRECTORY, CA, MANAGER, SERVER, NGINX, BROWSER
    DIRECTORY = Path(tempfile.mkdtemp(prefix="certmgr-csr-"))
    CA = Issuer(DIRECTORY / "ca")
    MANAGER = lab.Server(DIRECTORY, "alpha", f"127.0.{NET}.21", challenge_port=HTTP_PORT)
    SERVER = lab.Server(DIRECTORY, "bravo", f"127.0.{NET}.22", challenge_port=HTTP_PORT)
    NGINX = lab.Nginx(SERVER, TLS_PORT)
    MANAGER.target().init().start()
    BROWSER = lab.Browser(MANAGER).set_up(MANAGER.setup_link)
    SERVER.join(MANAGER).start()


def tearDownModule():
    NGINX.stop()
    SERVER.stop()
    MANAGER.stop()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


def served():
    return ssl.get_server_certificate((SERVER.address, TLS_PORT)).strip()


def csr():
    """The CSR that is out, as DER; openssl checks its signature and names."""
    def out():
        done = MANAGER.cli("csr", "show", CREDENTIAL, check=False)
        return done.stdout if done.returncode == 0 else None
    pem = lab.wait_for("the CSR", out, 60, 0.2)
    return subprocess.run(["openssl", "req", "-outform", "DER"], input=pem.encode(),
                          capture_output=True, check=True).stdout


def signed(der, names=(NAME,)):
    assert CA.csr_names(der) == {NAME}
    return CA.leaf(der, names)


def whole(leaf):
    return leaf + CA.intermediate.read_text() + CA.root.read_text()


def deployed(leaf):
    MANAGER.wait_receipts(CREDENTIAL, ["bravo"])
    lab.wait_for("the certificate", lambda: served() == leaf.strip(), 60, 0.2)


class ByHand(unittest.TestCase):
    def test_1_by_command(self):
        global CREDENTIAL
        CREDENTIAL = MANAGER.json("request", "-d", NAME, "-s", "bravo", "--provider",
                                  "manual")["credential"]
        leaf = signed(csr())
        wrong = MANAGER.cli("csr", "upload", CREDENTIAL, "-", check=False, stdin=leaf)
        self.assertNotEqual(wrong.returncode, 0)
        self.assertIn("\"Fake ACME intermediate\" is missing", wrong.stdout + wrong.stderr)
        path = DIRECTORY / "answer.txt"
        path.write_text("Dear customer,\n" + CA.root.read_text() + CA.intermediate.read_text() +
                        "\nyour certificate:\n" + leaf)
        done = MANAGER.cli("csr", "upload", CREDENTIAL, path)
        self.assertIn("put into order", done.stderr)
        view = MANAGER.wait_issued(CREDENTIAL)
        self.assertEqual(view["credential"]["health"]["color"], "green")
        deployed(leaf)
        self.assertEqual(MANAGER.cli("csr", "show", CREDENTIAL, check=False).returncode != 0, True)

    def test_2_a_new_key_while_the_old_serves(self):
        before = served()
        MANAGER.cli("csr", "new", CREDENTIAL, "--new-key")
        der = csr()
        MANAGER.kill()  # the CSR is out for weeks: it survives that
        MANAGER.start()
        self.assertEqual(csr(), der)
        self.assertEqual(served(), before)
        leaf = signed(der)
        status, _, _ = MANAGER.api("POST", f"/credentials/{CREDENTIAL}/certificate",
                                   {"certificate": CA.leaf(CA.other_csr([NAME]), [NAME])})
        self.assertEqual(status, 422)
        status, _, said = MANAGER.api("POST", f"/credentials/{CREDENTIAL}/certificate",
                                      {"certificate": whole(leaf)})
        self.assertEqual((status, said["credential"]), (202, CREDENTIAL))
        lab.wait_for("the second", lambda: MANAGER.show(CREDENTIAL)["credential"]
                     ["key_generation"] == 2, 60, 0.2)
        deployed(leaf)
        self.assertNotEqual(leaf.strip(), before)

    def test_3_by_page(self):
        MANAGER.cli("csr", "new", CREDENTIAL)
        leaf = signed(csr())
        page = f"/credentials/{CREDENTIAL}/csr"
        self.assertIn("BEGIN CERTIFICATE REQUEST", BROWSER.get(page).text)
        self.assertIn("BEGIN CERTIFICATE REQUEST", BROWSER.get(page + ".pem").text)
        hidden = BROWSER.hidden(page)
        answer = BROWSER.post(f"/credentials/{CREDENTIAL}/certificate",
                              dict(hidden, certificate="-----BEGIN PRIVATE KEY-----\nAAAA\n"))
        self.assertEqual(answer.status, 422)
        self.assertIn("There is a private key in the text", answer.text)
        answer = BROWSER.post(f"/credentials/{CREDENTIAL}/certificate",
                              dict(hidden, certificate=whole(leaf)))
        self.assertEqual(answer.status, 303)
        deployed(leaf)
        self.assertEqual(MANAGER.show(CREDENTIAL)["credential"]["key_generation"], 2)

    def test_4_at_another_server(self):
        """What is handed in on a server goes up to the manager as a request."""
        MANAGER.cli("csr", "new", CREDENTIAL, "--new-key")
        leaf = signed(csr())
        lab.wait_for("the same CSR on bravo", lambda: SERVER.cli(
            "csr", "show", CREDENTIAL, check=False).stdout == MANAGER.cli(
                "csr", "show", CREDENTIAL).stdout, 60, 0.2)
        SERVER.cli("csr", "upload", CREDENTIAL, "-", stdin=whole(leaf))
        lab.wait_for("the third", lambda: MANAGER.show(CREDENTIAL)["credential"]
                     ["key_generation"] == 3, 60, 0.2)
        deployed(leaf)


if __name__ == "__main__":
    unittest.main(verbosity=2)
