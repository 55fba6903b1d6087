"""A CA that misbehaves: every fault ends well, or in a state that tells what to do.

One real certmgr server against the fake CA (tests/fakeca). Each test has a case (directory, counts,
faults) and an ACME account of its own. What is transient is overcome with the same order; what is
not ends with cause, the CA's own words, the time of the next attempt and a hint, within a budget of
requests.
"""

import base64
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lab

sys.path[:0] = [str(lab.SOURCE / "tests/fakeca"), str(lab.SOURCE / "tests/fakes")]
import faults  # noqa: E402
from fakeca import FakeCA  # noqa: E402
from ocsp import Responder  # noqa: E402

ADDRESS, HTTP_PORT, CA_PORT, DNS_PORT, OCSP_PORT = "127.0.0.101", 5101, 12400, 12453, 12460
FEWEST = 8   # requests of one name when directory, account and nonce are there
ACCOUNT = 4  # before them: directory (looked at when the account is added, and by the order), nonce, account
DIRECTORY = SERVER = CA = DNS = None
SLOW = {}    # runs that take their time, beside the other tests: {Run: future of explained()}
POOL = ThreadPoolExecutor()


def setUpModule():
    global DIRECTORY, SERVER, CA, DNS
    DIRECTORY = Path(tempfile.mkdtemp(prefix="certmgr-fake-"))
    CA = FakeCA(DIRECTORY / "ca", CA_PORT, (ADDRESS, HTTP_PORT)).start()
    DNS = lab.Process("dns", ["pebble-challtestsrv", "-management", f"127.0.0.1:{DNS_PORT + 2}",
                              "-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01",
                              f"127.0.0.1:{DNS_PORT}", "-defaultIPv6", "", "-defaultIPv4", ADDRESS],
                      DIRECTORY).start()
    SERVER = lab.Server(DIRECTORY, "alpha", ADDRESS, challenge_port=HTTP_PORT,
                        directory_url=f"https://127.0.0.1:{CA_PORT}/")
    SERVER.extra = f"[network]\nresolver = 127.0.0.1:{DNS_PORT}\n"
    SERVER.target().init().start()
    SERVER.cli("root", "add", CA.issuer.root)
    start_slow()


def tearDownModule():
    SERVER.stop()
    DNS.stop()
    CA.stop()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


class Run:
    """One case at the CA and one credential that wants a certificate from it."""

    def __init__(self, name, names=None):
        self.name = name
        self.names = names or [f"{name}.fake.example"]
        self.case = CA.case(name)
        self.credential = self.view = None
        self.asked = 0  # requests at the CA until the view was taken

    def account(self, *extra, ca_bundle=None):
        SERVER.cli("account", "add", self.name, "--directory", self.case.url, "--agree-tos",
                   "--contact", "admin@example.com", "--ca-bundle", ca_bundle or CA.issuer.ca,
                   "--http-port", HTTP_PORT, *extra)
        return self

    def request(self, *extra):
        words = [word for name in self.names for word in ("-d", name)]
        self.credential = SERVER.json("request", *words, "-s", "alpha", "--account", self.name,
                                      "--keyring-file", f"{self.name}.kyr", *extra)["credential"]
        return self

    def submit(self):
        return self.account().request()

    def again(self):
        """An attempt that is under way ends first, as it met the CA: not every one is ours."""
        if self.end()["status"] != "issued":
            SERVER.ask("retry", self.credential)
        return self

    def end(self, attempts=1, timeout=120):
        """The credential as soon as it is issued, or has failed that often."""
        def over():
            self.asked, self.view = self.case.total(), SERVER.view(self.credential)
            view = self.view["credential"]
            failed = view["status"] == "error" and view["error"].get("attempts", 0) >= attempts
            # a look that is late may find the next attempt at work
            if failed and view["error"]["next_attempt_at"] not in self.view["next"]:
                return None
            return view if failed or view["status"] == "issued" else None
        return lab.wait_for(f"the end of {self.name}", over, timeout, 0.1)

    def issued(self, **kw):
        view = self.end(**kw)
        if view["status"] != "issued":
            raise AssertionError(f"not issued: {view['error']}\n{SERVER.tail()}")
        return view

    def failed(self, **kw):
        view = self.end(**kw)
        if view["status"] != "error":
            raise AssertionError(f"not failed but {view['status']}")
        return view["error"]


def start_slow():
    """They run beside the other tests."""
    never, nonce, endless = Run("neverready"), Run("badnonceever"), Run("endless")
    never.case.fault("finalize", faults.order_not_ready(times=None))
    nonce.case.fault("newOrder", faults.bad_nonce(times=None))
    endless.case.processing, endless.case.processing_life = None, 6
    look = FakeCase().explained
    SLOW[never] = POOL.submit(look, never.submit(), "attempts", budget=40)
    SLOW[nonce] = POOL.submit(look, nonce.submit(), budget=ACCOUNT + 129 + 1,
                              verbatim="this nonce was not issued here")
    SLOW[endless] = POOL.submit(look, endless.submit(), "expired", budget=20)


def dns_records(call, **what):
    request = urllib.request.Request(f"http://127.0.0.1:{DNS_PORT + 2}/{call}", json.dumps(what).encode())
    urllib.request.urlopen(request, timeout=30).close()


def epoch(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def seconds_from_now(text):
    return epoch(text) - time.time()


class FakeCase(unittest.TestCase):
    def finished(self, run, orders=1, issued=1, **kw):
        """The same order was finished: one order, one certificate."""
        view = run.issued(**kw)
        self.assertEqual(sorted(view["san"]), sorted(run.names))
        self.assertEqual(len(run.case.orders), orders, run.case.log)
        self.assertEqual(run.case.issued, issued, run.case.log)
        self.assertEqual(run.case.violations + run.case.manners, [])
        self.assertNotIn("error", view)
        return view

    def explained(self, run, *words, verbatim=None, budget=20, retry=None, **kw):
        """A state a person can read: what, why, the CA's words, what to do, when again."""
        error = run.failed(**kw)
        text = " | ".join([error["what"]] + error.get("causes", []))
        for word in words:
            self.assertIn(word, text)
        if verbatim is not None:
            self.assertEqual(error["problem"]["detail"], verbatim)
            self.assertIn(verbatim, text)
        self.assertTrue(error["hint"])
        self.assertTrue(error["object"])
        if retry:
            self.assertEqual(error["retry"], retry)
        # A look may be late, even after further attempts: all is of one view, in their measure.
        view = run.view
        failed = [s["at"] for s in view["steps"] if s["text"].startswith("Failed: ")]
        self.assertGreater(epoch(error["next_attempt_at"]) -
                           (epoch(failed[-1]) if failed else time.time()), 15)
        self.assertEqual(view["credential"]["next_action_at"], error["next_attempt_at"])
        self.assertNotIn("chain", view["credential"])
        self.assertLessEqual(run.asked, budget * error["attempts"], run.case.log)
        self.assertEqual(run.case.violations, [])
        return error


class Fair(FakeCase):
    def test_fewest_requests(self):
        run = Run("fair").submit()
        self.finished(run)
        counts = dict(run.case.counts)
        once = [counts.pop(kind) for kind in ("directory", "newNonce", "newAccount")]
        self.assertEqual(once, [2, 1, 1])
        self.assertLessEqual(sum(counts.values()) - run.case.vain, FEWEST, counts)

    def test_many_names(self):
        run = Run("names", [f"n{i}.names.example" for i in range(6)]).submit()
        self.finished(run)
        self.assertLessEqual(run.case.total() - run.case.vain, 2 * 6 + 5 + ACCOUNT + 2, run.case.log)

    def test_directory_without_meta(self):
        for name, meta in (("nullmeta", None), ("nullterms", {"termsOfService": None,
                                                              "caaIdentities": None})):
            run = Run(name)
            run.case.meta = meta
            run.case.directory = {"renewalInfo": None, "keyChange": None, "newAuthz": None}
            self.finished(run.submit())

    def test_processing_for_a_while(self):
        run = Run("processing")
        run.case.processing = 3
        self.finished(run.submit())

    def test_slow_drip(self):
        run = Run("drip")
        run.case.fault("*", faults.dripping(100, 0.02, times=None))
        self.finished(run.submit())

    def test_relative_links(self):
        """The second order of an account whose list has two pages, all links relative."""
        run = Run("relative")
        run.case.page = 1
        run.case.fault("*", faults.relative_links(times=None))
        run.case.fault("newOrder", faults.lost(skip=1))
        run.case.alternates = [lambda pems: "".join(pems)]
        self.finished(run.submit())
        second = Run("relative2", ["second.relative.example"])
        second.case, second.name = run.case, run.name
        second.request("--keyring-file", "relative2.kyr", "--alternate-chain", "Another root")
        self.finished(second, orders=2, issued=2)
        self.assertEqual((run.case.counts["newOrder"], run.case.counts["orders"]), (2, 2))
        self.assertEqual(run.case.counts["certificate"], 3)  # the other chain was looked at

    def test_the_registration_says_what_is_needed(self):
        """Contact and agreement go to the CA once, and nowhere else."""
        run = Run("quiet").submit()
        self.finished(run)
        registrations = [payload for kind, payload in run.case.said if kind == "newAccount"]
        self.assertEqual(registrations, [{"termsOfServiceAgreed": True,
                                          "contact": ["mailto:admin@example.com"]}])
        others = [said for said in run.case.said if said[0] != "newAccount"]
        self.assertNotIn("admin@", str(others))

    def test_a_late_responder(self):
        """The fake's own: a certificate is unknown to OCSP for a while, then good."""
        responder = Responder(DIRECTORY / "ocsp", OCSP_PORT, CA.issuer).start()
        self.addCleanup(responder.stop)
        run = Run("ocsp")
        run.case.ocsp, responder.late = responder.url, None
        self.finished(run.submit())
        leaf = DIRECTORY / "ocsp/leaf.pem"
        leaf.write_text(run.case.orders[0].pems[0])

        def ask():
            return subprocess.run(
                ["openssl", "ocsp", "-issuer", CA.issuer.intermediate, "-cert", leaf, "-url",
                 responder.url, "-CAfile", CA.issuer.root, "-verify_other", CA.issuer.intermediate,
                 "-trust_other", "-partial_chain"], capture_output=True, text=True,
                check=False).stdout
        self.assertIn("leaf.pem: unknown", ask())
        responder.late = 0.0
        self.assertIn("leaf.pem: good", ask())
        responder.revoked.add(responder.asked[-1][1])
        self.assertIn("leaf.pem: revoked", ask())

    def test_slow_replies(self):
        run = Run("slow")
        run.case.fault("*", faults.slow(0.3, times=None))
        self.finished(run.submit())


class Transient(FakeCase):
    """Every other client gives up for good on one of these, or buys a second certificate."""

    def test_one_429(self):
        runs = []
        for kind in ("newAccount", "newOrder", "authorization", "challenge", "order", "finalize",
                     "certificate"):
            runs.append(Run("limit" + kind.lower()))
            runs[-1].case.fault(kind, faults.rate_limited(2))
            runs[-1].submit()
        for run in runs:
            with self.subTest(run.name):
                self.finished(run)

    def test_one_429_with_a_date(self):
        run = Run("limitdate")
        run.case.fault("newOrder", faults.rate_limited(3, as_date=True))
        begun = time.monotonic()
        self.finished(run.submit())
        self.assertGreater(time.monotonic() - begun, 1.9)
        self.assertEqual(run.case.counts["newOrder"], 2)

    def test_one_order_not_ready(self):
        run = Run("notready")
        run.case.fault("finalize", faults.order_not_ready())
        self.finished(run.submit())
        self.assertEqual(run.case.counts["finalize"], 2)

    def test_lost_replies(self):
        runs = {}
        for kind in ("newAccount", "newOrder", "authorization", "challenge", "finalize",
                     "certificate"):
            run = runs[kind] = Run("lost" + kind.lower())
            run.case.fault(kind, faults.lost())
            run.submit()
        for kind, run in runs.items():
            with self.subTest(kind):
                self.finished(run)
                self.assertEqual(len(run.case.accounts), 1)
                if kind in ("newOrder", "finalize"):
                    self.assertEqual(run.case.counts[kind], 1, "sent twice")

    def test_lost_new_order_on_a_late_page(self):
        run = Run("latepage")
        run.case.page = 1
        run.case.fault("newOrder", faults.lost(skip=1))
        self.finished(run.submit())
        second = Run("latepage2", ["second.latepage.example"])
        second.case = run.case
        second.credential = SERVER.json("request", "-d", second.names[0], "-s", "alpha",
                                        "--account", "latepage", "--keyring-file",
                                        "latepage2.kyr")["credential"]
        self.finished(second, orders=2, issued=2)
        self.assertEqual(run.case.counts["newOrder"], 2)
        self.assertEqual(run.case.counts["orders"], 2)

    def test_lost_new_order_without_a_list(self):
        run = Run("nolist")
        run.case.orders_list = False
        run.case.fault("newOrder", faults.lost())
        self.finished(run.submit(), orders=2)  # nobody can know; still one certificate

    def test_requests_that_never_arrive(self):
        run = Run("unreached")
        for kind in ("directory", "newAccount", "newOrder", "finalize", "certificate"):
            run.case.fault(kind, faults.unreached())
        self.finished(run.submit())

    def test_error_pages(self):
        run = Run("pages")
        for kind in ("directory", "newNonce", "newOrder", "authorization", "finalize"):
            run.case.fault(kind, faults.error_page(502))
        self.finished(run.submit())

    def test_truncated_json_of_what_was_done(self):
        run = Run("cutjson")
        for kind in ("newOrder", "challenge", "finalize"):
            run.case.fault(kind, faults.truncated())
        self.finished(run.submit())

    def test_missing_nonces(self):
        run = Run("nononce")
        for kind in ("newAccount", "newOrder", "authorization", "challenge", "order", "finalize"):
            run.case.fault(kind, faults.no_nonce(times=None))
        self.finished(run.submit())
        self.assertGreaterEqual(run.case.counts["newNonce"], 5)

    def test_bad_nonce_storm(self):
        run = Run("badnonce")
        for kind in ("newAccount", "newOrder", "finalize", "certificate"):
            run.case.fault(kind, faults.bad_nonce(times=5))
        self.finished(run.submit())
        self.assertEqual(run.case.counts["newOrder"], 6)


class Explained(FakeCase):
    """Not overcome at once: the state says all, and the CA is left in peace until then."""

    def test_rate_limit_of_hours(self):
        for name, as_date in (("hours", False), ("hoursdate", True)):
            run = Run(name)
            detail = "too many <b>certificates</b> (5) %s %n already issued; see https://ca.example/x"
            run.case.fault("newOrder", faults.rate_limited(7200, as_date, detail))
            error = self.explained(run.submit(), "rateLimited", verbatim=detail, retry="transient")
            self.assertEqual(run.case.counts["newOrder"], 1)
            self.assertGreater(seconds_from_now(error["next_attempt_at"]), 7100)

    def test_error_page_for_ever(self):
        run = Run("pageever")
        run.case.fault("authorization", faults.error_page(503, times=None))
        error = self.explained(run.submit(), "HTTP 503", retry="transient")
        self.assertNotIn("<script>", str(error))
        run.case.rules.clear()
        self.finished(run.again())  # the same order

    def test_directory_that_is_no_json(self):
        for name, fault in (("dircut", faults.truncated(times=None)),
                            ("dirhtml", faults.error_page(200, times=None))):
            run = Run(name)
            run.case.fault("directory", fault)
            self.explained(run.submit(), "its directory", budget=3)

    def test_replies_beyond_the_caps(self):
        for name, fault in (("huge", faults.huge(times=None)), ("deep", faults.deep(times=None)),
                            ("head", faults.big_head(times=None)),
                            ("redirect", faults.redirect("https://127.0.0.1:1/", times=None))):
            run = Run(name)
            run.case.fault("authorization", fault)
            self.explained(run.submit(), "an authorization", budget=8)
            run.case.rules.clear()
            self.finished(run.again())

    def test_no_nonce_anywhere(self):
        run = Run("nononceever")
        run.case.fault("*", faults.no_nonce(times=None))
        self.explained(run.submit(), "nonce", budget=4)

    def test_bad_signature_algorithm(self):
        run = Run("badalg")
        run.case.fault("newAccount", faults.bad_algorithm(["EdDSA", "ES512"], times=None))
        self.explained(run.submit(), "EdDSA, ES512", verbatim="this algorithm is not wanted",
                       retry="configuration", budget=ACCOUNT)

    def test_subproblems(self):
        run = Run("subs", ["good.subs.example", "bad.subs.example", "worse.subs.example"])
        run.case.fault("newOrder", faults.subproblems(
            [("bad.subs.example", "rejectedIdentifier", "on the <i>block</i> list"),
             ("worse.subs.example", "caa", "CAA forbids")], times=None))
        error = self.explained(run.submit(), "bad.subs.example", "on the <i>block</i> list",
                               "worse.subs.example", "CAA forbids", retry="permanent", budget=ACCOUNT + 2)
        self.assertEqual(len(error["problem"]["subproblems"]), 2)
        self.assertEqual(run.case.counts["newOrder"], 1)

    def test_caa_before_an_order(self):
        """Records that forbid the CA: it hears nothing of the names; mended, the retry goes through."""
        run = Run("caa", ["www.caa.fake.example"])
        run.case.meta["caaIdentities"] = ["fake-ca.example"]
        dns_records("add-caa", host="caa.fake.example.",
                    policies=[{"tag": "issue", "value": "elsewhere.example"}])
        self.explained(run.submit(), 'CAA at caa.fake.example does not let the CA ("fake-ca.example")',
                       'issue "elsewhere.example"', retry="configuration", budget=ACCOUNT)
        self.assertEqual(list(run.case.counts), ["directory"])
        dns_records("add-caa", host="caa.fake.example.",
                    policies=[{"tag": "issue", "value": "fake-ca.example"}])
        self.finished(run.again())
        self.assertEqual(run.case.counts["newOrder"], 1)

    def test_user_action_required(self):
        run = Run("action")
        run.case.fault("newOrder", faults.user_action(
            "https://ca.example/agree", "https://ca.example/terms/2", times=None))
        error = self.explained(run.submit(), "https://ca.example/agree",
                               "https://ca.example/terms/2",
                               verbatim="the terms of service have changed",
                               retry="configuration", budget=5)
        self.assertIn("Operator", error["hint"])

    def test_every_row_of_the_decoder(self):
        """Each type of JPRS's table where a CA would send it, and what was tried after it."""
        runs = []
        for i, (kind, asked, status, retry, words) in enumerate(faults.ROWS):
            run = Run(f"row{i}")
            detail = (words or f"{kind} [%s]").replace("%s", f"<b>%s</b> {i}")
            if asked == "challenge":
                run.case.verdict = (kind, detail)
            else:
                run.case.fault(asked, faults.refuse(kind, detail, status, times=None))
            runs.append((run, kind, detail, retry))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda row: row[0].submit(), runs))
        for run, kind, detail, retry in runs:
            with self.subTest(kind, run=run.name):
                # conflict and its like are tried again within the run
                error = self.explained(run, kind, verbatim=detail, retry=retry, budget=24)
                self.assertEqual(error["problem"]["type"], faults.TYPE + kind)
                if kind == "invalidContact":
                    account = SERVER.document(f"account:{run.name}")
                    self.assertEqual(account["error"]["problem"]["detail"], detail)
                    self.assertEqual(account["status"], "error")

    def test_a_directory_for_one_kind_of_key(self):
        run = Run("ecdirectory")
        run.case.key_type = "EC"
        self.explained(run.account().request("--key-type", "RSA-2048"), "badCSR",
                       verbatim="this directory issues for EC keys only", retry="permanent")
        SERVER.ask("change", run.credential, "--key-type", "P-256")
        # the order of the first attempt was for the same names: it is still ready
        run.issued()
        self.assertEqual(run.case.issued, 1)

    def test_bindings(self):
        """EAB at the CA: unknown, with another key, used before, good (RFC 8555 7.3.4)."""
        key = os.urandom(32)

        def bound(name, kid, hmac, of=None):
            run = Run(name)
            run.case.meta = dict(run.case.meta, externalAccountRequired=True)
            run.case.bindings = {"kid-1": key}
            run.case.bound = of.case.bound if of else run.case.bound
            file = DIRECTORY / f"{name}.hmac"
            file.write_text(base64.urlsafe_b64encode(hmac).decode().rstrip("="))
            return run.account("--eab-kid", kid, "--eab-hmac-file", file).request()
        good = bound("eabgood", "kid-1", key)
        self.finished(good)
        self.assertEqual(good.case.bound, {"kid-1": 1})
        for name, kid, hmac, words in (
                ("eabunknown", "kid-2", key, "unable to create account"),
                ("eabkey", "kid-1", os.urandom(32), "the binding's MAC does not verify"),
                ("eabused", "kid-1", key, "unable to create account")):
            with self.subTest(name):
                run = bound(name, kid, hmac, good if name == "eabused" else None)
                # "malformed" might be the URL: the directory is read again, once
                error = self.explained(run, "malformed", verbatim=words, retry="permanent",
                                       budget=ACCOUNT + 1)
                self.assertIn("external account binding", error["hint"])
                self.assertEqual(run.case.accounts, {})

    def test_issue_without_a_name(self):
        """Offered with the names that were refused, done by a person, never by itself."""
        run = Run("without", ["a.without.example", "b.without.example", "c.without.example"])
        run.case.rejected = {"b.without.example": "on a list", "c.without.example": "as well"}
        error = self.explained(run.submit(), "b.without.example", "c.without.example",
                               retry="permanent")
        self.assertEqual(sorted(error["names"]), run.names[1:])
        self.assertEqual(run.case.orders, [])
        command = f"certmgr change {run.credential} -d 'a.without.example'"
        self.assertIn(command, SERVER.cli("show", run.credential).stdout)
        SERVER.ask("change", run.credential, "-d", "a.without.example")
        run.names = run.names[:1]
        self.finished(run)

    def test_a_ca_that_cannot_be_verified(self):
        """Another root than that of the directory's certificate: no request is made."""
        run = Run("stranger")
        run.account(ca_bundle=CA.issuer.root).request()
        self.explained(run, "certificate", budget=0)

    def test_plain_http_links(self):
        for kind, asked in (("directory", "newOrder"), ("newOrder", "authorization"),
                            ("authorization", "challenge")):
            with self.subTest(kind):
                run = Run("http" + kind.lower())
                run.case.fault(kind, faults.rewritten("https://", "http://", times=None))
                self.explained(run.submit(), "https", retry="configuration", budget=6)
                self.assertNotIn(asked, run.case.counts)

    def test_token_with_a_path(self):
        for name, token in (("tokenpath", "../../../../etc/x"), ("tokenempty", ""),
                            ("tokenlong", "a" * 300)):
            run = Run(name)
            run.case.token = token
            self.explained(run.submit(), "malformed token", budget=6)
            self.assertNotIn("challenge", run.case.counts)
            self.assertEqual(SERVER.show(run.credential)["challenge"], [])

    def test_validation_fails(self):
        run = Run("closed", ["open.closed.example", "shut.closed.example"])
        before, CA.resolve = CA.resolve, lambda name: (
            ("127.0.0.1", 1) if name.startswith("shut.") else (ADDRESS, HTTP_PORT))
        try:
            self.explained(run.submit(), "shut.closed.example", "Connection refused")
        finally:
            CA.resolve = before
        self.assertEqual(run.case.issued, 0)


class WaitsToTheEnd(FakeCase):
    """Bad nonces, orderNotReady and processing without end: begun in start_slow()."""

    def test_all(self):
        for run, future in SLOW.items():
            with self.subTest(run.name):
                error = future.result()
                if run.name == "endless":
                    self.assertIn("new order", error["hint"])
                    continue
                run.case.rules.clear()
                self.finished(run.again())  # the same order


class WrongCertificate(FakeCase):
    """What the CA delivers is looked at before it is believed."""

    def test_leaf_of_another_key_or_name(self):
        for name, leaf, word in (("otherkey", "other key", "key"),
                                 ("othernames", "other names", "does not name othernames.fake")):
            run = Run(name)
            run.case.leaf = leaf
            error = self.explained(run.submit(), word)
            # another order costs another certificate: not in a minute, but in a day
            self.assertGreater(seconds_from_now(error["next_attempt_at"]), 6 * 3600)

    def test_chain_in_the_wrong_order(self):
        run = Run("order")
        run.case.chain = lambda pems: "".join(reversed(pems))
        self.explained(run.submit(), "certificate")

    def test_text_in_the_chain(self):
        for name, chain in (("text", lambda pems: "subject=CN = x\n" + "".join(pems)),
                            ("block", lambda pems: "".join(pems) + pems[0].replace(
                                "CERTIFICATE", "PRIVATE KEY")),
                            ("cut", lambda pems: "".join(pems)[:-40]),
                            ("many", lambda pems: pems[0] + pems[1] * 40),
                            ("hugechain", lambda pems: "".join(pems) + "\n" * 300_000)):
            with self.subTest(name):
                run = Run(name)
                run.case.chain = chain
                self.explained(run.submit(), "chain", retry="transient")
                run.case.chain = None
                self.finished(run.again())  # the same order, downloaded again


if __name__ == "__main__":
    unittest.main(verbosity=2)
