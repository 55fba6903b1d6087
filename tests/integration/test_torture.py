"""Everything at once, and kill -9 at each saved step: every certificate is issued, once.

Cells: share of refused nonces x authorizations that are valid already x challenge x key x names x
binding (EAB) x the moment of the kill. Real Pebble behind a proxy that counts, real BIND behind a
relay. Pebble is started anew for each setting of the first two and of the binding; all cells of a
batch run at the same time, and one of them meets the kill. Cells that no CA offers (addresses by
dns-01, wildcards by anything else) are left out by rule.

In CI a sample of about a minute from a printed seed (CERTMGR_SEED repeats it); CERTMGR_TORTURE=all
runs every cell with every kill, and CERTMGR_TORTURE=nonces,reuse,eab (such as 50,100,1) the cells of
one setting; kills may follow ("50,100,1,finalize lost,set lost").
"""

import base64
import itertools
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lab
from fault_proxy import FaultProxy
from lab_dns import Named

NET, PORT = "127.0.31", 13100
PROXY_PORT, NAMED_PORT, HTTP_PORT, TLS_PORT = 13107, 13070, 13080, 13443
ZONE, WEB = "torture.test", "torture.example"
WHAT = os.environ.get("CERTMGR_TORTURE", "")
SEED = int(os.environ.get("CERTMGR_SEED", time.time()))
SAMPLE_S = 60       # no batch of the sample begins later
SAMPLE_CELLS = 6    # in one batch of it
PATIENCE_S = 300    # of one batch

Setting = namedtuple("Setting", "reject reuse eab")
Cell = namedtuple("Cell", "challenge key names")
NONCES, REUSE = (0, 5, 50, 90), (0, 100)
CHALLENGES, KEYS = ("http-01", "dns-01", "tls-alpn-01"), ("P-256", "RSA-2048")
NAMES = ("one", "wildcard", "thirty", "idn", "ip")
# What is under way when the kill comes: the request does not get through, or its reply gets lost.
# The states saved around them are those of certmgr/acme/order.c and the journal of TXT values.
KILLS = tuple(f"{kind} {fate}" for kind, fates in (
    ("newAccount", ("unreached", "lost")), ("newOrder", ("unreached", "lost")),
    ("authorization", ("unreached",)), ("set", ("unreached", "lost")),
    ("challenge", ("unreached", "lost")), ("order", ("unreached",)),
    ("finalize", ("unreached", "lost")), ("certificate", ("unreached", "lost")),
    ("remove", ("unreached", "lost"))) for fate in fates)
DNS_KILLS = {"set": b"\0\x10\0\x01", "remove": b"\0\x10\0\xfe"}  # TXT, class IN or NONE (RFC 2136 2.5)
DICE = random.Random(SEED)
LAB = None


def possible(cell):
    if cell.names == "wildcard":
        return cell.challenge == "dns-01"
    return cell.names != "ip" or cell.challenge != "dns-01"


CELLS = [cell for cell in map(Cell._make, itertools.product(CHALLENGES, KEYS, NAMES))
         if possible(cell)]
SETTINGS = list(map(Setting._make, itertools.product(NONCES, REUSE, (False, True))))
PAIRS = itertools.chain(([f"{NET}.{i}"] for i in range(10, 255)),
                        ([f"{NET}.{i}", f"{NET}.{k}"] for i in range(10, 255)
                         for k in range(i + 1, 255)))  # never the same set twice
NUMBERS = itertools.count(1)


class Torture:
    def __init__(self):
        self.directory = d = Path(tempfile.mkdtemp(prefix="certmgr-torture-"))
        self.pebble = lab.Pebble(d / "ca", HTTP_PORT, PORT, tls_port=TLS_PORT)
        self.pebble.admin_port = PORT + 1
        self.named = Named(d, f"{NET}.2", NAMED_PORT, zones=[ZONE],
                           forwarder=self.pebble.resolver)
        self.asked = f"127.0.0.1:{self.named.own_port}"
        self.proxy = FaultProxy(self.pebble, PROXY_PORT)
        self.account, self.accounts = None, 0
        self.server = lab.Server(d, "alpha", f"{NET}.1", self.pebble, ui_port=13444,
                                 replication_port=13445, challenge_port=HTTP_PORT,
                                 directory_url=self.proxy.url).target()
        self.server.tls_challenge_port = TLS_PORT
        # every address of the net is this server's: so many certificates for addresses
        self.server.extra = ("[server]\nchallenge_address = 0.0.0.0\n"
                             "tls_challenge_address = 0.0.0.0\n"
                             f"[network]\ndns_port = {NAMED_PORT}\n")

    def start(self):
        self.pebble._certificate()
        self.named.start()
        self.proxy.start()
        # only what the DNS account writes and looks at goes through the relay
        self.pebble.resolver, forwarded = self.asked, self.pebble.resolver
        self.server.init().start()
        self.pebble.resolver = forwarded
        secret = self.directory / "tsig"
        secret.write_text(self.named.secret + "\n")
        self.server.cli("dns", "add", "bind", "--kind", "rfc2136", "-d", ZONE, "--option",
                        f"server={self.named.server}", "--option",
                        f"key_name={self.named.key_name}", "--option", "ttl=1", "--secret-file",
                        f"tsig_secret={secret}", "--limit", "60")
        return self

    def stop(self):
        self.proxy.gate.set()
        self.server.stop()
        self.proxy.stop()
        self.pebble.stop()
        self.named.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def setting(self, setting):
        """A new Pebble, and an account at it."""
        self.pebble.stop()
        self.pebble.env = {"GOMAXPROCS": "1", "PEBBLE_VA_NOSLEEP": "1",
                           "PEBBLE_WFE_NONCEREJECT": str(setting.reject),
                           "PEBBLE_AUTHZREUSE": str(setting.reuse),
                           "PEBBLE_WFE_ORDERS_PER_PAGE": "25"}
        hmac = os.urandom(32)
        self.accounts += 1
        kid, self.account = f"kid-{self.accounts}", f"torture{self.accounts}"
        text = base64.urlsafe_b64encode(hmac).decode().rstrip("=")
        self.pebble.settings = {"externalAccountBindingRequired": setting.eab,
                                "externalAccountMACKeys": {kid: text} if setting.eab else {}}
        self.pebble.start(self.server.address, dns_server=self.asked)
        self.proxy.life += 1
        words = ["--eab-kid", kid, "--eab-hmac-file", "-"] if setting.eab else []
        self.server.cli("account", "add", self.account, "--directory", self.proxy.url,
                        "--agree-tos", "--contact", "admin@example.com", "--ca-bundle",
                        self.pebble.ca, "--http-port", HTTP_PORT, "--tls-port", TLS_PORT, *words,
                        stdin=text)
        self.server.cli("root", "add", self.pebble.root())

    def values(self):
        """TXT records of the zone, as a transfer shows them."""
        out = lab.run(["dig", f"@{self.named.address}", "-p", str(NAMED_PORT), "+noall", "+answer",
                       "-t", "AXFR", ZONE])
        return [line for line in out.splitlines() if "\tTXT\t" in line or " TXT " in line]


def setUpModule():
    global LAB
    print(f"seed {SEED}", flush=True)
    LAB = Torture()
    LAB.start()


def tearDownModule():
    if LAB:
        LAB.stop()


def names_of(cell, number):
    domain = ZONE if cell.challenge == "dns-01" else WEB
    return {"one": lambda: [f"c{number}.{domain}"],
            "wildcard": lambda: [f"w{number}.{domain}", f"*.w{number}.{domain}"],
            "thirty": lambda: [f"n{i}.t{number}.{domain}" for i in range(30)],
            "idn": lambda: [f"日本語{number}.{domain}"],
            "ip": lambda: next(PAIRS)}[cell.names]()


class Kill:
    """kill -9 of the front, or of all processes, at one moment of one of the orders."""

    def __init__(self, point, everything):
        self.kind, self.fate = point.split()
        self.everything, self.done, self.struck = everything, False, False
        LAB.named.relay.fate = lambda message: None
        if self.kind in DNS_KILLS:
            LAB.named.relay.fate = self.look
        elif self.fate == "lost":
            LAB.proxy.after(self.kind, self.strike)
        else:
            LAB.proxy.before(self.kind, self.strike)

    def look(self, message):
        """An UPDATE (opcode 5) that sets or removes a TXT value."""
        if self.struck or message[2] >> 3 & 15 != 5 or DNS_KILLS[self.kind] not in message:
            return None
        self.struck = True
        if self.fate == "unreached":
            self.strike()
        else:  # named does it meanwhile; the relay keeps its answer
            threading.Timer(0.02, self.strike).start()
        return self.fate

    def strike(self):
        if self.everything:
            LAB.server.kill()
        else:
            os.kill(LAB.server.pid_of("front-process"), signal.SIGKILL)
        self.done = True


class Cells(unittest.TestCase):
    def submit(self, cells):
        """All requests are handed in before the first one reaches the CA."""
        orders = []
        for cell in cells:
            number = next(NUMBERS)
            fields = {"host_names": names_of(cell, number), "account": LAB.account,
                      "provider": "acme", "key_type": cell.key, "servers": ["alpha"],
                      "keyring_file": f"c{number}.kyr"}
            if cell.challenge != "dns-01":  # that is where the zone's names go by themselves
                fields["challenge"] = cell.challenge
            orders.append((cell, number, fields))

        def post(order):
            status, _, body = LAB.server.api("POST", "/requests", order[2])
            if status >= 300:
                raise lab.LabError(f"{order[0]}: {status} {body}")
            return body["credential"]
        with ThreadPoolExecutor(4) as pool:
            return [(cell, number, fields["host_names"], ident) for (cell, number, fields), ident
                    in zip(orders, pool.map(post, orders))]

    def batch(self, setting, cells, kill):
        begun = time.monotonic()
        LAB.proxy.gate.clear()
        with LAB.proxy.lock:
            LAB.proxy.counts, LAB.proxy.accepted = {}, {}
        orders = self.submit(cells)
        strike = Kill(kill, DICE.random() < 0.3) if kill else None
        LAB.proxy.gate.set()
        said = f"{tuple(setting)} {kill or 'no kill'}, {len(cells)} cells (seed {SEED})"
        if strike:
            lab.wait_for(f"the kill: {said}", lambda: strike.done, PATIENCE_S)
            if strike.everything:
                LAB.server.process.child.wait()
                LAB.server.start()
            else:
                LAB.server.ready()
        self.wait_all(orders, said)
        ran = f"{said}\naccepted {LAB.proxy.accepted} of {LAB.proxy.counts}"
        # Who kills the only server while the CA looks at it makes an order fail: another is made.
        lost = self.failed_orders(orders)
        if LAB.proxy.accepted["newOrder"] != len(orders) + lost or \
                LAB.proxy.accepted["finalize"] != len(orders):
            self.fail(f"one certificate each, {lost} orders failed: {ran}\n{self.stories(orders)}")
        for order in orders:
            with self.subTest(said, cell=order[0], credential=order[3]):
                self.check(*order)
        lab.wait_for(f"TXT values to go: {said}", lambda: LAB.values() == [], 60, 0.2)
        print(f"{said[:-1]}, {time.monotonic() - begun:.1f} s, "
              f"{sum(LAB.proxy.counts.values())} requests)", flush=True)

    @staticmethod
    def failed_orders(orders):
        words = ("The earlier order has failed; making a new one", "Failed: The CA's check of")
        return sum(step["text"].startswith(words) for order in orders
                   for step in LAB.server.show(order[3])["steps"])

    @staticmethod
    def stories(orders):
        """The steps of each credential that was not through in one go."""
        out = []
        for cell, _, names, ident in orders:
            texts = [s["at"][14:23] + " " + s["text"] for s in LAB.server.show(ident)["steps"]]
            begun = [t for t in texts if "rder" in t]
            if len(begun) > 1:
                out.append(f"{tuple(cell)} {names[0]} {ident}: " + "; ".join(texts))
        return "\n".join(out)

    def wait_all(self, orders, said):
        ids = {order[3] for order in orders}

        def all_issued():
            try:
                left = [i for i in ids if LAB.server.api("GET", f"/credentials/{i}")[2]
                        ["credential"]["status"] == "issued"]
            except (OSError, KeyError, TypeError, ValueError):
                return False  # it is starting
            ids.difference_update(left)
            return not ids
        try:
            lab.wait_for(f"every certificate: {said}", all_issued, PATIENCE_S, 0.2)
        except lab.LabError as error:
            views = [LAB.server.show(i) for i in ids]
            raise self.failureException(f"{error}\n" + "\n".join(
                f"{v.get('next')} {v.get('credential', {}).get('error')} "
                f"{[s['text'] for s in v['steps'][-6:]]}" for v in views) +
                f"\n{LAB.server.tail()}") from None

    def check(self, cell, number, names, ident):
        view = LAB.server.api("GET", f"/credentials/{ident}")[2]
        credential = view["credential"]
        want = sorted(n.encode("idna").decode() if not n.isascii() else n for n in names)
        self.assertEqual(sorted(credential["san"]), want)
        self.assertNotIn("error", credential)
        self.assertEqual(credential["key_type"], cell.key)
        lab.wait_for("an empty challenge document", lambda: not LAB.server.api(
            "GET", f"/credentials/{ident}")[2].get("challenge"), 30)
        folder = LAB.server.data / f"c{number}"
        lab.wait_for(f"{folder}", lambda: (folder / "privkey.pem").exists(), 60)

        def public(*args):
            return subprocess.run(["openssl", *map(str, args)], capture_output=True,
                                  check=True).stdout
        key = public("pkey", "-in", folder / "privkey.pem", "-pubout")
        self.assertEqual(key, public("x509", "-in", folder / "fullchain.pem", "-noout", "-pubkey"))
        self.assertIn(b"rsaEncryption" if cell.key.startswith("RSA") else b"prime256v1",
                      public("x509", "-in", folder / "fullchain.pem", "-noout", "-text"))

    def test_cells(self):
        if WHAT:
            self.whole()
        else:
            self.sample()

    def whole(self):
        """Every cell with every kill, a setting after the other."""
        settings, kills = SETTINGS, (None, *KILLS)
        if WHAT != "all":
            reject, reuse, eab, *chosen = WHAT.split(",")
            settings = [Setting(int(reject), int(reuse), eab == "1")]
            kills = chosen or kills
        for setting in settings:
            for kill in kills:
                if LAB.account is None or kill is None or kill.startswith("newAccount"):
                    LAB.setting(setting)  # a fresh account
                self.batch(setting, CELLS, kill)

    def sample(self):
        """Settings, cells and kills by the dice; each kind of kill before one comes twice."""
        end = time.monotonic() + SAMPLE_S
        kills = DICE.sample(KILLS, len(KILLS))
        settings = DICE.sample(SETTINGS, len(SETTINGS))
        while time.monotonic() < end and kills:
            setting = settings.pop()
            LAB.setting(setting)
            for kill in [kills.pop() for _ in range(min(4, len(kills)))]:
                if kill.startswith("newAccount"):
                    LAB.setting(setting)
                # thirty names at nine of ten refused nonces take more than the sample's minute
                cells = DICE.sample([c for c in CELLS if setting.reject < 90 or
                                     c.names != "thirty"], SAMPLE_CELLS)
                if kill.split()[0] in DNS_KILLS:
                    cells[0] = DICE.choice([c for c in CELLS if c.challenge == "dns-01"])
                self.batch(setting, cells, kill)
                if time.monotonic() > end:
                    break


if __name__ == "__main__":
    unittest.main(verbosity=2)
