"""Certificates of one minute: renewed by themselves and by hand, and never a gap on the wire."""

import hashlib
import json
import socket
import ssl
import subprocess
import threading
import time
import unittest

import lab

LIFE = 60  # seconds; renewal when a third is left
FLEET = BROWSER = None
CREDENTIAL = {}
POLLERS = {}


class Poller(threading.Thread):
    """A client that checks everything (chain, name, dates, key), again and again."""

    def __init__(self, nginx, name):
        super().__init__(daemon=True)
        self.address, self.name_wanted = (nginx.server.address, nginx.port), name
        self.context = ssl.create_default_context(cafile=str(FLEET.pebble.root()))
        self.failures, self.seen, self.count, self.ended = [], [], 0, False

    def run(self):
        while not self.ended:
            try:
                with socket.create_connection(self.address, timeout=20) as raw:
                    with self.context.wrap_socket(raw, server_hostname=self.name_wanted) as tls:
                        leaf = hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()
                if leaf not in self.seen:
                    self.seen.append(leaf)
                self.count += 1
            except OSError as error:  # an ssl.SSLError is one, too
                self.failures.append(f"{time.monotonic():.2f} {error!r}")
            time.sleep(0.05)


def request(name, server, *extra):
    return FLEET.manager.json("request", "-d", name, "-s", server, *extra)["credential"]


def issued(**asked):
    """Waits for them. Each test asks for its own: a slow machine is not to meet renewals that begin
    by themselves, 40 seconds after the issue."""
    for name, credential in asked.items():
        CREDENTIAL[name] = FLEET.manager.wait_issued(credential)["credential"]


def here(name, *extra):
    return request(f"{name}.renewal.example", "alpha", "--keyring-file", f"{name}.kyr", *extra)


def setUpModule():
    global FLEET, BROWSER
    FLEET = lab.Fleet(net=171, base=16000, http_port=5171,
                      pebble_env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"})
    FLEET.pebble.settings["certificateValidityPeriod"] = LIFE
    FLEET.start()
    FLEET.add_account("direct", "--no-self-check")
    FLEET.manager.cli("settings", "--account", "pebble")
    BROWSER = lab.Browser(FLEET.manager).set_up(FLEET.manager.setup_link)
    issued(keep=request("keep.renewal.example", "bravo"),
           roll=request("roll.renewal.example", "charlie", "--key-rollover", "every_renewal"))
    for name, server in (("keep", "bravo"), ("roll", "charlie")):
        FLEET.manager.wait_receipts(number(name), [server])
        POLLERS[name] = Poller(FLEET.nginx[server], f"{name}.renewal.example")
        POLLERS[name].start()


def tearDownModule():
    for poller in POLLERS.values():
        poller.ended = True
    if FLEET:
        FLEET.stop()


def number(name):
    return CREDENTIAL[name]["_id"].split(":")[1]


def now(name):
    return FLEET.manager.show(number(name))


def renewed(name, old, timeout=30):
    """The credential once it is issued with another certificate than the old one."""
    def is_new():
        document = now(name)["credential"]
        return document if (document["status"] == "issued" and
                            document["fingerprint"] != old["fingerprint"]) else None
    return lab.wait_for(f"{name} to be renewed", is_new, timeout, 0.2)


def public_key(server, keyring, part):
    command = {"privkey.pem": ["openssl", "pkey", "-pubout", "-in"],
               "fullchain.pem": ["openssl", "x509", "-noout", "-pubkey", "-in"]}[part]
    path = FLEET.server[server].data / keyring / part
    return subprocess.run([*command, str(path)], capture_output=True, text=True,
                          check=True).stdout


class Renewal(unittest.TestCase):
    def test_1_pause_and_break(self):
        """What shall not be renewed, and what cannot be: their ends are looked at in test_5."""
        issued(paused=here("paused"), broken=here("broken", "--account", "direct"))
        FLEET.manager.cli("change", number("paused"), "--pause")
        lab.wait_for("the pause", lambda: now("paused")["credential"].get("paused"))
        FLEET.pebble.address("broken.renewal.example", "127.0.0.179")  # nobody answers there

    def test_2_by_hand(self):
        issued(hand=here("hand"))
        before = CREDENTIAL["hand"]
        FLEET.manager.cli("renew", number("hand"))
        kept = renewed("hand", before)
        self.assertEqual(kept["public_key_sha256"], before["public_key_sha256"])
        self.assertEqual(kept["key_generation"], 1)
        FLEET.manager.cli("renew", "--new-key", number("hand"))
        rolled = renewed("hand", kept)
        self.assertNotEqual(rolled["public_key_sha256"], kept["public_key_sha256"])
        self.assertEqual(rolled["key_generation"], 2)
        FLEET.manager.wait_receipts(number("hand"), ["alpha"], state="deployed")
        lab.wait_for("the new pair of files", lambda: public_key("alpha", "hand", "privkey.pem") ==
                     public_key("alpha", "hand", "fullchain.pem"))
        self.assertEqual([line["action"] for line in now("hand")["history"]],
                         ["issue", "renew", "roll_over"])
        nobody = FLEET.manager.cli("renew", "01J00000000000000000000000", number("hand"),
                                   check=False)
        self.assertNotEqual(nobody.returncode, 0)  # but the other one is asked for
        self.assertIn(f"{number('hand')}: renewal asked for", nobody.stdout)

    def test_3_several_by_form_and_changes(self):
        issued(bulk1=here("bulk1"), bulk2=here("bulk2"))
        fields = BROWSER.hidden("/credentials?view=expiry")
        page = BROWSER.post("/credentials/renew", dict(
            fields, view="expiry", id=[number("bulk1"), number("bulk2"), number("bulk1")],
            new_key="1"))
        self.assertEqual((page.status, page.headers["Location"]),
                         (303, "/credentials?view=expiry&renewed=2"))
        for name in ("bulk1", "bulk2"):
            self.assertEqual(renewed(name, CREDENTIAL[name])["key_generation"], 2)
        issued(edit=here("edit"))
        status, _, taken = FLEET.manager.api("PATCH", f"/credentials/{number('edit')}",
                                             {"host_names": ["edit.renewal.example",
                                                             "more.renewal.example"]})
        self.assertEqual(status, 202, taken)
        edited = renewed("edit", CREDENTIAL["edit"])
        self.assertEqual(edited["san"], ["edit.renewal.example", "more.renewal.example"])
        self.assertEqual(edited["key_generation"], 2)
        FLEET.manager.cli("change", number("edit"), "--keyring-file", "moved.kyr")
        lab.wait_for("the moved keyring", (FLEET.manager.data / "moved.kyr").exists)
        self.assertEqual(now("edit")["credential"]["status"], "issued")
        status, _, problem = FLEET.manager.api("PATCH", f"/credentials/{number('edit')}",
                                               {"base_serial": 1, "renew_days": 5})
        self.assertEqual(status, 409, problem)

    def test_4_by_themselves(self):
        """The first renewals come after 40 seconds; servers follow; keys are kept or rolled."""
        for name, server in (("keep", "bravo"), ("roll", "charlie")):
            before = CREDENTIAL[name]
            after = renewed(name, before, LIFE)
            self.assertEqual(after["public_key_sha256"] == before["public_key_sha256"],
                             name == "keep")
            view = FLEET.manager.wait_receipts(number(name), [server])
            lab.wait_for(f"the receipt of {name}", lambda: any(
                r["fingerprint"] == now(name)["credential"]["fingerprint"]
                for r in now(name)["receipts"]), 30)
            self.assertEqual(public_key(server, "keyfile", "privkey.pem"),
                             public_key(server, "keyfile", "fullchain.pem"))
            self.assertTrue(any("Renewal (" in step["text"] for step in view["steps"]))

    def test_5_ends_are_told_and_come_back(self):
        """A failed renewal goes on failing soon, not in an hour; both ends are told at their time."""
        lab.wait_for("the failure", lambda: "error" in now("broken")["credential"], 60, 0.2)
        self.assertEqual(now("broken")["credential"]["fingerprint"],
                         CREDENTIAL["broken"]["fingerprint"])
        for name in ("paused", "broken"):
            lab.wait_for(f"{name} to expire", lambda: now(name)["credential"]["health"]["color"] ==
                         "red", 60, 0.2)
            text = json.dumps(now(name))
            self.assertIn("expired", text)
        self.assertGreaterEqual(now("broken")["credential"]["attempts"], 2)
        lab.wait_for("its end to be noted", lambda: now("paused")["credential"]["status"] ==
                     "expired")  # what is shown as red is reckoned when it is shown
        before = {name: now(name)["credential"] for name in ("paused", "broken")}
        FLEET.pebble.forget("broken.renewal.example")
        FLEET.manager.cli("change", number("paused"), "--resume")
        for name in ("paused", "broken"):
            after = renewed(name, before[name], 60)
            self.assertEqual(after["health"]["color"], "green")
            self.assertNotIn("error", after)

    def test_6_nobody_noticed(self):
        """All the while a strict client never failed, and saw more than one certificate."""
        for name, poller in POLLERS.items():
            poller.ended = True
            poller.join(10)
            self.assertEqual(poller.failures, [], name)
            self.assertGreaterEqual(len(poller.seen), 2, name)
            self.assertGreater(poller.count, 100, name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
