"""Recipes against a fake provider with faults, and PowerDNS's recipe against the real server."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import lab
import recipe_variants

sys.path.insert(0, str(lab.SOURCE / "tests/fakes"))
from fake_rest_dns import PASSWORD, TOKEN, USER, FakeRest  # noqa: E402
from fake_route53 import KEY_ID, SECRET, FakeRoute53  # noqa: E402

ADDRESS, PORT, PDNS_PORT, PDNS_API = "127.0.24.1", 24001, 24053, 24081
PROGRAM = Path(os.environ.get("DNS_PROVIDER",
                              lab.CERTMGR.parent.parent / "tests/lab/dns-provider"))
NAME = "_acme-challenge.www.deep.example.com"
ONE, TWO = "one_" + "v" * 39, "two-" + "w" * 39
HOME = None

SEP_STEPS = {
    "zone": {"iterate": "suffix", "get": "/zones", "query": {"name": "{{zone.candidate}}"},
             "save": {"id": "/result/0/id"}},
    "find": {"get": "/zones/{{zone.id}}/records", "items": "/result",
             "where": {"/name": "{{name.fqdn}}", "/type": "TXT"}, "value": "/content", "id": "/id",
             "paging": {"query": "page", "last": "/pages"}},
    "add": {"post": "/zones/{{zone.id}}/records",
            "json": {"name": "{{name.fqdn}}", "content": "{{value}}", "ttl": "{{opt.ttl}}"},
            "save": {"record.id": "/id"}},
    "delete": {"del": "/zones/{{zone.id}}/records/{{record.id}}"}}
COMMON = {"schema": 1, "title": "Fake", "revision": 1, "gone": {"status": [404]},
          "already": {"pointer": "/code", "equals": 81058},
          "error": {"text": "/message", "code": "/code"}, "hosts": []}


def base_option(style):
    return {"name": "url", "base": True, "default": f"http://{ADDRESS}:{PORT}/{style}"}


def recipe(style, **parts):
    options = [base_option(style), {"name": "ttl", "default": 60}]
    return {**COMMON, "id": style, "options": options, **parts}


SEP = recipe("sep", credentials=[{"name": "token"}], txt={"mode": "sep"}, steps=SEP_STEPS,
             auth={"kind": "headers", "set": {"Authorization": "Bearer {{cred.token}}"}})
SET = recipe("set", credentials=[{"name": "password"}],
             txt={"mode": "set", "quoted": True, "item": {"text": "{{value}}", "note": "ours"}},
             auth={"kind": "basic", "user": USER, "password": "{{cred.password}}"},
             conflict={"status": [412]}, names={"zone": "dot"},
             steps={"zone": {"iterate": "list", "get": "/zones", "items": "", "name": "/name"},
                    "find": {"get": "/zones/{{zone.name}}/{{name.relative}}", "items": "/records",
                             "value": "/text", "save": {"record.etag": "/etag"}},
                    "put": {"put": "/zones/{{zone.name}}/{{name.relative}}",
                            "headers": {"If-Match": "{{record.etag}}"},
                            "json": {"records": "{{values}}"}},
                    "clear": {"del": "/zones/{{zone.name}}/{{name.relative}}"}})
SINGLE = recipe("single", credentials=[{"name": "token"}], txt={"mode": "single"}, reply="text",
                ok={"pointer": "", "begins": "OK"},
                auth={"kind": "query", "set": {"token": "{{cred.token}}"}},
                steps={"add": {"get": "/update", "query": {"name": "{{name.fqdn}}", "txt": "{{value}}"}},
                       "delete": {"get": "/update", "query": {"name": "{{name.fqdn}}",
                                                             "txt": "{{value}}", "clear": "1"}}})
LOGIN = recipe("login", credentials=[{"name": "password"}], txt={"mode": "sep"}, steps=SEP_STEPS,
               auth={"kind": "login", "set": {"X-Session": "{{login.session}}"},
                     "login": {"post": "/session", "save": {"session": "/data/session"},
                               "json": {"user": USER, "password": "{{cred.password}}"}},
                     "logout": {"del": "/session"}})
TEXT = recipe("text", credentials=[{"name": "key"}], txt={"mode": "sep"}, reply="text",
              ok={"pointer": "", "begins": "good"},
              already={"pointer": "", "equals": "ERROR duplicate"},
              gone={"pointer": "", "equals": "ERROR nohost"},
              auth={"kind": "body", "set": {"key": "{{cred.key}}"}},
              steps={k: {"post": "/" + k, "form": {"name": "{{name.fqdn}}", "value": "{{value}}"}}
                     for k in ("add", "delete")})
SECRETS = {"sep": {"token": TOKEN}, "set": {"password": PASSWORD}, "single": {"token": TOKEN},
           "login": {"password": PASSWORD}, "text": {"key": TOKEN}}


def setUpModule():
    global HOME
    HOME = Path(tempfile.mkdtemp(prefix="dns-providers-"))


def tearDownModule():
    shutil.rmtree(HOME)


def call(what, action, *values, secrets=None, record=None, options=None, name=NAME):
    """Runs dns-provider; returns its lines (one per value) and everything it printed."""
    args = [PROGRAM]
    if isinstance(what, dict):
        path = HOME / "recipe.json"
        path.write_text(json.dumps(what))
        args += ["--recipe", path]
        secrets = SECRETS.get(what["id"]) if secrets is None else secrets
    else:
        args += ["--kind", what]
    for flag, value in (("--secrets", secrets), ("--options", options), ("--record", record)):
        if value is not None:
            args += [flag, json.dumps(value)]
    done = subprocess.run([str(a) for a in [*args, action, name, *values]], capture_output=True,
                          text=True, timeout=60, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if len(lines) != len(values):
        raise lab.LabError(f"{done.args}: {done.stdout} {done.stderr}")
    return lines[0] if len(values) == 1 else lines, done.stdout + done.stderr


class Language(unittest.TestCase):
    """The schema for editors (packaging/dns/recipe.schema.json) and the lint say the same."""

    def test_the_schema_and_the_lint_agree(self):
        """Every member dropped, retyped, beside an unknown one, and at its limits."""
        said = recipe_variants.verdicts(
            lambda file: subprocess.run([str(PROGRAM), "--verdicts", str(file)], capture_output=True, text=True,
                                        timeout=300, check=True).stdout, HOME)
        self.assertEqual([what for what, word, yes in said if word == "fine" and not yes], [])
        more = {(what, word): recipe_variants.reason(word) for what, word, yes in said if word != "fine" and yes}
        self.assertEqual([key for key, why in more.items() if why is None], [])
        self.assertEqual(set(more.values()), set(recipe_variants.ONLY_LINT))  # a listed reason is one
        good = [(word, yes) for what, word, yes in said if what.endswith(" as it is")]
        self.assertEqual(good, [("fine", True)] * (len(recipe_variants.GOOD) + 1))
        self.assertGreater(sum(word != "fine" and not yes for _, word, yes in said), 2000)


class Base(unittest.TestCase):
    def setUp(self):
        self.fake = FakeRest(ADDRESS, PORT)
        self.addCleanup(self.fake.stop)

    def good(self, *args, **kw):
        line, text = call(*args, **kw)
        for one in line if isinstance(line, list) else [line]:
            self.assertNotIn("error", one, one)
        for secret in (TOKEN, PASSWORD, "session-1"):
            self.assertNotIn(secret, text)
        return line

    def bad(self, *args, **kw):
        line, text = call(*args, **kw)
        self.assertIn("error", line)
        for secret in (TOKEN, PASSWORD, "session-1"):
            self.assertNotIn(secret, text)
        return json.dumps(line["error"])

    def values(self):
        return sorted(v for _, v, _ in self.fake.records.values())


class Separate(Base):
    def test_two_values_and_a_foreign_one(self):
        for i in range(5):
            self.fake.records[i] = (NAME, f"foreign {i}", 0)
        one = self.good(SEP, "add", ONE)
        self.good(SEP, "add", TWO)
        self.assertEqual(self.values(), [f"foreign {i}" for i in range(5)] + [ONE, TWO])
        self.assertEqual(one["record"]["zone"]["name"], "deep.example.com")
        self.good(SEP, "delete", ONE, record=one["record"])
        self.assertIn("DELETE", self.fake.log[-1][0])
        self.good(SEP, "delete", TWO)  # without a record: looked for, on the last page
        self.assertEqual(self.values(), [f"foreign {i}" for i in range(5)])

    def test_values_side_by_side(self):
        limited = {**SEP, "limits": {"parallel": 1, "min_interval_ms": 20}}
        self.good(limited, "add", *[f"value-{i}" for i in range(4)])
        self.assertEqual(len(self.values()), 4)
        self.assertEqual(self.fake.most_at_once, 1)

    def test_adding_twice_is_adding_once_and_deleting_twice_is_fine(self):
        self.good(SEP, "add", ONE)
        again = self.good(SEP, "add", ONE)
        self.assertEqual(self.values(), [ONE])
        self.good(SEP, "delete", ONE, record=again["record"])
        self.good(SEP, "delete", ONE, record=again["record"])
        self.assertEqual(self.values(), [])

    def test_a_lost_answer_is_looked_after(self):
        self.fake.lose_adds = 1
        line = self.good(SEP, "add", ONE)
        self.assertEqual(self.values(), [ONE])
        self.assertEqual(line["record"]["record"]["id"], max(self.fake.records))
        self.assertEqual([m for m, _, _ in self.fake.log].count("POST"), 1)

    def test_an_identical_record_that_is_not_listed_yet(self):
        self.fake.hide_s = 60
        self.good(SEP, "add", ONE)
        self.good(SEP, "add", ONE)  # find does not see it; 409 with the code is success
        self.assertEqual(self.values(), [ONE])

    def test_busy_with_retry_after(self):
        self.fake.busy = 2
        line = self.good(SEP, "add", ONE)
        self.assertEqual(sum("status 429" in t for t in line["trace"]), 2)
        self.fake.busy, self.fake.retry_after = 1, "900"
        self.assertIn("next_attempt_at", self.bad(SEP, "add", TWO))

    def test_busy_for_ever_ends(self):
        self.fake.busy, self.fake.retry_after = 1000, "0"
        self.assertIn("429", self.bad(SEP, "add", ONE))
        self.assertLessEqual(len(self.fake.log), 20)

    def test_a_refused_token_is_told_but_not_shown(self):
        text = self.bad(SEP, "add", ONE, secrets={"token": "wrong-secret"})
        self.assertIn("unknown token", text)
        self.assertNotIn("wrong-secret", text)

    def test_what_a_reply_may_not_do(self):
        self.fake.answer = (302, {"Location": "http://127.0.24.9:1/"}, "")
        self.assertIn("302", self.bad(SEP, "add", ONE))
        self.fake.answer = (200, {}, json.dumps({"result": [{"id": "../../admin"}]}))
        self.good(SEP, "delete", ONE)  # escaped, it names nothing
        self.assertEqual(self.fake.log[-1][1], "/sep/zones/..%2F..%2Fadmin/records")
        self.fake.answer = (200, {}, json.dumps({"result": [{"id": ".."}]}))
        self.assertIn("..", self.bad(SEP, "delete", ONE))
        self.assertFalse([p for _, p, _ in self.fake.log if "/../" in p])
        self.fake.answer = (200, {}, "x" * 300000)
        self.assertIn("error", call(SEP, "add", ONE)[0])
        self.fake.answer = (200, {}, "[" * 5000)
        self.assertIn("JSON", self.bad(SEP, "add", ONE))
        self.fake.answer = (200, {}, json.dumps({"result": []}))
        self.assertIn("no zone for", self.bad(SEP, "add", ONE))


class Sets(Base):
    def text(self):
        return sorted(v for v, _ in self.fake.sets.get("_acme-challenge.www", []))

    def test_merge_keeps_foreign_values_and_their_members(self):
        self.fake.sets["_acme-challenge.www"] = [('"foreign"', "not ours")]
        self.good(SET, "add", ONE)
        self.good(SET, "add", TWO)
        self.assertEqual(self.text(), sorted(['"foreign"', f'"{ONE}"', f'"{TWO}"']))
        self.assertIn(('"foreign"', "not ours"), self.fake.sets["_acme-challenge.www"])
        self.good(SET, "delete", ONE)
        self.good(SET, "delete", TWO)
        self.assertEqual(self.fake.sets["_acme-challenge.www"], [('"foreign"', "not ours")])

    def test_the_last_value_clears_the_set(self):
        self.good(SET, "add", ONE)
        self.good(SET, "delete", ONE)
        self.assertEqual(self.fake.sets, {})
        self.good(SET, "delete", ONE)

    def test_another_writer_comes_between(self):
        def write_once():
            self.fake.interfere = None
            self.fake.sets["_acme-challenge.www"] = [('"other writer"', "")]
            self.fake.version += 1
        self.fake.interfere = write_once
        line = self.good(SET, "add", ONE)
        self.assertEqual(self.text(), ['"one_' + "v" * 39 + '"', '"other writer"'])
        self.assertTrue(any("412" in t for t in line["trace"]))


class Others(Base):
    def test_one_value_with_the_token_in_the_query(self):
        self.good(SINGLE, "add", ONE)
        self.assertEqual(self.fake.single, {NAME: ONE})
        self.good(SINGLE, "delete", ONE)
        self.assertEqual(self.fake.single, {})
        self.assertIn("KO", self.bad(SINGLE, "add", ONE, secrets={"token": "other"}))

    def test_login_and_logout(self):
        line = self.good(LOGIN, "add", ONE)
        self.assertEqual((self.fake.logins, self.fake.logouts, self.fake.sessions), (1, 1, set()))
        self.assertTrue(any('"password":"***"' in t for t in line["trace"]), line)
        text = self.bad(LOGIN, "add", TWO, secrets={"password": "wrong-one"})
        self.assertIn("wrong password ***", text)

    def test_a_kept_session_serves_the_next_value_until_it_ends(self):
        auth = {**LOGIN["auth"], "lifetime": "/data/life"}
        del auth["logout"]
        kept = {**LOGIN, "auth": auth, "limits": {"serial": True}}
        self.good(kept, "add", ONE, TWO)
        self.assertEqual((self.fake.logins, len(self.values())), (1, 2))
        self.fake.session_uses = 7  # in the middle of the second value
        self.good(kept, "delete", ONE, TWO)
        self.assertEqual((self.fake.logins, self.values()), (3, []))

    def test_form_and_text(self):
        self.good(TEXT, "add", ONE)
        self.good(TEXT, "add", ONE)
        self.assertEqual(self.values(), [ONE])
        self.good(TEXT, "delete", ONE)
        self.good(TEXT, "delete", ONE)
        self.assertEqual(self.values(), [])

    def test_webhook(self):
        self.fake.answer = (200, {}, "")
        self.good("webhook", "add", ONE, options={"url": f"http://{ADDRESS}:{PORT}/hook"},
                  secrets={"username": USER, "password": PASSWORD})
        method, path, body = self.fake.log[-1]
        self.assertEqual((method, path), ("POST", "/hook/present"))
        self.assertEqual(json.loads(body), {"fqdn": NAME + ".", "value": ONE})
        self.good("webhook", "delete", ONE, options={"url": f"http://{ADDRESS}:{PORT}/hook"})
        self.assertEqual(self.fake.log[-1][1], "/hook/cleanup")
        self.assertIn("https", self.bad("webhook", "add", ONE, options={"url": "http://192.0.2.1/"}))


class Route53(unittest.TestCase):
    def setUp(self):
        self.fake = FakeRoute53(ADDRESS, PORT + 1)
        self.addCleanup(self.fake.stop)

    def call(self, action, value, secret=SECRET, **options):
        line, text = call("route53", action, value,
                          secrets={"access_key_id": KEY_ID, "secret_access_key": secret},
                          options={"endpoint": f"http://{ADDRESS}:{PORT + 1}", **options})
        self.assertNotIn(SECRET, text)
        return line

    def test_merge_wait_and_delete(self):
        self.fake.sets[NAME + "."] = [300, ['"foreign & value"']]
        self.assertEqual(self.call("add", ONE)["record"], {"zone": "ZPUBLIC1"})
        self.call("add", TWO, zone_id="ZPUBLIC1")
        self.assertEqual(self.fake.sets[NAME + "."],
                         [300, ['"foreign & value"', f'"{ONE}"', f'"{TWO}"']])
        self.assertEqual(self.fake.polls, 2)
        self.fake.polls_until_sync = 1
        self.call("delete", ONE, zone_id="ZPUBLIC1")
        self.call("delete", TWO, zone_id="ZPUBLIC1")
        self.assertEqual(self.fake.sets[NAME + "."], [300, ['"foreign & value"']])

    def test_alone_throttled_and_refused(self):
        self.fake.polls_until_sync, self.fake.throttle = 1, 1
        self.call("add", ONE, zone_id="ZPUBLIC1", ttl=5)
        self.assertEqual(self.fake.sets, {NAME + ".": [5, [f'"{ONE}"']]})
        self.call("delete", ONE, zone_id="ZPUBLIC1", ttl=60)
        self.assertEqual(self.fake.sets, {})
        self.assertIn("signatures differ", json.dumps(self.call("add", ONE, secret="x")["error"]))
        self.fake.sets[NAME + "."] = [5, ['"a"']]
        self.fake.routing.add(NAME + ".")
        self.assertIn("routing policy",
                      json.dumps(self.call("add", ONE, zone_id="ZPUBLIC1")["error"]))


class PowerDns(unittest.TestCase):
    """The packaged server with a database of its own; what it serves is asked with dig."""

    @classmethod
    def setUpClass(cls):
        home = HOME / "pdns"
        home.mkdir()
        schema = Path("/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql")
        if not schema.exists() or not shutil.which("pdns_server"):
            raise unittest.SkipTest("pdns-server with its sqlite3 backend is not installed")
        base = sqlite3.connect(home / "pdns.db")
        base.executescript(schema.read_text())
        base.close()
        (home / "pdns.conf").write_text(
            f"launch=gsqlite3\ngsqlite3-database={home}/pdns.db\nlocal-address={ADDRESS}\n"
            f"local-port={PDNS_PORT}\nsocket-dir={home}\napi=yes\napi-key=key-secret-1234\n"
            f"webserver=yes\nwebserver-address={ADDRESS}\nwebserver-port={PDNS_API}\n"
            f"webserver-allow-from=127.0.0.0/8\ncache-ttl=0\nquery-cache-ttl=0\n"
            f"negquery-cache-ttl=0\nzone-cache-refresh-interval=0\nguardian=no\ndaemon=no\n"
            f"disable-syslog=yes\n")
        cls.server = lab.Process("pdns", ["pdns_server", f"--config-dir={home}"], home).start()
        lab.wait_for("PowerDNS", lambda: lab.port_open(ADDRESS, PDNS_API))
        cls.api("POST", "", {"name": "example.com.", "kind": "Native",
                             "nameservers": ["ns1.example.com."]})
        cls.recipe = json.loads((lab.SOURCE / "packaging/dns/powerdns.json").read_text())

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    @classmethod
    def api(cls, method, path, body):
        url = f"http://{ADDRESS}:{PDNS_API}/api/v1/servers/localhost/zones{path}"
        lab.run(["curl", "-sSf", "-X", method, "-H", "X-API-Key: key-secret-1234", "-d",
                 json.dumps(body), url])

    def dig(self):
        out = lab.run(["dig", "+short", "+tries=3", f"@{ADDRESS}", "-p", PDNS_PORT, NAME, "TXT"])
        return sorted(line.strip('"') for line in out.splitlines())

    def call(self, action, value, **kw):
        line, text = call(self.recipe, action, value, secrets={"key": "key-secret-1234"},
                          options={"url": f"http://{ADDRESS}:{PDNS_API}"}, **kw)
        self.assertNotIn("error", line, line)
        self.assertNotIn("key-secret-1234", text)
        return line["record"] if action == "add" else None

    def test_name_and_wildcard_beside_a_foreign_value(self):
        self.api("PATCH", "/example.com.", {"rrsets": [
            {"name": NAME + ".", "type": "TXT", "ttl": 60, "changetype": "REPLACE",
             "records": [{"content": '"foreign value"', "disabled": False}]}]})
        one = self.call("add", ONE)
        self.assertEqual(one["zone"]["name"], "example.com")
        two = self.call("add", TWO)
        self.call("add", TWO)
        self.assertEqual(self.dig(), sorted([ONE, TWO, "foreign value"]))
        self.call("delete", ONE, record=one)
        self.assertEqual(self.dig(), sorted([TWO, "foreign value"]))
        self.call("delete", TWO, record=two)
        self.call("delete", TWO)
        self.assertEqual(self.dig(), ["foreign value"])

    def test_the_last_value_clears_the_set(self):
        name = NAME.replace("www", "other")
        self.call("add", ONE, name=name)
        self.call("delete", ONE, name=name)
        out = lab.run(["dig", f"@{ADDRESS}", "-p", PDNS_PORT, name, "TXT"])
        self.assertIn("NXDOMAIN", out)


if __name__ == "__main__":
    unittest.main()
