"""Every kind of key, twins of the same names, alternate chains, and a CA that demands a binding (EAB)."""

import base64
import os
import re
import subprocess
import time
import unittest

import lab

FLEET = BROWSER = None
HMAC = os.urandom(32)
KID = "kid-of-the-lab"
TYPES = {"P-256": "prime256v1", "P-384": "secp384r1", "RSA-2048": "(2048 bit",
         "RSA-3072": "(3072 bit", "RSA-4096": "(4096 bit"}


class Alone(lab.Fleet):
    names = ("alpha",)

    def start(self):
        self.pebble.start(self.manager.address)
        self.manager.init().start()
        return self


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def setUpModule():
    global FLEET, BROWSER
    FLEET = Alone(net=181, base=16100, http_port=5181, pebble_env={
        "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_ALTERNATE_ROOTS": "2", "PEBBLE_CHAIN_LENGTH": "1"})
    FLEET.pebble.settings.update(externalAccountBindingRequired=True,
                                 externalAccountMACKeys={KID: b64url(HMAC)})
    FLEET.start()
    BROWSER = lab.Browser(FLEET.manager).set_up(FLEET.manager.setup_link)


def tearDownModule():
    if FLEET:
        FLEET.stop()


def request(name, *extra):
    return FLEET.manager.json("request", "-d", name, "-s", "alpha", *extra)["credential"]


def openssl(*args):
    return subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True,
                          check=True).stdout


class Binding(unittest.TestCase):
    """RFC 8555 7.3.4 against a CA that does not register anybody without it."""

    def add(self, *extra, stdin=None):
        pebble = FLEET.pebble
        return FLEET.manager.cli("account", "add", "bound", "--directory", pebble.url,
                                 "--agree-tos", "--ca-bundle", pebble.ca, "--http-port",
                                 pebble.http_port, *extra, check=False, stdin=stdin)

    def test_1_what_is_missing_or_wrong_is_said(self):
        done = self.add()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("bound to an account", done.stderr)
        for key, words in (("", "belong together"), (" ", "missing"), ("no base64!", "base64")):
            done = self.add("--eab-kid", KID, "--eab-hmac-file", "-", stdin=key)
            self.assertNotEqual(done.returncode, 0, key)
            self.assertIn(words, done.stderr)

    def test_2_form(self):
        """The error stands at its field; the secret does not come back."""
        page = BROWSER.post("/accounts", dict(
            BROWSER.hidden("/accounts/new?preset=other"), name="bound",
            directory=FLEET.pebble.url, contacts="", ca_pem=FLEET.pebble.ca.read_text(),
            http_port=str(FLEET.pebble.http_port), terms_agreed="1", self_check="1", eab_kid=KID,
            eab_hmac="not!base64"))
        self.assertEqual(page.status, 422)
        self.assertRegex(page.text, r'id="eab_hmac-error"')
        self.assertNotIn("not!base64", page.text)
        self.assertIn(f'value="{KID}"', page.text)

    def test_3_bound(self):
        # As some portals hand it out: encoded twice, in lines.  The CA refuses the first reading.
        twice = base64.b64encode(b64url(HMAC).encode()).decode()
        key = FLEET.directory / "hmac"
        key.write_text(f"{twice[:20]}\n{twice[20:]}\n")
        done = self.add("--eab-kid", KID, "--eab-hmac-file", key)
        self.assertEqual(done.returncode, 0, done.stderr)
        key.unlink()
        _, _, account = FLEET.manager.api("GET", "/accounts/bound")
        self.assertEqual(account["eab"]["kid"], KID)
        self.assertEqual(account["eab"]["key_bytes"], len(b64url(HMAC)))
        self.assertTrue(account["eab"]["two_readings"])
        self.assertNotIn("jws", account["eab"])
        self.assertRegex(FLEET.manager.cli("account", "list").stdout, r"bound +new +0 days old +https")
        shown = FLEET.manager.cli("account", "show", "bound").stdout
        for words in (rf"bound by: +{KID}", r"\(0 days old\)", "both readings are tried", "not registered yet", FLEET.pebble.url):
            self.assertRegex(shown, words)
        self.assertEqual(FLEET.manager.json("account", "show", "bound")["account"]["eab"], account["eab"])
        FLEET.manager.cli("root", "add", FLEET.pebble.root())
        FLEET.manager.cli("settings", "--account", "bound")
        FLEET.manager.wait_issued(request("bound.keys.example", "--keyring-file", "bound.kyr"))
        _, _, account = FLEET.manager.api("GET", "/accounts/bound")
        self.assertEqual(account["status"], "valid")
        document = FLEET.manager.document("account:bound")
        for part in ("jws", "jws_other"):
            self.assertNotIn(part, document["eab"], "the binding has served its purpose")
        needles = (HMAC, b64url(HMAC).encode(), base64.b64encode(HMAC)[:40], twice[:40].encode())
        for path in FLEET.manager.root.rglob("*"):
            try:
                data = path.read_bytes() if path.is_file() else b""
            except FileNotFoundError:
                continue  # it was only being written, and has another name now
            self.assertFalse(any(needle in data for needle in needles), path)


class Keys(unittest.TestCase):
    def test_1_every_type(self):
        """One of each at once: the slow ones hold up neither the agent nor the API."""
        made, slowest = {}, 0.0
        for key_type in reversed(TYPES):  # RSA-4096 first
            made[key_type] = request(f"{key_type.lower()}.keys.example", "--key-type", key_type,
                                     "--keyring-file", f"{key_type.lower()}.kyr")
            begun = time.monotonic()
            self.assertEqual(FLEET.manager.api("GET", "/status")[0], 200)
            slowest = max(slowest, time.monotonic() - begun)
        self.assertLess(slowest, 2.0)
        for key_type, credential in made.items():
            document = FLEET.manager.wait_issued(credential)["credential"]
            FLEET.manager.wait_receipts(credential, ["alpha"], state="deployed")
            pair = FLEET.manager.data / key_type.lower()
            text = openssl("pkey", "-noout", "-text", "-in", pair / "privkey.pem")
            self.assertIn(TYPES[key_type], text)
            self.assertEqual(openssl("pkey", "-pubout", "-in", pair / "privkey.pem"),
                             openssl("x509", "-noout", "-pubkey", "-in", pair / "fullchain.pem"))
            self.assertEqual(document["key_type"], key_type)

    def test_2_twins(self):
        """RSA and ECDSA for the same names: two credentials, two keyrings, both deployed."""
        twins = {}
        for key_type in ("P-256", "RSA-2048"):
            twins[key_type] = request("twin.keys.example", "-d", "www.twin.keys.example",
                                      "--key-type", key_type, "--keyring-file",
                                      f"twin-{key_type[0].lower()}.kyr")
        sans = []
        for key_type, credential in twins.items():
            sans.append(sorted(FLEET.manager.wait_issued(credential)["credential"]["san"]))
            FLEET.manager.wait_receipts(credential, ["alpha"], state="deployed")
            pair = FLEET.manager.data / f"twin-{key_type[0].lower()}"
            self.assertIn(TYPES[key_type],
                          openssl("pkey", "-noout", "-text", "-in", pair / "privkey.pem"))
        self.assertEqual(sans[0], sans[1])
        same = FLEET.manager.cli("request", "-d", "twin.keys.example", "-s", "alpha",
                                 "--keyring-file", "twin-p.kyr", check=False)
        self.assertIn("twin-p.kyr", same.stderr)  # a keyring belongs to one credential


class Chains(unittest.TestCase):
    """Pebble signs with three roots; a credential names the one that it wants."""

    def roots(self, credential):
        steps = FLEET.manager.show(credential)["steps"]
        return re.findall(r'leads to "([^"]*)"', " ".join(step["text"] for step in steps))

    def test_alternate(self):
        unknown = request("none.keys.example", "--alternate-chain", "No Such Root",
                          "--keyring-file", "none.kyr")
        view = FLEET.manager.wait_issued(unknown)
        found = self.roots(unknown)
        self.assertEqual(len(set(found)), 3, found)
        default, wanted = found[0], found[2]
        self.assertTrue(any("default one is used" in step["text"] and step["level"] == "warn"
                            for step in view["steps"]), view["steps"])
        chosen = request("chosen.keys.example", "--alternate-chain", wanted.upper(),
                         "--keyring-file", "chosen.kyr")
        chain = FLEET.manager.wait_issued(chosen)["credential"]["chain"]
        self.assertEqual(self.roots(chosen)[-1], wanted)
        for text, root in ((chain, wanted), (view["credential"]["chain"], default)):
            last = text[text.rindex("-----BEGIN"):]
            issuer = subprocess.run(["openssl", "x509", "-noout", "-issuer"], input=last,
                                    capture_output=True, text=True, check=True).stdout
            self.assertIn(root, issuer)
        numbered = request("numbered.keys.example", "--alternate-chain", "#2",
                           "--keyring-file", "numbered.kyr")
        FLEET.manager.wait_issued(numbered)
        self.assertEqual(self.roots(numbered)[-1], wanted)


if __name__ == "__main__":
    unittest.main(verbosity=2)
