"""A DNS provider that holds one TXT value at a time (as Duck DNS does): name and wildcard, and two
credentials, are proved one after the other. The fake provider's name server is what certmgr and
Pebble ask; it shows a value late when it is told to."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

import lab

sys.path.insert(0, str(lab.SOURCE / "tests/fakes"))
from fake_name_server import NameServer  # noqa: E402
from fake_rest_dns import TOKEN, FakeRest  # noqa: E402

ADDRESS, HTTP_PORT, CA_PORT, REST_PORT, DNS_PORT = "127.0.205.3", 25201, 25210, 25204, 25205
LAB = None
RECIPE = {"schema": 1, "id": "single", "title": "One value", "revision": 1, "hosts": [],
          "credentials": [{"name": "token"}],
          "options": [{"name": "url", "base": True, "default": f"http://{ADDRESS}:{REST_PORT}/single"}],
          "auth": {"kind": "query", "set": {"token": "{{cred.token}}"}}, "txt": {"mode": "single"},
          "reply": "text", "ok": {"pointer": "", "begins": "OK"},
          "steps": {"add": {"get": "/update", "query": {"name": "{{name.fqdn}}", "txt": "{{value}}"}},
                    "delete": {"get": "/update", "query": {"name": "{{name.fqdn}}", "txt": "{{value}}",
                                                          "clear": "1"}}}}


class OneValue(FakeRest):
    """One value for the whole account."""

    def __init__(self):
        super().__init__(ADDRESS, REST_PORT)
        self.written = self.lost = 0

    def do_single(self, _method, _segments, query, _headers, _body):
        if query.get("token") != TOKEN:
            return 200, {}, "KO"
        wish = {query["name"]: query["txt"]}
        if "clear" in query:
            self.single = {} if self.single == wish else self.single
        elif self.single != wish:
            self.lost += bool(self.single)  # the provider puts it in the other one's place
            self.single = wish
            self.written += 1
        return 200, {}, "OK\n"


class Laboratory:
    def __init__(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="certmgr-single-")
        d = Path(self.scratch.name)
        self.pebble = lab.Pebble(d / "pebble", http_port=HTTP_PORT, base=CA_PORT,
                                 env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"})
        self.pebble.admin_port = CA_PORT + 1
        self.fake = OneValue()
        self.names = NameServer(ADDRESS, DNS_PORT, ["single.example"], self.fake.shown)
        self.pebble.start(ADDRESS, dns_server=f"{ADDRESS}:{DNS_PORT}")
        self.pebble.resolver = f"{ADDRESS}:{DNS_PORT}"
        self.server = lab.Server(d, "alpha", ADDRESS, self.pebble, ui_port=25202,
                                 replication_port=25203, challenge_port=HTTP_PORT).target()
        self.server.directory_url = None
        self.server.extra = ("[acme]\nlab_http = yes\n"
                             f"allowed_cas = https://127.0.0.1:{CA_PORT}\n"
                             f"[network]\ndns_port = {DNS_PORT}\n")
        self.server.init().start()
        cli = self.server.cli
        cli("root", "add", self.pebble.root())
        cli("account", "add", "pebble", "--directory", self.pebble.url, "--agree-tos",
            "--ca-bundle", self.pebble.ca, "--http-port", HTTP_PORT)
        cli("settings", "--account", "pebble", "--server", "alpha")
        (d / "single.json").write_text(json.dumps(RECIPE))
        (d / "token").write_text(TOKEN)
        cli("dns", "recipe", "add", "single", d / "single.json")
        cli("dns", "add", "one", "--kind", "recipe", "--provider", "single", "-d", "single.example",
            "--secret-file", f"token={d / 'token'}")

    def stop(self):
        self.server.stop()
        self.fake.stop()
        self.names.stop()
        self.pebble.stop()
        self.scratch.cleanup()


def setUpModule():
    global LAB
    LAB = Laboratory()


def tearDownModule():
    if LAB:
        LAB.stop()


class Single(unittest.TestCase):
    def request(self, *names):
        words = [word for name in names for word in ("-d", name)]
        return LAB.server.json("request", *words, "--keyring-file",
                               f"{names[0].replace('*', 'w')}.kyr")["credential"]

    def test_1_name_and_wildcard_in_one_order(self):
        credential = self.request("single.example", "*.single.example")
        view = LAB.server.wait_issued(credential)
        steps = [step["text"] for step in view["steps"]]
        self.assertTrue(any("proved afterwards" in text for text in steps), steps)
        self.clean(2)

    def test_2_two_credentials_at_the_same_account(self):
        before = LAB.fake.written
        both = [self.request(f"{name}.single.example", f"*.{name}.single.example")
                for name in ("a", "b")]
        for credential in both:
            LAB.server.wait_issued(credential)
        self.clean(before + 4)

    def test_3_a_value_that_is_seen_late(self):
        """Taken by the API at once, shown by the name server later: the CA is not told before."""
        before = LAB.fake.written
        LAB.fake.early, LAB.fake.slow_looks, LAB.fake.slow_s = 0, 2, 1
        credential = self.request("slow.single.example")
        view = LAB.server.wait_issued(credential)
        LAB.fake.slow_looks = LAB.fake.slow_s = 0
        self.assertGreaterEqual(LAB.fake.early, 2)
        failed = [step for step in view["steps"] if step.get("level") == "error"]
        self.assertEqual(failed, [])
        self.assertEqual(view["credential"]["attempts"], 0)
        self.clean(before + 1)

    def clean(self, written):
        """Each value was written once, none while another was there, and nothing is left."""
        lab.wait_for("an empty provider", lambda: not LAB.fake.single)
        self.assertEqual((LAB.fake.written, LAB.fake.lost), (written, 0))


if __name__ == "__main__":
    unittest.main(verbosity=2)
