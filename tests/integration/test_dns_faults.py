"""Name servers with faults, and orders that have to wait for them: two of BIND behind relays.

The secondary lags, breaks or cuts its answers; the CA must not be told before both show the value,
because it may ask either (RFC 8555 8.4).
"""

import tempfile
import unittest
from pathlib import Path

import lab
from lab_dns import Named, Relay

NET, PORT, BASE, HTTP_PORT = "127.0.207", 27070, 27000, 27080
ZONE = "faults.test"
NXDOMAIN, SERVFAIL, TXT = 3, 2, 16
FLEET = None


class Laboratory:
    def __init__(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="certmgr-dnsfaults-")
        d = Path(self.scratch.name)
        self.pebble = lab.Pebble(d / "pebble", http_port=HTTP_PORT, base=BASE,
                                 env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0",
                                      "PEBBLE_AUTHZREUSE": "0"})
        self.primary = Named(d, f"{NET}.2", PORT, zones=[ZONE], secondaries=[f"{NET}.3"],
                             forwarder=self.pebble.resolver)
        # Pebble has a way of its own to BIND, which shows when it looks.
        self.looks = []
        self.to_pebble = Relay(f"{NET}.4", PORT, self.primary.own_port)
        self.to_pebble.fate = lambda message: self.looks.append(question(message)[0])
        self.pebble.start(f"{NET}.1", dns_server=f"{NET}.4:{PORT}")
        self.primary.start()
        self.secondary = Named(d, f"{NET}.3", PORT, primary=self.primary, name="secondary").start()
        self.server = lab.Server(d, "alpha", f"{NET}.1", self.pebble, ui_port=27043,
                                 replication_port=27044, challenge_port=HTTP_PORT).target()
        self.pebble.resolver = self.primary.server
        self.server.extra = f"[network]\ndns_port = {PORT}\n"
        self.server.init().start()
        self.server.cli("root", "add", self.pebble.root())
        self.server.cli("account", "add", "pebble", "--directory", self.pebble.url, "--agree-tos",
                        "--ca-bundle", self.pebble.ca, "--http-port", HTTP_PORT)
        self.server.cli("settings", "--account", "pebble", "--server", "alpha")
        secret = d / "tsig"
        secret.write_text(self.primary.secret + "\n")
        self.server.cli("dns", "add", "bind", "--kind", "rfc2136", "-d", ZONE, "--option",
                        f"server={self.primary.server}", "--option", "key_name=certmgr", "--option",
                        "ttl=1", "--secret-file", f"tsig_secret={secret}", "--limit", "120")

    def stop(self):
        self.server.stop()
        self.secondary.stop()
        self.primary.stop()
        self.pebble.stop()
        self.to_pebble.stop()
        self.scratch.cleanup()


def setUpModule():
    global FLEET
    FLEET = Laboratory()


def tearDownModule():
    if FLEET:
        FLEET.stop()


def question(message):
    """(name, kind, end of the question) of a DNS message (RFC 1035 4.1)."""
    at, labels = 12, []
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels).lower(), int.from_bytes(message[at + 1:at + 3], "big"), at + 5


def bare(answer, flags=0, rcode=0):
    """The answer without records."""
    head = bytes((answer[2] | flags, answer[3] & 0xf0 | rcode))
    return answer[:2] + head + b"\0\1\0\0\0\0\0\0" + answer[12:question(answer)[2]]


def mixed(answer):
    """The name of the question (and what points to it) in other letters (RFC 4343: the same)."""
    end = question(answer)[2] - 4
    return answer[:12] + answer[12:end].swapcase() + answer[end:]


class Faulty:
    """What a relay does to answers about challenges, while it lasts; and how often it was done."""

    def __init__(self, relay, act, times=None):
        self.relay, self.act, self.left, self.hits = relay, act, times, 0

    def __call__(self, answer, udp):
        name, kind, _ = question(answer)
        if kind != TXT or not name.startswith("_acme-challenge.") or self.left == 0:
            return answer
        changed = self.act(answer, udp)
        if changed is not answer:
            self.hits += 1
            self.left = self.left and self.left - 1
        return changed

    def __enter__(self):
        self.relay.alter = self
        return self

    def __exit__(self, *_):
        self.relay.alter = lambda answer, udp: answer


def request(name):
    return FLEET.server.json("request", "-d", f"{name}.{ZONE}", "-s", "alpha")["credential"]


def credential_of(credential):
    return FLEET.server.show(credential)["credential"]


def validations(name):
    """How often Pebble looked for the value of a name."""
    return FLEET.looks.count(f"_acme-challenge.{name}.{ZONE}")


class Waits(unittest.TestCase):
    def tearDown(self):
        lab.wait_for("the zone to be clean", lambda: not [
            line for line in lab.run(["dig", f"@{NET}.2", "-p", str(PORT), "+noall", "+answer", "-t",
                                      "AXFR", ZONE]).splitlines() if "TXT" in line.split()])

    def test_a_secondary_that_lags(self):
        """As long as one of two has the old zone, nothing is told to the CA."""
        with Faulty(FLEET.secondary.relay, lambda a, udp: bare(a, rcode=NXDOMAIN)) as stale:
            credential = request("lags")
            lab.wait_for("some looks", lambda: stale.hits >= 3, 60)
            self.assertEqual(len(FLEET.primary.dig(f"_acme-challenge.lags.{ZONE}")), 1)
            self.assertEqual(validations("lags"), 0)
            self.assertNotEqual(credential_of(credential)["status"], "issued")
        FLEET.server.wait_issued(credential)
        self.assertGreater(validations("lags"), 0)

    def test_one_that_never_comes_is_named(self):
        FLEET.server.cli("dns", "change", "bind", "--limit", "2")
        with Faulty(FLEET.secondary.relay, lambda a, udp: bare(a, rcode=NXDOMAIN)):
            credential = request("never")
            error = lab.wait_for("the error", lambda: credential_of(credential).get("error"), 60)
        self.assertIn(f"ns2.{ZONE} ({NET}.3): no such name", str(error))
        self.assertNotIn(f"ns1.{ZONE} ({NET}.2): no such", str(error))
        self.assertEqual(validations("never"), 0)
        FLEET.server.cli("dns", "change", "bind", "--limit", "120")
        FLEET.server.ask("retry", credential)
        FLEET.server.wait_issued(credential)

    def test_one_that_fails_for_a_while(self):
        with Faulty(FLEET.secondary.relay, lambda a, udp: bare(a, rcode=SERVFAIL), 3) as broken:
            FLEET.server.wait_issued(request("servfail"))
            self.assertEqual(broken.hits, 3)

    def test_cut_answers_are_asked_for_over_tcp(self):
        cut = [Faulty(named.relay, lambda a, udp: bare(a, flags=2) if udp else a)
               for named in (FLEET.primary, FLEET.secondary)]
        with cut[0], cut[1]:
            FLEET.server.wait_issued(request("cut"))
        self.assertGreater(cut[0].hits * cut[1].hits, 0)

    def test_other_letters_are_the_same_name(self):
        with Faulty(FLEET.secondary.relay, lambda a, udp: mixed(a)) as other:
            FLEET.server.wait_issued(request("letters"))
            self.assertGreater(other.hits, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
