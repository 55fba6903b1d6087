"""A fleet behind a hub: manager and three servers are clients of an npm pouchdb-express-router with
TLS and Basic authentication, and of nothing else. A request goes its way through it, over a SIGKILL
of the hub; a hostile member spoils its documents, and nothing that is deployed changes."""

import base64
import json
import shutil
import tempfile
import unittest
from pathlib import Path

import lab
from lab_hub import PASSWORD, USER, Hub

NET = "127.0.30"
HUB_PORT = 10500
EVIL = "f" * 32
ULID = "01J0000000000000000000000"


class HubTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="certmgr-hub-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.hub = Hub(cls.directory / "hub", f"{NET}.10", HUB_PORT).start()
        cls.addClassCleanup(lambda: cls.hub.process.stop())
        cls.hub.call("PUT", "/certstore")
        pebble = lab.Pebble(cls.directory / "ca", 10510, 10550)
        pebble.admin_port, pebble.tls_port = 10600, 10511
        cls.pebble = pebble
        cls.addClassCleanup(pebble.stop)
        pebble.start(f"{NET}.11")
        cls.server = {}
        for i, name in enumerate(("alpha", "bravo", "charlie", "delta")):
            server = lab.Server(cls.directory, name, f"{NET}.{11 + i}", pebble,
                                challenge_port=10510).target()
            cls.server[name] = server
            cls.addClassCleanup(server.stop)
        cls.manager = cls.server["alpha"]
        cls.manager.init().start()
        for name in ("bravo", "charlie", "delta"):
            cls.server[name].join(cls.manager).start()
            pebble.address(f"{name}.example.com", cls.server[name].address)
        cls.password = cls.directory / "password"
        cls.password.write_text(PASSWORD + "\n")
        cls.upstream_set()
        cls.manager.cli("account", "add", "pebble", "--directory", pebble.url, "--agree-tos",
                        "--contact", "admin@example.com", "--ca-bundle", pebble.ca, "--http-port",
                        10510)
        cls.manager.cli("root", "add", pebble.root())
        cls.manager.cli("settings", "--account", "pebble")
        cls.first = cls.issue("bravo", "charlie.example.com", "delta.example.com",
                              servers=("charlie", "delta"))

    @classmethod
    def upstream_set(cls):
        for server in cls.server.values():
            shown = server.json("upstream", "set", cls.hub.url + "/certstore", "--user", USER,
                                "--password-file", cls.password, "--ca-file", cls.hub.ca)
            assert shown["ok"], shown

    @classmethod
    def issue(cls, at, *names, servers):
        """Submits at one server, waits until the others have deployed; the credential's id."""
        words = [word for name in names for word in ("-d", name)]
        words += [word for name in servers for word in ("--server", name)]
        answer = cls.server[at].json("request", *words)
        credential = answer["credential"]
        lab.wait_for("the request at the manager", lambda: cls.manager.cli(
            "show", credential, check=False).returncode == 0)
        cls.manager.wait_issued(credential)

        def deployed():
            rows = {r["server"]: r["state"] for r in cls.manager.show(credential)["receipts"]}
            return all(rows.get(s) in ("deployed", "reloaded", "served") for s in servers)
        lab.wait_for("receipts through the hub", deployed, 60, 0.2)
        return credential

    def refused(self, server, doc_id):
        return [row for row in self.server[server].json("replication", "refused")["quarantine"]
                if row["id"] == doc_id]

    def refused_somewhere(self, doc_id):
        """The manager may have put it right before a server looked, but then has seen all itself."""
        return [row for server in self.server for row in self.refused(server, doc_id)]

    def effective(self, server, credential):
        """What a server holds as good: fingerprint of its credential."""
        return self.server[server].show(credential)["credential"]["fingerprint"]

    def wait_healed(self, doc_id, serial, docs):
        """Until a revision of that serial or a later one wins, and none of what was posted."""
        def healed():
            winner = self.hub.winner(doc_id)
            return winner and winner.get("serial", 0) >= serial and \
                winner["_rev"] not in [doc["_rev"] for doc in docs]
        return lab.wait_for(f"{doc_id} to be put right on the hub", healed, 60, 0.2)

    @staticmethod
    def wait_at_work(server):
        """Until both directions go on without an error."""
        def both():
            rows = server.json("replication", "status")["directions"]
            return len(rows) == 2 and all(
                row["state"] in ("live", "replicating") and "error" not in row and
                "last_success_at" in row for row in rows)
        lab.wait_for(f"{server.name} in both directions", both, 60, 0.2)

    # -- the fleet as one ------------------------------------------------------------------------

    def test_1_the_hub_is_the_only_upstream(self):
        for name, server in self.server.items():
            status = server.json("replication", "status")
            self.assertEqual(status["upstream"]["kind"], "hub")
            self.assertEqual(status["upstream"]["user"], USER)
            self.assertEqual({row["direction"] for row in status["directions"]}, {"pull", "push"},
                             name)
            self.wait_at_work(server)

        def through_the_hub():
            peers = {row["peer"]: row for row in
                     self.manager.json("replication", "status")["peers"]}
            return all(not peers[name]["feed"] and peers[name].get("through") == "hub"
                       for name in ("bravo", "charlie", "delta")) and peers
        peers = lab.wait_for("all to be seen through the hub", through_the_hub, 60, 0.2)
        self.assertIn("last_seen_at", peers["charlie"])
        self.assertIn("upstream: hub", self.manager.cli("replication", "status").stdout)

    def test_2_the_secret_stays_where_it_is(self):
        wanted = [PASSWORD.encode(), base64.b64encode(f"{USER}:{PASSWORD}".encode())]
        for server in self.server.values():
            for path, data in server.files():
                for secret in wanted:
                    self.assertNotIn(secret, data, path)
            pids = [server.process.child.pid] + [pid for pid, _ in server.children()]
            for pid in pids:
                for part in ("cmdline", "environ"):
                    self.assertNotIn(wanted[0], Path(f"/proc/{pid}/{part}").read_bytes())
            self.assertNotIn(PASSWORD, server.cli("upstream", "show", "--json").stdout)

    def test_3_settings_that_cannot_be(self):
        bravo = self.server["bravo"]
        before = bravo.json("upstream", "show")
        for words in (("http://hub.example/certstore",), ("https://hub.example/",),
                      ("https://u:p@hub.example/certstore",), ("https://hub.example/a", "--user", "x")):
            done = bravo.cli("upstream", "set", *words, check=False)
            self.assertNotEqual(done.returncode, 0, words)
        self.assertEqual(bravo.json("upstream", "show"), before)
        # The hub's certificate counts: without its CA nothing is said to it.
        done = bravo.cli("upstream", "set", self.hub.url + "/certstore", "--user", USER,
                         "--password-file", self.password, "--json", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertFalse(json.loads(done.stdout)["ok"])
        done = bravo.cli("upstream", "set", self.hub.url + "/certstore", "--user", "nobody",
                         "--password-file", self.password, "--ca-file", self.hub.ca, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("HTTP 401", done.stdout)
        self.upstream_set()

    def test_4_the_hub_is_killed(self):
        self.hub.kill()
        lab.wait_for("the outage to be seen", lambda: any(
            row["state"] == "waiting" and "lag_seconds" in row for row in
            self.server["charlie"].json("replication", "status")["directions"]), 60, 0.2)
        answer = self.server["charlie"].json("request", "-d", "bravo.example.com", "--server",
                                             "bravo")
        self.hub.start()
        self.manager.cli("upstream", "test")
        credential = answer["credential"]
        lab.wait_for("the request through the hub", lambda: self.manager.cli(
            "show", credential, check=False).returncode == 0, 60, 0.2)
        self.manager.wait_issued(credential)
        lab.wait_for("bravo's receipt", lambda: [
            r for r in self.manager.show(credential)["receipts"] if r["server"] == "bravo" and
            r["state"] in ("deployed", "reloaded", "served")], 60, 0.2)
        self.wait_at_work(self.server["charlie"])
        row = self.server["charlie"].json("replication", "status")["directions"][0]
        self.assertIn("last_error", row)

    # -- a hostile member ------------------------------------------------------------------------

    def spoil_and_look(self, doc_id, docs, reason, serial):
        """Posts revisions of a document of the first credential: they are listed with a reason,
        nothing changes on a server, and the hub shows the good version again."""
        before = self.effective("charlie", self.first)
        files = self.deployed("charlie")
        self.hub.spoil(*docs)
        lab.wait_for(f"{doc_id} in the list", lambda: any(
            reason in row["reason"] for row in self.refused_somewhere(doc_id)), 60, 0.2)
        self.wait_healed(doc_id, serial, docs)
        self.assertEqual(self.effective("charlie", self.first), before)
        self.assertEqual(self.deployed("charlie"), files)

    def deployed(self, server):
        data = self.server[server].data
        return {str(p.relative_to(data)): p.read_bytes() for p in data.rglob("*") if p.is_file()}

    def test_5_high_generation(self):
        doc_id = f"credential:{self.first}"
        good = self.hub.winner(doc_id)
        self.spoil_and_look(doc_id, [dict(good, _rev=f"999999999-{EVIL}", status="revoked")],
                            "generation", good["serial"])

    def test_6_buried_as_a_tombstone(self):
        doc_id = f"keyfile:{self.first}"
        good = self.hub.leaves(doc_id)[0]
        start, ids = good["_revisions"]["start"], good["_revisions"]["ids"]
        grave = dict(good, _rev=f"{start + 1}-{EVIL}", _deleted=True,
                     _revisions={"start": start + 1, "ids": [EVIL] + ids})
        self.spoil_and_look(doc_id, [grave], "signature", good["serial"])
        # And stripped of everything, below what the manager posted again.
        again = max(self.hub.leaves(doc_id), key=lambda leaf: leaf.get("serial", 0))
        start, ids = again["_revisions"]["start"], again["_revisions"]["ids"]
        self.spoil_and_look(doc_id, [{"_id": doc_id, "_rev": f"{start + 1}-{EVIL}",
                                      "_deleted": True, "_revisions":
                                      {"start": start + 1, "ids": [EVIL] + ids}}],
                            "", good["serial"])

    def test_7_swapped_unsigned_and_forked(self):
        doc_id = f"keyfile:{self.first}"
        good = self.hub.winner(doc_id)
        other = self.hub.winner(f"credential:{self.first}")
        generation = int(good["_rev"].split("-")[0])
        leaves = [
            dict(other, _id=doc_id, _rev=f"{generation + 1}-{'a' * 32}"),
            {k: v for k, v in dict(good, _rev=f"{generation + 2}-{'b' * 32}").items()
             if k != "signature"},
            dict(good, _rev=f"{generation + 3}-{'c' * 32}", servers=["charlie", "evil"]),
            dict(good, _rev=f"{generation + 4}-{'d' * 32}", blob="x" * 300000),
        ]
        self.spoil_and_look(doc_id, leaves, "signature", good["serial"])
        lab.wait_for("all four in the list", lambda: {leaf["_rev"] for leaf in leaves} <= {
            row["rev"] for row in self.refused_somewhere(doc_id)}, 60, 0.2)

    def test_8_others_receipts_and_numbers_beyond_all(self):
        forged = f"receipt:delta:{self.first}"
        good = self.hub.winner(forged)
        mine = self.hub.winner(f"receipt:charlie:{self.first}")
        spoiled = dict(mine, _id=forged, server="delta", _rev=f"9-{EVIL}")
        self.hub.spoil(spoiled)
        lab.wait_for("the forged receipt in the manager's list",
                     lambda: self.refused("alpha", forged), 60, 0.2)
        self.wait_healed(forged, good["serial"], [spoiled])
        # Generations that no integer holds, history without end, JSON without bottom.
        deep = {}
        for _ in range(500):
            deep = {"d": deep}
        monsters = [
            {"_id": "settings:deep", "_rev": f"1-{EVIL}", "type": "settings", "x": deep},
            {"_id": "settings:long", "_rev": f"300000-{EVIL}", "_revisions":
             {"start": 300000, "ids": [EVIL] + [f"{i:032x}" for i in range(3000)]}},
            {"_id": "settings:huge", "_rev": f"100000000000000000000000000-{EVIL}"},
        ]
        for monster in monsters:
            try:
                self.hub.spoil(monster)
            except OSError:
                pass  # the hub itself refuses some
        credential = self.issue("delta", "delta.example.com", servers=("delta",))
        self.assertTrue(credential)
        for server in self.server.values():
            self.wait_at_work(server)

    def test_9_the_list_is_cleared(self):
        rows = self.server["charlie"].json("replication", "refused")["quarantine"]
        self.assertTrue(rows)
        charlie = self.server["charlie"]
        charlie.cli("replication", "clear", rows[0]["id"], rows[0]["rev"])
        self.assertFalse([row for row in self.refused("charlie", rows[0]["id"])
                          if row["rev"] == rows[0]["rev"]])
        done = charlie.cli("replication", "clear", "settings:none", "1-a", check=False)
        self.assertEqual(done.returncode, 3)
        charlie.cli("replication", "clear", "--all")
        self.assertEqual(charlie.json("replication", "refused")["quarantine"], [])
        self.assertGreater(self.manager.json("replication", "status")["upstream"]["healed"], 3)
        self.server["bravo"].cli("upstream", "remove")
        self.assertEqual(self.server["bravo"].json("upstream", "show")["kind"], "manager")
        lab.wait_for("bravo at the manager again", lambda: [
            row for row in self.manager.json("replication", "status")["peers"]
            if row["peer"] == "bravo" and row["feed"]], 60, 0.2)


if __name__ == "__main__":
    unittest.main()
