"""Keys and certificates that come from elsewhere, and leave again: certmgr import and export.

A manager and two servers, one with nginx; the files are made by openssl and read by openssl.
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

NET, HTTP_PORT, TLS_PORT = 225, 22520, 22510
DIRECTORY = CA = MANAGER = BRAVO = CHARLIE = NGINX = None
NAME = "www.brought.example"
PASSWORD = "canary-password-9d4b7"
STATE = {}


def setUpModule():
    global DIRECTORY, CA, MANAGER, BRAVO, CHARLIE, NGINX
    DIRECTORY = Path(tempfile.mkdtemp(prefix="certmgr-import-"))
    CA = Issuer(DIRECTORY / "ca")
    MANAGER = lab.Server(DIRECTORY, "alpha", f"127.0.{NET}.21", challenge_port=HTTP_PORT)
    BRAVO = lab.Server(DIRECTORY, "bravo", f"127.0.{NET}.22", challenge_port=HTTP_PORT)
    CHARLIE = lab.Server(DIRECTORY, "charlie", f"127.0.{NET}.23", challenge_port=HTTP_PORT)
    NGINX = lab.Nginx(BRAVO, TLS_PORT)
    MANAGER.target().init().start()
    CHARLIE.target()
    for server in (BRAVO, CHARLIE):
        server.join(MANAGER).start()
    (DIRECTORY / "password").write_text(PASSWORD + "\n")


def tearDownModule():
    NGINX.stop()
    for server in (CHARLIE, BRAVO, MANAGER):
        server.stop()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


def openssl(*args, data=None):
    return subprocess.run(["openssl", *map(str, args)], input=data, capture_output=True,
                          check=True).stdout


def made(name, host=NAME, key=("EC", "-pkeyopt", "ec_paramgen_curve:P-256")):
    """A key and its certificate as some other program would have left them."""
    path = DIRECTORY / f"{name}.key"
    openssl("genpkey", "-algorithm", *key, "-out", path)
    der = openssl("req", "-new", "-key", path, "-subj", "/", "-addext",
                  f"subjectAltName=DNS:{host}", "-outform", "DER")
    leaf = CA.leaf(der, [host])
    (DIRECTORY / f"{name}.crt").write_text(leaf)
    return path.read_text(), leaf


def import_file(path, *args, check=True):
    return MANAGER.cli("import", path, *args, check=check)


def served():
    return ssl.get_server_certificate((BRAVO.address, TLS_PORT)).strip()


class Import(unittest.TestCase):
    def test_1_pem(self):
        """One pile in any order, the key encrypted; nginx serves it."""
        key, leaf = made("first")
        STATE["key"], STATE["leaf"] = key, leaf
        locked = openssl("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", f"pass:{PASSWORD}",
                         data=key.encode()).decode()
        pile = DIRECTORY / "pile.pem"
        pile.write_text(CA.root.read_text() + locked + CA.intermediate.read_text() + leaf)
        wrong = import_file(pile, "-s", "bravo", check=False)
        self.assertNotEqual(wrong.returncode, 0)
        self.assertIn("encrypted: give its password", wrong.stdout + wrong.stderr)
        done = import_file(pile, "-s", "bravo", "--password-file", DIRECTORY / "password",
                           "--exportable")
        self.assertIn("put into order", done.stderr)
        credential = STATE["credential"] = done.stdout.strip()
        body = MANAGER.wait_issued(credential)["credential"]
        self.assertEqual((body["provider"], body["host_names"], body["key_type"],
                          body["exportable"]), ("import", [NAME], "P-256", True))
        MANAGER.wait_receipts(credential, ["bravo"])
        lab.wait_for("the certificate", lambda: served() == leaf.strip(), 60, 0.2)
        deployed = (BRAVO.data / "keyfile/privkey.pem").read_text()
        self.assertEqual(openssl("pkey", data=deployed.encode()), openssl("pkey", data=key.encode()))
        document = MANAGER.document(f"credential:{credential}")
        self.assertEqual([server.can_open(document["sealed_key"])
                          for server in (MANAGER, BRAVO, CHARLIE)], [True, True, False])

    def test_2_other_servers(self):
        """The key stays; who loses access cannot open what is sealed from then on."""
        MANAGER.cli("change", STATE["credential"], "-s", "charlie")

        def moved():
            body = MANAGER.document(f"credential:{STATE['credential']}")
            return body["status"] == "issued" and body["servers"] == ["charlie"] and body
        body = lab.wait_for("the other server", moved, 60, 0.2)
        self.assertEqual([server.can_open(body["sealed_key"])
                          for server in (MANAGER, BRAVO, CHARLIE)], [True, False, True])
        lab.wait_for("the key there", (CHARLIE.data / "keyfile/privkey.pem").exists, 60, 0.2)
        self.assertEqual(openssl("pkey", "-in", CHARLIE.data / "keyfile/privkey.pem"),
                         openssl("pkey", data=STATE["key"].encode()))

    def test_3_pkcs12(self):
        """As OpenSSL writes it today, and as it was written in the nineties."""
        chain = DIRECTORY / "chain.pem"
        chain.write_text(CA.intermediate.read_text() + CA.root.read_text())
        for name, more in (("new", []), ("old", ["-legacy"])):
            key, leaf = made(name, f"{name}.brought.example", ("RSA", "-pkeyopt",
                                                               "rsa_keygen_bits:2048"))
            path = DIRECTORY / f"{name}.p12"
            openssl("pkcs12", "-export", *more, "-inkey", DIRECTORY / f"{name}.key", "-in",
                    DIRECTORY / f"{name}.crt", "-certfile", chain, "-passout",
                    f"pass:{PASSWORD}", "-out", path)
            wrong = import_file(path, "-s", "charlie", check=False)
            self.assertIn("give its password", wrong.stdout + wrong.stderr)
            credential = import_file(path, "-s", "charlie", "--password-file",
                                     DIRECTORY / "password", "--keyring-file",
                                     f"{name}.kyr").stdout.strip()
            MANAGER.wait_issued(credential)
            there = CHARLIE.data / name / "privkey.pem"
            lab.wait_for("the key there", there.exists, 60, 0.2)
            self.assertEqual(openssl("pkey", "-in", there), openssl("pkey", data=key.encode()))
            STATE[name] = credential, key

    def test_4_export(self):
        out = DIRECTORY / "out.p12"
        for server in (MANAGER, CHARLIE):
            server.cli("export", STATE["credential"], "--out", out, "--password-file",
                       DIRECTORY / "password")
            self.assertEqual(out.stat().st_mode & 0o777, 0o600)
            text = openssl("pkcs12", "-in", out, "-nodes", "-passin", f"pass:{PASSWORD}").decode()
            self.assertEqual(openssl("pkey", data=text.encode()),
                             openssl("pkey", data=STATE["key"].encode()))
            self.assertIn(STATE["leaf"].strip(), text)
            self.assertIn(CA.intermediate.read_text().strip(), text)
        log = MANAGER.process.log.read_text()
        self.assertIn("the key leaves as PKCS #12", log)
        self.assertIn("exported the key as PKCS #12", log)
        self.assertIn("exported as PKCS #12 (by", MANAGER.cli("log", STATE["credential"]).stdout)
        # who may not: no recipient; a key that was not marked; a password that protects nothing
        done = BRAVO.cli("export", STATE["credential"], "--out", out, "--password-file",
                         DIRECTORY / "password", check=False)
        self.assertIn("bravo has no access to the key", done.stdout + done.stderr)
        self.assertIn("on a server that has it: ", done.stdout + done.stderr)
        done = MANAGER.cli("export", STATE["new"][0], "--out", out, "--password-file",
                           DIRECTORY / "password", check=False)
        self.assertIn("not exportable", done.stdout + done.stderr)
        (DIRECTORY / "weak").write_text("aaaaaaaaaaaaaa\n")
        done = MANAGER.cli("export", STATE["credential"], "--out", out, "--password-file",
                           DIRECTORY / "weak", check=False)
        self.assertIn("at least 12 characters", done.stdout + done.stderr)

    def test_5_the_next_certificate(self):
        """Nothing renews it; people import the next one into the same credential and files."""
        credential = STATE["credential"]
        done = MANAGER.cli("renew", credential, check=False)
        self.assertEqual(done.returncode, 4, done)
        self.assertIn("nothing renews an imported certificate", done.stderr)
        self.assertIn("certmgr import --credential", done.stderr)
        key, leaf = made("next")
        pile = DIRECTORY / "next.pem"
        pile.write_text(key + leaf + CA.intermediate.read_text())
        import_file(pile, "--credential", credential)
        lab.wait_for("the key there", lambda: openssl(
            "pkey", "-in", CHARLIE.data / "keyfile/privkey.pem") == openssl(
                "pkey", data=key.encode()), 60, 0.2)
        body = MANAGER.document(f"credential:{credential}")
        self.assertEqual((body["key_generation"], body.get("exportable"), body["servers"]),
                         (2, None, ["charlie"]))
        STATE["next"] = credential, key

    def test_6_no_secret_is_left(self):
        needles = {"the password": PASSWORD.encode()}
        for name in ("new", "old", "next"):
            lines = STATE[name][1].splitlines()
            needles[f"the key {name}"] = lines[2 if len(lines) == 5 else -4].encode()
        for server in (MANAGER, BRAVO, CHARLIE):
            state = server.root / "var/lib/certmgr"
            files = [server.process.log, *state.glob("store/*"), *state.glob("tls/*")]
            for what, needle in needles.items():
                for path in files:
                    self.assertFalse(needle in path.read_bytes(), f"{what} in {path.name}")
        with open(f"/proc/{MANAGER.pid_of('front-process')}/mem", "rb", 0) as memory:
            for row in Path(f"/proc/{MANAGER.pid_of('front-process')}/maps").read_text().splitlines():
                span, mode = row.split()[:2]
                start, end = (int(x, 16) for x in span.split("-"))
                if mode[0] != "r" or "[v" in row or end - start > 1 << 31:
                    continue
                try:
                    memory.seek(start)
                    chunk = memory.read(end - start)
                except (OSError, OverflowError, ValueError):
                    continue
                for what, needle in needles.items():
                    self.assertFalse(needle in chunk, f"{what} in the front's memory")


if __name__ == "__main__":
    unittest.main(verbosity=2)
