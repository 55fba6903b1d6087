"""What the torture needs: a CA that can be made awkward, a name server, one server, and the kill.

The kill comes when every order of a batch stands at the same saved step: the proxy (for the CA) or
the relay (for the name server) keeps the orders there, one after the other, until all have come.
"""

import atexit
import base64
import json
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections import namedtuple
from pathlib import Path

import lab
from fault_proxy import FaultProxy
from lab_dns import Named, changes_of

Place = namedtuple("Place", "net base proxy_port named_port http_port tls_port ui_port repl_port")
PLACES = (  # the sample's, and one for each shard: they all can run at the same time
    Place("127.0.31", base=13100, proxy_port=13107, named_port=13070, http_port=13080,
          tls_port=13443, ui_port=13444, repl_port=13445),
    Place("127.0.226", base=22600, proxy_port=22607, named_port=22670, http_port=22682,
          tls_port=22646, ui_port=22647, repl_port=22648),
    Place("127.0.227", base=22700, proxy_port=22707, named_port=22770, http_port=22782,
          tls_port=22746, ui_port=22747, repl_port=22748),
    Place("127.0.228", base=22800, proxy_port=22807, named_port=22870, http_port=22882,
          tls_port=22846, ui_port=22847, repl_port=22848),
    Place("127.0.229", base=22900, proxy_port=22907, named_port=22970, http_port=22982,
          tls_port=22946, ui_port=22947, repl_port=22948))
SHARD, SHARDS = map(int, os.environ.get("CERTMGR_TORTURE_SHARD", "0/0").split("/"))
HERE = PLACES[SHARD + 1 if SHARDS else 0]
NET = HERE.net
ZONE, WEB = "torture.test", "torture.example"
# What is under way when the kill comes: the request does not get through, or its reply gets lost.
# The states saved around them are those of certmgr/acme/order.c and the journal of TXT values;
# "ready" and "valid" are the polls of the order before and after finalize.
KILLS = tuple(f"{kind} {fate}" for kind, fates in (
    ("newAccount", ("unreached", "lost")), ("newOrder", ("unreached", "lost")),
    ("authorization", ("unreached",)), ("set", ("unreached", "lost")),
    ("challenge", ("unreached", "lost")), ("ready", ("unreached",)),
    ("finalize", ("unreached", "lost")), ("valid", ("unreached",)),
    ("certificate", ("unreached", "lost")), ("remove", ("unreached", "lost"))) for fate in fates)
DNS_KILLS = {"set": "IN", "remove": "NONE"}  # by the class of the TXT record (RFC 2136 2.5)
# No further order has come to the step for so long: it is struck with those that have; by the share
# of refused nonces, but less than the 30 s that the client waits for a reply.
QUIET_S = {0: 3, 5: 3, 50: 8, 90: 20}
ISSUED = re.compile(r"Issued certificate serial (\w+) for order (\S+)")


class Kill:
    """kill -9 of the front, or of all processes, with these orders at this step.

    orders: {names: label}; a label is in all names of its order.  A guard of the proxy; None as the
    point: nobody is killed."""

    def __init__(self, torture, point, orders, everything=False):
        self.torture, self.orders, self.everything = torture, orders, everything
        self.kind, self.fate = point.split() if point else (None, None)
        self.wanted = 1 if self.kind == "newAccount" else len(orders)
        self.at, self.finalized = {}, set()  # names -> what is held there
        self.last, self.struck = time.monotonic(), threading.Event()
        self.lock = threading.Lock()

    def place(self):
        self.torture.proxy.guard = self
        self.torture.named.relay.fate = self.look if self.kind in DNS_KILLS else lambda _: None

    def _comes(self, who, what):
        """Is this the first thing of an order at the step?"""
        with self.lock:
            if self.struck.is_set() or who in self.at:
                return False
            self.at[who], self.last = what, time.monotonic()
            return True

    def _hold(self, who):
        if not self._comes(who, True):
            return False
        self.struck.wait()
        return True

    def _named(self, kind, names):
        """The step's name, when it is this one and of one of these orders (or of the account)."""
        if kind == "order":
            kind = "valid" if names in self.finalized else "ready"
        return kind == self.kind and (kind == "newAccount" or names in self.orders)

    def before(self, kind, names):
        return self.fate == "unreached" and self._named(kind, names) and self._hold(names)

    def after(self, kind, names):
        held = self.fate == "lost" and self._named(kind, names) and self._hold(names)
        if kind == "finalize":
            self.finalized.add(names)
        return held

    def look(self, message):
        """The fate of an UPDATE that sets or removes TXT values of any number of orders: with the
        first ones of an order it is dropped, or named does it and the answer is dropped; also when
        they come again, in whatever company."""
        if self.struck.is_set():
            return None
        changes = {(name, text) for klass, name, text in changes_of(message)
                   if klass == DNS_KILLS[self.kind]}
        fate = None
        for who, label in self.orders.items():
            own = {change for change in changes if label in change[0].split(".")}
            if own:
                self._comes(who, own)
            if own & self.at.get(who, set()):
                fate = self.fate
        return fate

    def strike(self, patience, said):
        """Waits for the orders, then kills; returns the names of those that stood at the step."""
        if self.kind is None:
            return set()
        quiet = QUIET_S[self.torture.reject]
        lab.wait_for(f"the kill: {said}", lambda: len(self.at) >= self.wanted or (
            self.at and time.monotonic() - self.last > quiet), patience)
        if self.fate == "lost" and self.kind in DNS_KILLS:
            time.sleep(0.05)  # named has the last one meanwhile
        with self.lock:
            hit = set(self.at)
            if self.everything:
                self.torture.server.kill()
            else:
                os.kill(self.torture.server.pid_of("front-process"), signal.SIGKILL)
            self.struck.set()
        if self.everything:
            self.torture.server.process.child.wait()
            self.torture.server.start()
        else:
            self.torture.server.ready()
        return set(self.orders) if self.kind == "newAccount" else hit


class Progress:
    """The seed, and a line for each batch that was good; of several processes, over several runs.

    Without a file it remembers nothing."""

    def __init__(self, path, seed):
        self.path, self.seed = Path(path) if path else None, seed
        if self.path:
            fresh = self.path.with_suffix(f".{os.getpid()}")
            fresh.write_text(json.dumps({"seed": seed}) + "\n")
            try:
                os.link(fresh, self.path)  # whole, or by somebody else
            except FileExistsError:
                pass
            fresh.unlink()
            self.seed = json.loads(self.path.read_text().splitlines()[0])["seed"]

    def has(self, batch):
        return self.path and batch in (json.loads(line).get("batch")
                                       for line in self.path.read_text().splitlines())

    def keep(self, batch, **figures):
        if self.path:
            with self.path.open("a") as out:
                out.write(json.dumps(dict(figures, batch=batch)) + "\n")


class Torture:
    def __init__(self):
        self.directory = d = Path(tempfile.mkdtemp(prefix="certmgr-torture-"))
        self.kept = False
        atexit.register(self.forget)  # also when somebody ends it: after its processes
        self.pebble = lab.Pebble(d / "ca", HERE.http_port, HERE.base, tls_port=HERE.tls_port)
        self.named = Named(d, f"{NET}.2", HERE.named_port, zones=[ZONE],
                           forwarder=self.pebble.resolver)
        self.asked = f"127.0.0.1:{self.named.own_port}"
        self.proxy = FaultProxy(self.pebble, HERE.proxy_port)
        self.account, self.accounts = None, 0
        self.reject = 0  # share of refused nonces
        self.server = lab.Server(d, "alpha", f"{NET}.1", self.pebble, ui_port=HERE.ui_port,
                                 replication_port=HERE.repl_port,
                                 challenge_port=HERE.http_port,
                                 directory_url=self.proxy.url).target()
        self.server.tls_challenge_port = HERE.tls_port
        # every address of the net is this server's: so many certificates for addresses
        self.server.extra = ("[server]\nchallenge_address = 0.0.0.0\n"
                             "tls_challenge_address = 0.0.0.0\n"
                             f"[network]\ndns_port = {HERE.named_port}\n")

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
        if self.kept:  # where it stands, in its log: a frozen CA looks like a client that is stuck
            self.pebble.processes[1].stop(signal.SIGQUIT)
        self.pebble.stop()
        self.named.stop()
        self.forget()

    def forget(self):
        if not self.kept:
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
        self.reject = setting.reject
        kid, self.account = f"kid-{self.accounts}", f"torture{self.accounts}"
        text = base64.urlsafe_b64encode(hmac).decode().rstrip("=")
        self.pebble.settings = {"externalAccountBindingRequired": setting.eab,
                                "externalAccountMACKeys": {kid: text} if setting.eab else {}}
        self.pebble.start(self.server.address, dns_server=self.asked)
        self.proxy.life += 1
        words = ["--eab-kid", kid, "--eab-hmac-file", "-"] if setting.eab else []
        self.server.cli("account", "add", self.account, "--directory", self.proxy.url,
                        "--agree-tos", "--contact", "admin@example.com", "--ca-bundle",
                        self.pebble.ca, "--http-port", HERE.http_port, "--tls-port",
                        HERE.tls_port, *words, stdin=text)
        self.server.cli("root", "add", self.pebble.root())

    def issued(self):
        """Every certificate that this Pebble says it made: the path of its order, of each one."""
        log = self.directory / "ca/pebble.log"
        return [found[2] for found in ISSUED.finditer(log.read_text(errors="replace"))]

    def values(self):
        """TXT records of the zone, as a transfer shows them."""
        out = lab.run(["dig", f"@{self.named.address}", "-p", str(HERE.named_port), "+noall",
                       "+answer", "-t", "AXFR", ZONE])
        return [line for line in out.splitlines() if "\tTXT\t" in line or " TXT " in line]
