"""A fleet behind a CouchDB 3.x cluster, as far as a scripted one can stand for it (tests/fakes/couchdb3.py):
sequences that name nodes and copies and go back when one is lost, writes accepted by too few,
documents that one node knows and the next one does not yet, answers that break off, errors of a moment
in a row or for a whole request. Manager and servers go on as one, and nothing is lost on the way."""

import base64
import json
import shutil
import ssl
import sys
import tempfile
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import lab
from lab_hub import Authority, Gate

sys.path.insert(0, str(lab.SOURCE / "tests/fakes"))
import couchdb3  # noqa: E402
from couchdb3 import After, Answer, Cut, Silence  # noqa: E402
from couchdb3_cluster import NODES, RANGES  # noqa: E402

NET = "127.0.98"
PORTS = {"ui_port": 29843, "replication_port": 29844, "challenge_port": 29845}
NAMES = ("alpha", "bravo", "charlie")
TIMEOUT = (500, "timeout", "The request could not be processed in a reasonable amount of time.")


class CouchDB3(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = Path(tempfile.mkdtemp(prefix="certmgr-couchdb3-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        (cls.dir / "hub").mkdir()
        authority = Authority(cls.dir / "hub", "Hub CA", "ca")
        authority.issue("tls", "hub", f"subjectAltName=IP:{NET}.10\n")
        cls.clients = Authority(cls.dir / "hub", "Clients CA", "clients")
        cls.hub = couchdb3.Hub(cls.dir / "hub", f"{NET}.10", 29800, {
            "admin": ("admin's", ["_admin"]), "other": ("other's", []),
            **{name: (f"the hub's secret of {name}", []) for name in NAMES}})
        cls.hub.members = set(NAMES)
        cls.hub.start()
        cls.addClassCleanup(cls.hub.stop)
        cls.pebble = lab.Pebble(cls.dir / "ca", PORTS["challenge_port"], 29794)
        cls.addClassCleanup(cls.pebble.stop)
        cls.pebble.start(f"{NET}.13")
        cls.server = {}
        for i, name in enumerate(NAMES):
            cls.server[name] = lab.Server(cls.dir, name, f"{NET}.{11 + i}", cls.pebble,
                                          **PORTS).target()
            cls.addClassCleanup(cls.server[name].stop)
        cls.alpha, cls.bravo, cls.charlie = cls.server.values()
        cls.alpha.init().start()
        for server in (cls.bravo, cls.charlie):
            server.join(cls.alpha).start()
        cls.alpha.cli("account", "add", "pebble", "--directory", cls.pebble.url, "--agree-tos",
                      "--contact", "admin@example.com", "--ca-bundle", cls.pebble.ca, "--http-port",
                      PORTS["challenge_port"])
        cls.alpha.cli("root", "add", cls.pebble.root())
        cls.alpha.cli("settings", "--account", "pebble")
        cls.days, cls.names = 10, 0

    # -- helpers ----------------------------------------------------------------------------------

    def ask(self, method, path, user=None):
        """(status, body) of a request to the hub."""
        headers = {}
        if user:
            words = f"{user}:{self.hub.users[user][0]}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(words).decode()
        request = urllib.request.Request(self.hub.url + path, method=method, headers=headers,
                                         data=b"{}" if method == "POST" else None)
        context = ssl.create_default_context(cafile=str(self.hub.ca))
        try:
            with urllib.request.urlopen(request, context=context, timeout=30) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def upstream_set(self, server, user=None, password=None, check=True, url=None, words=None):
        user = user or server.name
        (self.dir / "password").write_text((password or self.hub.users[user][0]) + "\n")
        words = words or ("--user", user, "--password-file", self.dir / "password")
        done = server.cli("upstream", "set", (url or self.hub.url) + "/certstore", "--ca-file",
                          self.hub.ca, *words, check=check)
        return done.returncode, done.stdout + done.stderr

    def rows(self, server):
        return {row["direction"]: row for row in server.json("replication", "status")["directions"]}

    def wait_live(self, server):
        lab.wait_for(f"{server.name} in both directions", lambda: [
            row["state"] == "live" and "error" not in row for row in self.rows(server).values()
        ] == [True, True], 90, 0.1)

    def wait_met(self):
        lab.wait_for("the hub's troubles to be met", lambda: self.hub.left() == 0, 90, 0.1)

    def change(self):
        """A document of the manager's: the next number of days."""
        type(self).days += 1
        self.alpha.cli("settings", "--renew-days", self.days)

    def wait_change(self, *servers):
        for server in servers or (self.bravo, self.charlie):
            lab.wait_for(f"{server.name} to have {self.days}", lambda server=server: server.json(
                "settings").get("renew_days") == self.days, 90, 0.1)

    def request(self, server):
        """A document of a server's: a request; returns the credential's id."""
        type(self).names += 1
        return server.json("request", "-d", f"site-{self.names}.example.com", "--server",
                           "charlie")["credential"]

    def wait_known(self, credential):
        lab.wait_for(f"{credential} at the manager", lambda: self.alpha.cli(
            "show", credential, check=False).returncode == 0, 90, 0.2)

    # -- the database, and who may use it ---------------------------------------------------------

    def test_01_no_database_no_right(self):
        status, said = self.upstream_set(self.bravo, check=False)
        self.assertEqual(status, 1)
        self.assertIn("Database does not exist.", said)
        self.assertIn("Create the database on the hub", said)
        lab.wait_for("the status to say it", lambda: "Create the database on the hub" in
                     self.bravo.cli("replication", "status").stdout, 60, 0.1)
        self.assertEqual(self.ask("PUT", "/certstore", "bravo")[0], 401)  # members cannot
        self.assertEqual(self.ask("PUT", "/certstore", "admin")[0], 201)
        self.assertEqual(self.ask("POST", "/certstore/_purge", "bravo")[0], 401)
        for user, password, why in (("other", "other's", "HTTP 403"), ("bravo", "wrong", "HTTP 401"),
                                    ("nobody", "x", "Name or password is incorrect.")):
            status, said = self.upstream_set(self.bravo, user, password, check=False)
            self.assertEqual(status, 1)
            self.assertIn(why, said)
            self.assertIn("Look at the user's name and password", said)

    def test_02_one_fleet_through_the_hub(self):
        database = self.hub.database
        # From here on, whatever a cluster does every day.
        database.null_seqs = self.hub.missed = self.hub.slow = True
        self.hub.uuids = [couchdb3.UUID, "f" * 32, "e" * 32]
        for server in self.server.values():
            self.assertEqual(self.upstream_set(server)[0], 0)
        for server in self.server.values():
            self.wait_live(server)
        credential = self.request(self.bravo)
        self.wait_known(credential)
        self.alpha.wait_issued(credential)
        self.alpha.wait_receipts(credential, ["charlie"], "deployed")
        peers = {row["peer"]: row for row in self.alpha.json("replication", "status")["peers"]}
        for name in ("bravo", "charlie"):
            self.assertFalse(peers[name]["feed"])
            self.assertEqual(peers[name].get("through"), "hub")
        self.assertIn(202, [entry[2] for entry in self.hub.requests("/_bulk_docs")])
        self.assertIn(202, [entry[2] for entry in self.hub.requests("/_local/")])
        self.hub.missed = False

    # -- sequences --------------------------------------------------------------------------------

    def test_03_lost_copies_rewind(self):
        """Everything appears again: nothing of it is fetched, and what is new comes."""
        database = self.hub.database
        fetched = set(self.hub.fetched)
        seen = len(self.hub.fetched)
        with self.hub.condition:
            database.replicate_inside()
            for span in RANGES:
                for node in NODES[:2]:
                    database.lose(node, span)
            database.down = {NODES[2]}
            self.hub.condition.notify_all()
        self.change()
        self.wait_change()
        self.assertIn(0, [to for _, to in database.rewound])
        with self.hub.condition:
            database.replicate_inside()
        self.change()
        self.wait_change()
        with self.hub.condition:
            database.down = set(NODES[:2])
            database.rewound.clear()
            self.hub.condition.notify_all()
        self.change()
        self.wait_change()
        self.assertTrue([1 for _, to in database.rewound if to > 0])
        with self.hub.condition:
            database.down = set()
        self.assertEqual(fetched & set(self.hub.fetched[seen:]), set())
        self.assertEqual(len(set(self.hub.fetched)), len(self.hub.fetched))

    # -- a moment's trouble -----------------------------------------------------------------------

    def test_04_requests_that_fail(self):
        down = (503, "service unavailable", "Nodes are unable to service this request at this time.")
        plan = self.hub.plan
        plan("POST", "/_bulk_docs", Answer(*TIMEOUT))
        plan("POST", "/_bulk_docs", After())
        plan("POST", "/_revs_diff", Answer(*down, [("Retry-After", "1")]))
        plan("POST", "/_bulk_get", Answer(412, "nodedown", "progress not possible"))
        plan("GET", "/certstore/$", Answer(404, "not_found", "no_db_file"))
        self.change()
        self.wait_change()
        plan("GET", r"/_changes.*longpoll", Cut(0, clean=True))
        plan("POST", "/_bulk_get", Answer(429, "too_many_requests", "Too many requests"))
        plan("POST", "/_bulk_get", Answer(404, "not_found", "Database does not exist."))
        plan("GET", "/_local/", Answer(500, "internal_server_error", "No DB shards could be opened."))
        plan("GET", "/_changes", Answer(423, "locked", "locked"))
        plan("GET", r"/$", Silence(0.5))
        self.change()
        self.wait_change()
        self.wait_met()

    def test_05_a_feed_that_breaks_off_goes_on(self):
        """A worker times out after some rows, each time: smaller questions get through."""
        database = self.hub.database
        for server in self.server.values():
            self.wait_live(server)
        self.bravo.stop()
        with self.hub.condition:
            local = dict(database.local)
            database.local.clear()  # everything is compared from the beginning
        self.assertTrue(local)
        self.hub.plan("GET", "limit=500&since=0$", Cut(3))
        self.hub.plan("GET", "limit=250&since=0$", Cut(3, clean=True))
        before = len(self.hub.requests("limit=125"))
        self.bravo.start()
        self.wait_live(self.bravo)
        self.wait_met()
        self.assertGreater(len(self.hub.requests("limit=125")), before)

    def test_06_documents_that_fail_alone(self):
        """What one document met in a whole answer that went well is tried once more."""
        rows = self.hub.rows
        rows("_bulk_docs", "^settings:", "internal_server_error", "no reply from any copy", 2)
        rows("_bulk_get", "^settings:", "not_found", "missing")
        rows("_bulk_get", "^settings:", "timeout", TIMEOUT[2])
        self.change()
        self.wait_change()
        rows("_bulk_docs", "^request:", "not_found", "no_db_file")
        rows("_bulk_get", "^request:", "internal_server_error", "all_dbs_active")
        self.wait_known(self.request(self.charlie))
        self.wait_met()
        for server in self.server.values():
            self.wait_live(server)
            self.assertEqual(server.json("replication", "refused")["quarantine"], [])

    # -- checkpoints ------------------------------------------------------------------------------

    def saved(self, server):
        return all(row["saved"] for row in self.rows(server).values())

    def test_07_checkpoints(self):
        """Conflicts in between: they are saved all the same, and found again though every node has
        another id."""
        conflict = Answer(409, "conflict", "Document update conflict.")
        self.hub.plan("PUT", "/_local/", conflict, 2)
        self.change()
        self.wait_change()
        self.wait_met()
        self.change()
        self.wait_change()
        lab.wait_for("checkpoints", lambda: self.saved(self.bravo) and self.saved(self.charlie), 60)
        documents = len(self.hub.database.local)
        for server in (self.bravo, self.charlie):
            before = len(self.hub.requests(r"/_changes.*since=0$"))
            server.stop()
            server.start()
            self.wait_live(server)
            self.assertEqual(len(self.hub.requests(r"/_changes.*since=0$")), before, server.name)
        self.assertEqual(len(self.hub.database.local), documents)

    # -- refusals ---------------------------------------------------------------------------------

    def test_08_what_the_hub_refuses_for_good(self):
        """One document is forbidden or too large: it alone stays away, and is told."""
        refused = self.rows(self.alpha)["push"]["refused"]
        self.hub.validate = lambda doc, user: doc["_id"].startswith("settings:") and \
            f"{user} may not write settings"
        self.change()
        lab.wait_for("the refusal", lambda: self.rows(self.alpha)["push"]["refused"] > refused, 60)
        self.assertIn("may not write settings", self.alpha.tail(400))
        self.hub.validate = None
        self.wait_live(self.alpha)
        self.change()
        self.wait_change()
        refused = self.rows(self.bravo)["push"]["refused"]
        self.hub.max_document_size = 100
        credential = self.request(self.bravo)
        lab.wait_for("the large one", lambda: self.rows(self.bravo)["push"]["refused"] > refused, 60)
        self.hub.max_document_size = 8_000_000
        self.assertNotEqual(self.alpha.cli("show", credential, check=False).returncode, 0)
        self.wait_live(self.bravo)
        self.wait_known(self.request(self.bravo))

    def test_09_the_password_changes(self):
        for name in NAMES:
            self.hub.users[name] = (f"another one of {name}", [])
        self.change()
        lab.wait_for("401 in the status", lambda: "Name or password is incorrect" in
                     self.alpha.cli("replication", "status").stdout, 60, 0.1)
        for server in self.server.values():
            self.assertEqual(self.upstream_set(server)[0], 0)
        self.wait_change()

    # -- client certificates ----------------------------------------------------------------------

    def test_10_by_client_certificate(self):
        """CouchDB demands the certificate (fail_if_no_peer_cert), but takes no name from it: the
        database is open to whoever came in."""
        gate = Gate(self.hub, 29801, self.clients).start()
        self.addCleanup(gate.stop)
        self.hub.public = True
        for name, server in self.server.items():
            cert, key = self.clients.issue(name, name)
            self.assertEqual(self.upstream_set(server, url=gate.url,
                                               words=("--cert", cert, "--key", key))[0], 0)
        self.change()
        self.wait_change()
        self.wait_known(self.request(self.charlie))
        self.assertEqual(set(gate.names), set(self.server))

    def test_11_by_certificate_and_password(self):
        """A proxy lets in by certificate, the CouchDB behind it wants a name: neither alone is
        enough."""
        gate = Gate(self.hub, 29801, self.clients).start()
        self.addCleanup(gate.stop)
        self.hub.public = False
        for name, server in self.server.items():
            user = ("--user", name, "--password-file", self.dir / "password")
            pair = self.clients.issue(name, name)
            cert = ("--cert", pair[0], "--key", pair[1])
            if name == "bravo":
                for words, why in ((user, ""), (cert, "You are not authorized")):
                    status, said = self.upstream_set(server, check=False, url=gate.url, words=words)
                    self.assertEqual(status, 1)
                    self.assertIn(why, said)
            self.assertEqual(self.upstream_set(server, url=gate.url, words=user + cert)[0], 0)
            self.assertIn("password and client certificate",
                          server.cli("upstream", "show").stdout)
        self.change()
        self.wait_change()
        self.wait_known(self.request(self.charlie))
        self.assertEqual(set(gate.names), set(self.server))


if __name__ == "__main__":
    unittest.main()
