"""The main job on real parts, and what must hold around it."""

import json
import os
import signal
import subprocess
import unittest
import urllib.error
from pathlib import Path

import lab

FLEET = None
BROWSER = None


def setUpModule():
    global FLEET, BROWSER
    FLEET = lab.Fleet(net=41, base=26000, http_port=5022)
    FLEET.start()
    BROWSER = lab.Browser(FLEET.manager).set_up(FLEET.manager.setup_link)


def tearDownModule():
    FLEET.stop()


def keyring(server, base="keyfile"):
    return FLEET.server[server].data / base


class MainPath(unittest.TestCase):
    def test_1_form_to_served(self):
        """Form -> issued -> sealed -> replicated -> deployed -> served; nobody else can open it."""
        for name in ("shop.main.example", "www.shop.main.example"):
            FLEET.pebble.address(name, FLEET.server["charlie"].address)
        credential = BROWSER.request(
            host_names="shop.main.example\nwww.shop.main.example, 日本語.main.example\n"
                       "WWW.shop.main.example", provider="acme", account="pebble",
            key_type="P-256", servers=["bravo", "charlie"], keyring_file="keyfile.kyr",
            renew_days="30")
        FLEET.manager.wait_issued(credential)
        view = FLEET.manager.wait_receipts(credential, ["bravo", "charlie"])
        document = view["credential"]
        self.assertEqual(sorted(document["san"]), ["shop.main.example", "www.shop.main.example",
                                                   "xn--wgv71a119e.main.example"])
        self.assertNotIn("sealed_key", document)
        for name in ("bravo", "charlie"):
            nginx = FLEET.nginx[name]
            self.assertEqual(lab.served_fingerprint(nginx.server.address, nginx.port,
                                                    "shop.main.example"), document["fingerprint"])
        self.check_files(credential)
        self.check_sealing(credential)
        page = BROWSER.get(f"/credentials/{credential}")
        self.assertEqual(page.status, 200)
        self.assertIn("日本語.main.example", page.text)
        self.assertIn("xn--wgv71a119e.main.example", page.text)

    def check_files(self, credential):
        for name in ("bravo", "charlie"):
            kyr = keyring(name).with_suffix(".kyr")
            text = kyr.read_text()
            self.assertEqual(kyr.stat().st_mode & 0o777, 0o600)
            order = [text.index("PRIVATE KEY"), text.index("BEGIN CERTIFICATE")]
            self.assertEqual(order, sorted(order), "the key comes first")
            self.assertGreaterEqual(text.count("BEGIN CERTIFICATE"), 3, "leaf, intermediate, root")
            full = (keyring(name) / "fullchain.pem").read_text()
            self.assertEqual(full.count("BEGIN CERTIFICATE"), 2, "no root in fullchain.pem")
            self.assertEqual((keyring(name) / "privkey.pem").stat().st_mode & 0o777, 0o600)
        self.assertEqual(list(FLEET.manager.data.iterdir()), [], "alpha is not listed")
        self.assertNotIn(f"keyfile:{credential}", FLEET.manager.tail(500))

    def check_sealing(self, credential):
        for kind in ("credential", "keyfile"):
            sealed = FLEET.server["bravo"].document(f"{kind}:{credential}")["sealed_key"]
            self.assertTrue(FLEET.server["bravo"].can_open(sealed))
            self.assertTrue(FLEET.server["charlie"].can_open(sealed))
            self.assertFalse(FLEET.manager.can_open(sealed), "the manager is no recipient")

    def test_2_cli_request_rsa(self):
        """The same through the command line, on a server that is not the manager, with RSA."""
        bravo = FLEET.server["bravo"]
        reply = bravo.json("request", "-d", "rsa.main.example", "-s", "bravo", "--key-type",
                           "RSA-2048", "--keyring-file", "rsa.kyr", "--account", "pebble")
        credential = reply["credential"]
        FLEET.manager.wait_issued(credential)
        FLEET.manager.wait_receipts(credential, ["bravo"], state="failed")  # nginx serves another
        listed = {c["id"]: c for c in FLEET.manager.json("list")["credentials"]}
        self.assertEqual(listed[credential]["status"], "issued")
        key = subprocess.run(["openssl", "pkey", "-in", str(keyring("charlie") / "privkey.pem"),
                              "-noout", "-text"], capture_output=True, text=True, check=True)
        self.assertIn("prime256v1", key.stdout)

    def test_3_processes_restart(self):
        """Front and agent are restarted when killed, and go on working."""
        for process in ("agent-process", "front-process"):
            old = FLEET.manager.pid_of(process)
            os.kill(old, signal.SIGKILL)
            lab.wait_for(f"a new {process}",
                         lambda: FLEET.manager.pid_of(process) not in (None, old), 15)
            FLEET.manager.ready()
        # for alpha: charlie's nginx serves another file, and would be looked at for long (test_4)
        credential = FLEET.manager.json("request", "-d", "after.main.example", "-s", "alpha",
                                        "--keyring-file", "after.kyr")["credential"]
        FLEET.manager.wait_issued(credential)

    def test_4_server_away_catches_up(self):
        """A server that was down gets everything from its checkpoint when it is back."""
        charlie = FLEET.server["charlie"]
        charlie.kill()
        credential = FLEET.manager.json("request", "-d", "away.main.example", "-s", "charlie",
                                        "--keyring-file", "away.kyr")["credential"]
        FLEET.manager.wait_issued(credential)
        self.assertFalse(keyring("charlie", "away.kyr").exists())
        charlie.start()
        lab.wait_for("charlie's keyring", keyring("charlie", "away.kyr").exists, 60)

    def test_5_outsiders(self):
        """Replication needs a key of the fleet; a wrong one does not even finish the handshake."""
        import ssl
        import urllib.request
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        url = f"https://{FLEET.manager.address}:8444/certstore"
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url, context=context, timeout=30)
        self.assertIn(caught.exception.code, (401, 403))
        stranger = FLEET.directory / "stranger"
        stranger.mkdir()
        lab.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-keyout", stranger / "key.pem", "-out",
                 stranger / "cert.pem", "-days", "30", "-subj", "/CN=bravo"])
        context.load_cert_chain(stranger / "cert.pem", stranger / "key.pem")
        with self.assertRaises((OSError, urllib.error.URLError)):
            urllib.request.urlopen(url, context=context, timeout=30)

    def test_6_tokens_are_for_one_use_and_name(self):
        token = FLEET.manager.json("server", "add", "delta")["token"]
        delta = lab.Server(FLEET.directory, "delta", "127.0.0.44", FLEET.pebble,
                           challenge_port=5022).target().configure()
        echo = lab.Server(FLEET.directory, "echo", "127.0.0.45", FLEET.pebble,
                          challenge_port=5022).target().configure()
        refused = echo.cli("join", "-", stdin=token + "\n", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("delta", refused.stderr)
        delta.cli("join", "-", stdin=token + "\n")
        again = delta.cli("join", "-", stdin=token + "\n", check=False)
        self.assertEqual(again.returncode, 4, again.stderr)
        names = [s["name"] for s in FLEET.manager.json("server", "list")["servers"]]
        self.assertIn("delta", names)

    def test_7_forged_documents(self):
        """A member of the fleet cannot write for others: refused per document, kept for a look."""
        bravo = FLEET.server["bravo"]
        listed = FLEET.manager.json("list")["credentials"][0]["id"]
        honest = bravo.document(f"credential:{listed}")
        forged = dict(honest, _rev="999-" + "f" * 32, servers=["bravo", "charlie", "delta"])
        request = {"_id": "request:01J0000000000000000000000A", "_rev": "1-" + "a" * 32,
                   "type": "request", "serial": honest["serial"] + 1, "action": "issue",
                   "credential": "01J0000000000000000000000B", "base_serial": 0,
                   "at": "2026-11-22T00:00:00.000Z", "fields": {"host_names": ["evil.example"]},
                   "by": {"who": "x", "via": "api", "server": "charlie"},
                   "signature": dict(honest["signature"], by="charlie")}
        older = dict(honest, _rev="2-" + "b" * 32, serial=1)
        for document in (forged, request, older):
            reply = bravo.replication("POST", "/_bulk_docs",
                                      {"new_edits": False, "docs": [document]})
            self.assertEqual(reply[0]["error"], "forbidden", reply)
            self.assertTrue(reply[0]["reason"])
        # The manager itself may have written it again (the CA is asked about each some time).
        there = bravo.document(f"credential:{listed}")
        self.assertNotIn(there["_rev"], (forged["_rev"], older["_rev"]))
        self.assertGreaterEqual(there["serial"], honest["serial"])
        self.assertEqual(there["servers"], honest["servers"])
        _, _, body = FLEET.manager.api("GET", "/quarantine")
        kept = {row["id"]: row for row in body["quarantine"]}
        self.assertIn(request["_id"], kept)
        self.assertEqual(kept[request["_id"]]["peer"], "bravo")


class BadInput(unittest.TestCase):
    """A clear error at the field or argument; nothing is lost."""

    def refuse(self, expected, *args):
        done = FLEET.manager.cli("request", *args, "--json", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(expected.lower(), done.stderr.lower())
        return done

    def test_names(self):
        many = [w for i in range(31) for w in ("-d", f"n{i}.many.example")]
        self.refuse("30", *many, "-s", "bravo")
        self.refuse("-bad", "-d", "-bad.example", "-s", "bravo")
        self.refuse("dns-01", "-d", "*.wild.example", "-s", "bravo")
        self.refuse("address", "-d", "*.192.0.2.1", "-s", "bravo")
        self.refuse("nosuch", "-d", "a.example", "-s", "nosuch")

    def test_duplicates_are_folded_and_said_once(self):
        done = FLEET.manager.cli("request", "-d", "dup.main.example", "-d", "DUP.main.example", "-d",
                                 "dup.main.example.", "-s", "bravo", "--keyring-file", "dup.kyr")
        self.assertEqual(done.stderr.lower().count("dup.main.example"), 1, done.stderr)
        FLEET.manager.wait_issued(done.stdout.strip())

    def test_form_keeps_what_was_typed(self):
        fields = dict(BROWSER.hidden("/credentials/new"), host_names="ok.example\n<b>.example",
                      provider="acme", account="pebble", key_type="P-256", servers=["bravo"],
                      keyring_file="x.kyr", renew_days="30")
        page = BROWSER.post("/credentials", fields)
        self.assertEqual(page.status, 422)
        self.assertIn("&lt;b&gt;.example", page.text)
        self.assertNotIn("<b>.example", page.text)
        self.assertIn("ok.example", page.text)

    def test_csrf(self):
        fields = dict(BROWSER.hidden("/credentials/new"), host_names="csrf.example",
                      servers=["bravo"])
        page = BROWSER.post("/credentials", fields, {"Origin": "https://evil.example",
                                                     "Sec-Fetch-Site": "cross-site"})
        self.assertEqual(page.status, 403)
        token = next(k for k, v in fields.items() if "csrf" in k)
        page = BROWSER.post("/credentials", dict(fields, **{token: "0" * 43}))
        self.assertEqual(page.status, 403)

    def test_unreachable_ca(self):
        """The document is left in a state a person understands, with the next attempt's time."""
        conf = FLEET.manager.root / "etc/certmgr/certmgr.conf"
        refused = FLEET.manager.cli("account", "add", "foreign", "--directory",
                                    "https://127.0.0.1:1/dir", "--agree-tos", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("allowed_cas", refused.stderr)
        conf.write_text(conf.read_text().replace("allowed_cas =",
                                                 "allowed_cas = https://127.0.0.1:1"))
        FLEET.manager.stop()
        FLEET.manager.start()
        FLEET.manager.cli("account", "add", "foreign", "--directory", "https://127.0.0.1:1/dir",
                          "--agree-tos")
        credential = FLEET.manager.json("request", "-d", "noca.main.example", "-s", "bravo",
                                        "--account", "foreign", "--keyring-file",
                                        "noca.kyr")["credential"]
        view = lab.wait_for("the failure", lambda: next(
            (v for v in [FLEET.manager.show(credential)]
             if v.get("credential", {}).get("status") == "error"), None), 60, 0.2)
        error = view["credential"]["error"]
        self.assertIn("127.0.0.1", json.dumps(error))
        self.assertTrue(view["credential"]["next_action_at"])
        self.assertTrue(error["what"])

    def test_taken_port(self):
        """A taken challenge port turns that listener yellow and never stops the server."""
        import socket
        with socket.socket() as taken:
            taken.bind(("127.0.0.46", 5022))
            taken.listen()
            foxtrot = lab.Server(FLEET.directory, "foxtrot", "127.0.0.46", FLEET.pebble,
                                 challenge_port=5022).target()
            foxtrot.join(FLEET.manager).start()
            try:
                listeners = {row["name"]: row for row in foxtrot.json("status")["listeners"]}
                self.assertEqual(listeners["challenge"]["state"], "failed")
                self.assertIn("5022", listeners["challenge"]["error"])
            finally:
                foxtrot.stop()


class Deployment(unittest.TestCase):
    """Failures on the server: the receipt tells, the manager shows it."""

    def request(self, name, target):
        credential = FLEET.manager.json(
            "request", "-d", f"{name}.deploy.example", "-s", "bravo", "--keyring-file",
            f"{name}.kyr", "--target", target)["credential"]
        FLEET.manager.wait_issued(credential)
        view = FLEET.manager.wait_receipts(credential, ["bravo"], state="failed")
        receipt = view["receipts"][0]
        self.assertTrue(receipt["error"]["what"])
        self.assertTrue(receipt["error"].get("next_attempt_at"), receipt)
        return receipt

    @classmethod
    def setUpClass(cls):
        bravo = FLEET.server["bravo"]
        fail = FLEET.directory / "fail"
        fail.write_text("#!/bin/sh\necho the config is broken >&2\nexit 3\n")
        hang = FLEET.directory / "hang"
        hang.write_text("#!/bin/sh\nsleep 600\n")
        for script in (fail, hang):
            script.chmod(0o755)
        for name in ("failing", "hanging"):
            (FLEET.directory / f"data-{name}").mkdir()
        bravo.target("failing", directory=FLEET.directory / "data-failing", test=fail)
        bravo.target("hanging", directory=FLEET.directory / "data-hanging", reload=hang,
                     hook_timeout=1)
        bravo.target("gone", directory=FLEET.directory / "data-gone")
        bravo.stop()
        bravo.configure().start()

    def test_hook_fails(self):
        receipt = self.request("failing", "failing")
        self.assertIn("the config is broken", json.dumps(receipt["error"]))
        self.assertFalse(Path(FLEET.directory / "data-failing/failing.kyr").exists(),
                         "rolled back")

    def test_hook_hangs(self):
        receipt = self.request("hanging", "hanging")
        self.assertIn("time limit", json.dumps(receipt["error"]))

    def test_directory_gone(self):
        receipt = self.request("gone", "gone")
        self.assertIn("data-gone", json.dumps(receipt["error"]))

    def test_target_unknown_here(self):
        receipt = self.request("nowhere", "nowhere")
        self.assertIn("nowhere", json.dumps(receipt["error"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
