"""Bad days at the CA and on the way to it: every certificate is issued, one order each.

A fault proxy in front of real Pebble. CERTMGR_SURVIVAL=100 (release) issues 100 certificates for each
kind of weather and takes every combination for 30 names; otherwise a sample.
"""

import os
import random
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import lab
from fault_proxy import FaultProxy

COUNT = int(os.environ.get("CERTMGR_SURVIVAL", "12"))
RELEASE = COUNT >= 100
PATIENCE = 240 + 3 * COUNT  # seconds for one kind of weather
SEED = int(os.environ.get("CERTMGR_SEED", time.time()))
FLEET = PROXY = None


class Alone(lab.Fleet):
    names = ("alpha",)


def calm(reject=0, reuse=0):
    return {"GOMAXPROCS": "1", "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": str(reuse),
            "PEBBLE_WFE_NONCEREJECT": str(reject),
            # the list of orders a lost newOrder is looked up in: not a hundred pages of 3
            "PEBBLE_WFE_ORDERS_PER_PAGE": "25"}


def setUpModule():
    global FLEET, PROXY
    FLEET = Alone(net=111, base=12100, http_port=5111, pebble_env=calm(),
                  directory_url="https://127.0.0.1:12107/dir")
    PROXY = FaultProxy(FLEET.pebble, 12107)
    FLEET.pebble.start(FLEET.manager.address)
    PROXY.start()
    FLEET.manager.init().start()
    FLEET.add_account()


def tearDownModule():
    FLEET.stop()
    PROXY.stop()


def restart_ca(**knobs):
    """Pebble forgets everything: the account is found missing and registered again."""
    FLEET.pebble.stop()
    FLEET.pebble.env = calm(**knobs)
    FLEET.pebble.start(FLEET.manager.address)
    PROXY.life += 1


def submit(prefix, names):
    words = [word for name in names for word in ("-d", name)]
    return FLEET.manager.json("request", *words, "-s", "alpha", "--keyring-file",
                              f"{prefix}.kyr")["credential"]


class Survival(unittest.TestCase):
    def setUp(self):
        PROXY.hold, PROXY.weather = 0, None
        self.begun = time.monotonic()
        self.reset()

    def tearDown(self):
        PROXY.hold, PROXY.weather = 0, None

    def reset(self):
        with PROXY.lock:
            PROXY.counts, PROXY.accepted, PROXY.weathered = {}, {}, {}

    def wait_all(self, ids):
        def all_issued():
            rows = {r["id"]: r["status"] for r in FLEET.manager.json("list")["credentials"]}
            return all(rows.get(i) == "issued" for i in ids)
        try:
            lab.wait_for("every certificate", all_issued, PATIENCE, 0.3)
        except lab.LabError as error:
            for i in ids:
                view = FLEET.manager.show(i)["credential"]
                if view["status"] != "issued":
                    print(view["status"], view.get("error"))
            raise self.failureException(f"{error} (seed {SEED})\n{PROXY.counts}\n"
                                        f"{FLEET.manager.tail()}") from None

    def one_each(self, ids):
        """As many orders and finalized orders at the CA as certificates, and all different."""
        ran = f"seed {SEED}: {PROXY.accepted} of {PROXY.counts}, {PROXY.weathered}"
        self.assertEqual(PROXY.accepted.get("newOrder"), len(ids), ran)
        self.assertEqual(PROXY.accepted.get("finalize"), len(ids), ran)
        views = [FLEET.manager.show(i) for i in ids]
        self.assertEqual(len({v["credential"]["fingerprint"] for v in views}), len(ids))
        failed = [s["text"] for v in views for s in v["steps"]
                  if s["text"].lower().startswith("failed:")]
        print(f"{self.id()}: {len(ids)} certificates in {time.monotonic() - self.begun:.1f} s, "
              f"{sum(PROXY.counts.values()) / len(ids):.1f} requests each, {len(failed)} runs failed "
              f"{failed[:3]}, {PROXY.weathered}", flush=True)

    def issue(self, prefix, count=COUNT):
        with ThreadPoolExecutor(4) as pool:
            ids = list(pool.map(lambda i: submit(f"{prefix}{i}", [f"{prefix}{i}.survival.example"]),
                                range(count)))
        self.wait_all(ids)
        self.one_each(ids)

    def stormy(self, share, kinds):
        """A share of the POSTs meets these fates: as cards are dealt, so that none is left out."""
        dice, deck, lock = random.Random(SEED), [], threading.Lock()

        def weather(_kind, method):
            if method != "POST":
                return None
            with lock:
                if not deck:
                    deck.extend(kinds + [None] * round(len(kinds) / share - len(kinds)))
                    dice.shuffle(deck)
                return deck.pop()
        PROXY.weather = weather

    def test_busy(self):
        self.stormy(0.2, ["busy"])
        self.issue("busy")
        self.assertGreater(PROXY.weathered["busy"], COUNT / 2)

    def test_lost_and_unreached(self):
        self.stormy(0.2, ["lost", "unreached"])
        self.issue("lost")
        self.assertGreater(PROXY.weathered["lost"], COUNT / 4)

    def test_held(self):
        PROXY.hold = 0.05
        self.issue("held")

    def test_nonces(self):
        for reject in (5, 20, 50):
            with self.subTest(reject):
                restart_ca(reject=reject)
                self.reset()
                self.begun = time.monotonic()
                self.issue(f"nonce{reject}-")

    def test_thirty_names(self):
        pairs = [(0, 0), (5, 50), (50, 100)]
        if RELEASE:
            pairs = [(reject, reuse) for reject in (0, 5, 50) for reuse in (0, 50, 100)]
        for reject, reuse in pairs:
            with self.subTest(reject=reject, reuse=reuse):
                restart_ca(reject=reject, reuse=reuse)
                self.reset()
                self.begun = time.monotonic()
                names = [f"n{i}.r{reject}-{reuse}.thirty.example" for i in range(30)]
                first = submit(f"a{reject}-{reuse}", names)
                self.wait_all([first])
                asked = PROXY.counts["challenge"]
                # the same names again: how many proofs count still is the CA's affair
                second = submit(f"b{reject}-{reuse}", names)
                self.wait_all([second])
                self.one_each([first, second])
                self.assertEqual(sorted(FLEET.manager.show(second)["credential"]["san"]),
                                 sorted(names))
                if reuse == 100:
                    self.assertEqual(PROXY.counts["challenge"], asked)


if __name__ == "__main__":
    print(f"seed {SEED}")
    unittest.main(verbosity=2)
