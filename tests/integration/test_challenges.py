"""Proofs of control against Pebble: TLS-ALPN-01, addresses (RFC 8737, 8738), answered by any server."""
import hashlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest
from pathlib import Path

import lab

NET, HTTP_PORT, TLS_PORT = "127.0.21", 21080, 21443
NOBODY = f"{NET}.9"  # nothing listens there
DIRECTORY = Path(tempfile.mkdtemp(prefix="certmgr-challenges-"))
PEBBLE = lab.Pebble(DIRECTORY / "ca", HTTP_PORT, 21000,
                    {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0",
                     "PEBBLE_AUTHZREUSE": "0"}, tls_port=TLS_PORT)
PEBBLE.admin_port = 21900


def server(name, number):
    made = lab.Server(DIRECTORY, name, f"{NET}.{number}", PEBBLE, challenge_port=HTTP_PORT)
    made.tls_challenge_port = TLS_PORT
    return made.target()


ALPHA, BRAVO = server("alpha", 1), server("bravo", 2)


def setUpModule():
    PEBBLE.start(ALPHA.address)
    ALPHA.init().start()
    BRAVO.join(ALPHA).start()
    account("pebble")
    ALPHA.cli("root", "add", PEBBLE.root())


def tearDownModule():
    for running in (BRAVO, ALPHA, PEBBLE):
        running.stop()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


def account(name, *extra):
    ALPHA.cli("account", "add", name, "--directory", PEBBLE.url, "--agree-tos", "--contact",
              "admin@example.com", "--ca-bundle", PEBBLE.ca, "--http-port", HTTP_PORT,
              "--tls-port", TLS_PORT, *extra)


def request(*names, challenge=None, **fields):
    words = [w for name in names for w in ("-d", name)]
    for key, value in dict({"account": "pebble", "server": "bravo"}, **fields).items():
        words += [f"--{key.replace('_', '-')}", value]
    if challenge:
        words += ["--challenge", challenge]
    file = hashlib.sha256(repr((names, challenge)).encode()).hexdigest()[:12] + ".kyr"
    return ALPHA.json("request", *words, "--keyring-file", file)["credential"]


def steps(credential):
    return "\n".join(step["text"] for step in ALPHA.show(credential)["steps"])


def hello(address, name, protocols):
    """The certificate (DER) shown for a server name and ALPN list, and the protocol chosen."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # self-signed by design
    if protocols:
        context.set_alpn_protocols(protocols)
    with socket.create_connection((address, TLS_PORT), 30) as plain:
        with context.wrap_socket(plain, server_hostname=name) as tls:
            return tls.getpeercert(binary_form=True), tls.selected_alpn_protocol()


def openssl(*args, data):
    done = subprocess.run(["openssl", *args], input=data, capture_output=True, check=True)
    return done.stdout.decode()


class Issued(unittest.TestCase):
    def test_tls_alpn_by_a_server_that_is_not_the_manager(self):
        PEBBLE.address("alpn.challenge.example", BRAVO.address)
        credential = request("alpn.challenge.example", challenge="tls-alpn-01")
        view = ALPHA.wait_issued(credential)
        self.assertEqual(view["credential"]["san"], ["alpn.challenge.example"])
        self.assertEqual(view["credential"]["challenge"], "tls-alpn-01")
        self.assertIn("1 name to prove: 1 by tls-alpn-01", steps(credential))
        self.assertIn("Self-check", steps(credential))
        lab.wait_for("the tokens to be gone", lambda: ALPHA.document(
            f"challenge:{credential}")["tokens"] == [])  # written after the certificate

    def test_chosen_in_the_account(self):
        account("by-tls", "--challenge", "tls-alpn-01")
        PEBBLE.address("account.challenge.example", BRAVO.address)
        credential = request("account.challenge.example", account="by-tls")
        ALPHA.wait_issued(credential)
        self.assertIn("by tls-alpn-01", steps(credential))
        # the credential's own choice goes first
        credential = request("own.challenge.example", account="by-tls", challenge="http-01")
        ALPHA.wait_issued(credential)
        self.assertIn("by http-01", steps(credential))

    def test_addresses(self):
        for challenge in ("http-01", "tls-alpn-01"):
            PEBBLE.address("mixed.challenge.example", ALPHA.address)
            credential = request(BRAVO.address, "mixed.challenge.example", challenge=challenge)
            view = ALPHA.wait_issued(credential)
            self.assertEqual(sorted(view["credential"]["san"]),
                             [BRAVO.address, "mixed.challenge.example"])
            self.assertIn(f"2 names to prove: 2 by {challenge}", steps(credential))
            text = openssl("x509", "-noout", "-ext", "subjectAltName",
                           data=view["credential"]["chain"].encode())
            self.assertIn(f"IP Address:{BRAVO.address}", text)
            self.assertIn("DNS:mixed.challenge.example", text)

    def test_a_wildcard_is_not_proved_so(self):
        done = ALPHA.cli("request", "-d", "*.challenge.example", "--account", "pebble", "-s",
                         "bravo", "--challenge", "tls-alpn-01", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("DNS-01", done.stderr)


class BehindHAProxy(unittest.TestCase):
    def test_passed_on_unopened(self):
        """The shipped lines for ALPN acme-tls/1, word for word but the addresses."""
        address = f"{NET}.4"
        shipped = (lab.SOURCE / "packaging/haproxy/certmgr-challenge.cfg").read_text()
        lines = "\n".join(re.findall(r"(?m)^#tls-alpn: (.*)$", shipped))
        for old, new in ((":443", f"{address}:{TLS_PORT}"), ("127.0.0.1:8443", f"{address}:21444"),
                         ("127.0.0.1:8481", f"{BRAVO.address}:{TLS_PORT}")):
            self.assertEqual(lines.count(old), 1, old)
            lines = lines.replace(old, new)
        file = DIRECTORY / "haproxy.cfg"
        file.write_text("defaults\n    timeout connect 5s\n    timeout client 10s\n"
                        f"    timeout server 10s\n{lines}\n")
        haproxy = lab.Process("haproxy", ["haproxy", "-db", "-f", file], DIRECTORY).start()
        self.addCleanup(haproxy.stop)
        PEBBLE.address("behind.challenge.example", address)
        ALPHA.wait_issued(request("behind.challenge.example", challenge="tls-alpn-01"))


class Listener(unittest.TestCase):
    def refused(self, name, protocols):
        with self.assertRaises(ssl.SSLError) as caught:
            hello(BRAVO.address, name, protocols)
        return str(caught.exception).lower().replace("_", " ")

    def test_nobody_elses_name_and_protocol(self):
        self.assertIn("unrecognized name", self.refused("foreign.example", ["acme-tls/1"]))
        self.assertIn("unrecognized name", self.refused(None, ["acme-tls/1"]))
        for protocols in (None, ["http/1.1"], ["h2", "http/1.1"]):
            self.assertIn("no application protocol", self.refused("foreign.example", protocols))

    def test_the_certificate_and_the_wait_for_it(self):
        """The self-check holds the order back while the name leads elsewhere; every server shows
        the challenge meanwhile, and OpenSSL's own tools read it as RFC 8737 wants it."""
        name = "held.challenge.example"
        PEBBLE.address(name, NOBODY)
        credential = request(name, challenge="tls-alpn-01")

        def shown():
            try:
                return hello(BRAVO.address, name, ["acme-tls/1"])
            except (ssl.SSLError, OSError):
                return None
        der, protocol = lab.wait_for("the challenge at bravo", shown)
        self.assertEqual(protocol, "acme-tls/1")
        token = ALPHA.document(f"challenge:{credential}")["tokens"][0]
        self.assertEqual((token["type"], token["host"]), ("tls-alpn-01", name))
        digest = hashlib.sha256(token["key_authorization"].encode()).hexdigest().upper()
        lines = openssl("asn1parse", "-inform", "DER", data=der).splitlines()
        at = next(i for i, line in enumerate(lines)
                  if "1.3.6.1.5.5.7.1.31" in line or "acmeIdentifier" in line)
        self.assertIn("BOOLEAN", lines[at + 1])
        self.assertTrue(lines[at + 1].rstrip().endswith("255"), lines[at + 1])
        self.assertTrue(lines[at + 2].rstrip().endswith("0420" + digest), lines[at + 2])
        text = openssl("x509", "-inform", "DER", "-noout", "-text", data=der)
        self.assertEqual(text.count("DNS:"), 1)
        self.assertIn(f"DNS:{name}", text)
        self.assertIn("prime256v1", text)
        self.assertIn(ALPHA.show(credential)["credential"]["status"], ("pending", "waiting"))
        with self.assertRaises(ssl.SSLError):  # never under another protocol
            hello(BRAVO.address, name, ["h2"])
        PEBBLE.address_only(name, BRAVO.address)
        ALPHA.wait_issued(credential)
        lab.wait_for("bravo to hear that it is over", lambda: shown() is None)
        self.assertIn("unrecognized name", self.refused(name, ["acme-tls/1"]))

    def test_a_taken_port_is_told_and_tried_again(self):
        with socket.socket() as taken:
            charlie = server("charlie", 3)
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((charlie.address, TLS_PORT))
            taken.listen(1)
            charlie.join(ALPHA).start()
            self.addCleanup(charlie.stop)
            self.assertIn("tls_challenge", " ".join(charlie.closed_listeners()))
        lab.wait_for("the listener to open", lambda: not charlie.closed_listeners(), 60)
        with self.assertRaises(ssl.SSLError):
            hello(charlie.address, "foreign.example", ["acme-tls/1"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
