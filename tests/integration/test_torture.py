"""Everything at once, and kill -9 at each saved step: every certificate is issued, once.

Share of refused nonces x authorizations that are valid already x binding (EAB): a setting, for which
Pebble is started anew. Challenge x key x names: a cell. Each cell meets each kill of
lab_torture.KILLS: the cells of a challenge run together as a batch, are held at the step until all
are there, and killed; who was not there in time is in another round. What cannot be is said, with
its reason.

In CI a sample of less than a minute from a printed seed (CERTMGR_SEED repeats it). CERTMGR_TORTURE=
all runs everything, CERTMGR_TORTURE=nonces,reuse,eab (such as 50,100,1) one setting; kills may follow
("50,100,1,finalize lost,set lost"). CERTMGR_TORTURE_PROGRESS=file remembers the seed and what was
good, which is left out. CERTMGR_TORTURE_SHARD=i/n runs every n-th setting from the i-th (0 to 3), in
a laboratory of its own. CERTMGR_TORTURE_GO_ON=1 counts failed batches and goes on.
script/endurance torture does all that.
"""

import itertools
import os
import random
import time
import traceback
import unittest
from collections import Counter, namedtuple
from concurrent.futures import ThreadPoolExecutor

import lab
from lab_torture import (DNS_KILLS, KILLS, NET, SHARD, SHARDS, WEB, ZONE, Kill, Progress,
                         Torture)

WHAT = os.environ.get("CERTMGR_TORTURE", "")
PROGRESS = os.environ.get("CERTMGR_TORTURE_PROGRESS")
GO_ON = os.environ.get("CERTMGR_TORTURE_GO_ON") == "1"
SEED = int(os.environ.get("CERTMGR_SEED", time.time()))
SAMPLE_S = 40       # no batch of the sample begins later
SAMPLE_CELLS = 4    # in one batch of it
PATIENCE_S = 300    # of one batch
ROUNDS = 7          # until each cell of a batch was at the step

Setting = namedtuple("Setting", "reject reuse eab")
Cell = namedtuple("Cell", "challenge key names")
Order = namedtuple("Order", "cell number names ident")
NONCES, REUSE = (90, 50, 5, 0), (0, 100)  # the hardest first
CHALLENGES, KEYS = ("http-01", "dns-01", "tls-alpn-01"), ("P-256", "RSA-2048")
EARLY = ("newAccount", "newOrder", "authorization")
NAMES = ("one", "wildcard", "thirty", "idn", "ip")
LAB = None


def impossible(cell, kill=None, reuse=0):
    """Why this cannot be, or None."""
    kind = kill.split()[0] if kill else None
    if cell.names == "wildcard" and cell.challenge != "dns-01":
        return "wildcards are proved by dns-01 alone"
    if cell.names == "ip" and cell.challenge == "dns-01":
        return "addresses are not proved by dns-01 (RFC 8738 7)"
    if kind in DNS_KILLS and cell.challenge != "dns-01":
        return "no TXT value is written for this challenge"
    if reuse and kind == "newAccount":
        return "a new account has no valid authorization"
    if reuse and not half_proved(cell) and kind in ("authorization", "challenge", "ready",
                                                    *DNS_KILLS):
        return "every authorization is valid already, and the order ready"
    return None


def of_new_account(kill):
    """At such a step, no name is proved: the account is made by the batch itself."""
    return (kill or "").startswith("newAccount")


def half_proved(cell):
    """With reuse, half of the names of these have a valid authorization; of the others all."""
    return cell.names in ("wildcard", "thirty")


CELLS = [cell for cell in map(Cell._make, itertools.product(CHALLENGES, KEYS, NAMES))
         if not impossible(cell)]
SETTINGS = list(map(Setting._make, itertools.product(NONCES, REUSE, (False, True))))
ADDRESSES = itertools.chain(([f"{NET}.{i}"] for i in range(10, 255)),
                            ([f"{NET}.{i}", f"{NET}.{k}"] for i in range(10, 255)
                             for k in range(i + 1, 255)))  # never the same set twice
NUMBERS = itertools.count(1)


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
            "wildcard": lambda: [f"c{number}.{domain}", f"*.c{number}.{domain}"],
            "thirty": lambda: [f"n{i}.c{number}.{domain}" for i in range(30)],
            "idn": lambda: [f"日本語.c{number}.{domain}"],
            "ip": lambda: next(ADDRESSES)}[cell.names]()


def ascii_names(names):
    return frozenset(n if n.isascii() else n.encode("idna").decode() for n in names)


class Cells(unittest.TestCase):
    def setUp(self):
        self.cost = Counter()  # of a batch: certificates, requests to the CA, seconds for them

    def submit(self, wanted):
        """[(cell, number, names)]: all are handed in before the first one reaches the CA."""
        def post(one):
            cell, number, names = one
            fields = {"host_names": names, "account": LAB.account, "provider": "acme",
                      "key_type": cell.key, "servers": ["alpha"], "keyring_file": f"c{number}.kyr"}
            if cell.challenge != "dns-01":  # that is where the zone's names go by themselves
                fields["challenge"] = cell.challenge
            status, _, body = LAB.server.api("POST", "/requests", fields)
            if status >= 300:
                raise lab.LabError(f"{cell}: {status} {body}")
            return Order(cell, number, names, body["credential"])
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(post, wanted))

    def prime(self, wanted):
        """Gets the CA to take the names, or half of them, for proved: by certificates for them, for
        few names each, for an order's requests follow one another."""
        names, first = [], wanted[0][0]
        for cell, _, its in wanted:
            names += its[::2] if half_proved(cell) else its
        LAB.proxy.guard = None
        LAB.named.relay.fate = lambda _: None
        orders = self.submit([(first._replace(key="P-256"), next(NUMBERS), names[n:n + 5])
                              for n in range(0, len(names), 5)])
        self.wait_all(orders, "names proved before")
        self.no_values("names proved before")

    def batch(self, setting, cells, kill, said, dice):
        """The cells with this kill, in rounds until each was at the step; returns the rounds."""
        waiting, rounds = self.together(setting, cells, kill), 0
        while waiting:
            rounds += 1
            self.assertLessEqual(rounds, ROUNDS, f"{said}: never at the step: {waiting}")
            cells = waiting.pop(0)
            hit = self.round(setting, cells, kill, said, dice)
            missed = [cell for cell in cells if cell not in hit] if kill else []
            if missed:
                waiting.append(missed)
        return rounds

    @staticmethod
    def together(setting, cells, kill):
        """At nine of ten refused nonces thirty names are at the later steps half a minute after the
        others, which wait for nobody that long."""
        if setting.reject < 90 or not kill or kill.split()[0] in EARLY:
            return [cells]
        many = [cell for cell in cells if cell.names == "thirty"]
        return [group for group in ([c for c in cells if c not in many], many) if group]

    def round(self, setting, cells, kill, said, dice):
        wanted = [(cell, number, names_of(cell, number))
                  for cell, number in zip(cells, NUMBERS)]
        reused = setting.reuse and not of_new_account(kill)
        if reused:
            self.prime(wanted)
        LAB.proxy.gate.clear()
        with LAB.proxy.lock:
            LAB.proxy.counts, LAB.proxy.accepted, LAB.proxy.answered = {}, {}, {}
        made = len(LAB.issued())
        strike = Kill(LAB, kill, {ascii_names(names): f"c{number}"
                                  for _, number, names in wanted}, dice.random() < 0.3)
        strike.place()
        orders = self.submit(wanted)
        LAB.proxy.gate.set()
        begun = time.monotonic()
        hit = strike.strike(PATIENCE_S, said)
        self.wait_all(orders, said)
        self.cost.update(certificates=len(orders), requests=sum(LAB.proxy.counts.values()),
                         seconds=time.monotonic() - begun)
        self.one_certificate_each(orders, LAB.issued()[made:], said)
        for order in orders:
            self.check(order, f"{said}: {order}")
        self.no_values(said)
        if reused:
            self.as_many_proofs(orders, said)
        return {order.cell for order in orders if ascii_names(order.names) in hit}

    def one_certificate_each(self, orders, made, said):
        """By the CA's own count. Who kills the only server while the CA looks at it makes an order
        fail, and another is made: that is the only reason for one."""
        made = [LAB.proxy.owners.of.get(f"/my-order/{number}") for number in made]
        twice = {tuple(sorted(n))[0]: made.count(n) for n in made if n and made.count(n) > 1}
        lost, accepted = self.failed_orders(orders), LAB.proxy.accepted
        if twice or len(made) != len(orders) or \
                {ascii_names(order.names) for order in orders} != set(made) or \
                accepted["newOrder"] != len(orders) + lost or accepted["finalize"] != len(orders):
            self.fail(f"one certificate each, {lost} orders failed: {said}\n{len(made)} made, "
                      f"{twice} more than once; accepted {accepted} of {LAB.proxy.counts}\n"
                      f"{self.stories(orders)}")

    def as_many_proofs(self, orders, said):
        """The CA did take those for proved that were: no challenge of theirs was answered."""
        if self.failed_orders(orders):
            return
        for cell, _, names, _ in orders:
            told = LAB.proxy.answered.get(ascii_names(names), ())
            self.assertEqual(len(told), len(names[1::2]) if half_proved(cell) else 0,
                             f"{said}: {cell}")

    @staticmethod
    def no_values(said):
        lab.wait_for(f"TXT values to go: {said}", lambda: LAB.values() == [], 120, 0.2)

    @staticmethod
    def failed_orders(orders):
        words = ("The earlier order has failed; making a new one", "Failed: The CA's check of")
        return sum(step["text"].startswith(words) for order in orders
                   for step in LAB.server.show(order.ident)["steps"])

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
        ids = {order.ident for order in orders}

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

    def check(self, order, said):
        cell, number, names, ident = order
        credential = LAB.server.api("GET", f"/credentials/{ident}")[2]["credential"]
        self.assertEqual(sorted(credential["san"]), sorted(ascii_names(names)), said)
        self.assertNotIn("error", credential, said)
        self.assertEqual(credential["key_type"], cell.key, said)
        lab.wait_for(f"an empty challenge document: {said}", lambda: not LAB.server.api(
            "GET", f"/credentials/{ident}")[2].get("challenge"), 60)
        folder = LAB.server.data / f"c{number}"
        lab.wait_for(f"{folder}: {said}", lambda: (folder / "privkey.pem").exists(), 120)
        chain = folder / "fullchain.pem"
        key = lab.run(["openssl", "pkey", "-in", folder / "privkey.pem", "-pubout"])
        self.assertEqual(key, lab.run(["openssl", "x509", "-in", chain, "-noout", "-pubkey"]), said)
        self.assertIn("rsaEncryption" if cell.key.startswith("RSA") else "prime256v1",
                      lab.run(["openssl", "x509", "-in", chain, "-noout", "-text"]), said)

    def test_cells(self):
        if WHAT:
            self.whole()
        else:
            self.sample()

    @staticmethod
    def plan():
        """Every (setting, challenge, kill, cells), in order; prints what cannot be."""
        settings, kills = SETTINGS[SHARD::SHARDS or 1], (None, *KILLS)
        if WHAT != "all":
            reject, reuse, eab, *chosen = WHAT.split(",")
            settings = [Setting(int(reject), int(reuse), eab == "1")]
            kills = chosen or kills
        # a kill while the account is made needs a new account, and leaves one for those after it
        kills = sorted(kills, key=lambda kill: not of_new_account(kill))
        plan, left = [], {}  # (what, why) -> cells
        for cell in map(Cell._make, itertools.product(CHALLENGES, KEYS[:1], NAMES)):
            if impossible(cell):
                left.setdefault(("any", impossible(cell)), []).append(cell)
        for setting, kill, challenge in itertools.product(settings, kills, CHALLENGES):
            cells = []
            for cell in (c for c in CELLS if c.challenge == challenge):
                why = impossible(cell, kill, setting.reuse)
                if why:
                    what = f"kill at {kill}, reuse {setting.reuse} %"
                    left.setdefault((what, why), []).append(cell)
                else:
                    cells.append(cell)
            if cells:
                plan.append((setting, challenge, kill, cells))
        for (what, why), cells in sorted(left.items()):
            names = ", ".join(sorted({f"{cell.challenge} {cell.names}" for cell in cells}))
            print(f"impossible: {what}, {names}: {why}")
        return plan

    def whole(self):
        """Every cell with every kill, a setting after the other."""
        plan, kept = self.plan(), Progress(PROGRESS, SEED)
        total = sum(len(cells) for *_, cells in plan)
        print(f"{len(plan)} batches, {total} combinations, seed {kept.seed}", flush=True)
        now, failed, begun = None, [], time.monotonic()
        for number, (setting, challenge, kill, cells) in enumerate(plan, 1):
            name = f"{','.join(str(int(x)) for x in setting)} {challenge} {kill or 'no kill'}"
            if kept.has(name):
                continue
            said, start = f"[{number}/{len(plan)}] {name}", time.monotonic()
            try:
                if setting != now or of_new_account(kill):
                    LAB.setting(setting)
                    now = setting
                self.cost.clear()
                rounds = self.batch(setting, cells, kill, f"{said} (seed {kept.seed})",
                                    random.Random(f"{kept.seed} {name}"))
            except Exception:  # whatever it is, the next batch has its turn
                if not GO_ON:
                    raise
                failed.append(name)
                traceback.print_exc()
                print(f"{said} FAILED, {time.monotonic() - start:.1f} s", flush=True)
                now = self.renew()
                continue
            took = round(time.monotonic() - start, 1)
            kept.keep(name, cells=len(cells), rounds=rounds, whole=took,
                      **{what: round(n, 1) for what, n in self.cost.items()})
            print(f"{said}, {len(cells)} cells, {rounds} rounds, {took} s, "
                  f"{self.cost['requests'] / self.cost['certificates']:.1f} requests each; "
                  f"{len(failed)} batches failed, {time.monotonic() - begun:.0f} s", flush=True)
        self.assertEqual(failed, [], f"seed {kept.seed}")

    @staticmethod
    def renew():
        """Another laboratory; what the last one wrote stays."""
        global LAB
        print(f"kept: {LAB.directory}", flush=True)
        LAB.kept = True
        LAB.stop()
        LAB = Torture()
        LAB.start()

    def sample(self):
        """Settings, cells and kills by the dice; each kill comes before one comes twice."""
        dice = random.Random(SEED)
        end = time.monotonic() + SAMPLE_S
        kills = dice.sample(KILLS, len(KILLS))
        settings = dice.sample(SETTINGS, len(SETTINGS))
        while time.monotonic() < end and kills:
            setting = settings.pop()
            LAB.setting(setting)
            most = 2 if setting.reject == 90 else 5
            for kill in [kills.pop() for _ in range(min(most, len(kills)))]:
                if of_new_account(kill):
                    LAB.setting(setting)
                # thirty names at nine of ten refused nonces take more than the sample's time
                cells = [c for c in CELLS if (setting.reject < 90 or c.names != "thirty") and
                         not impossible(c, kill, 0 if of_new_account(kill) else setting.reuse)]
                cells = dice.sample(cells, min(SAMPLE_CELLS, len(cells)))
                said = f"{tuple(setting)} {kill}, {len(cells)} cells (seed {SEED})"
                start = time.monotonic()
                self.batch(setting, cells, kill, said, dice)
                print(f"{said}, {time.monotonic() - start:.1f} s", flush=True)
                if time.monotonic() > end:
                    break


if __name__ == "__main__":
    unittest.main(verbosity=2)
