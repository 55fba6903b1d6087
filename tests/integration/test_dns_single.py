"""A DNS provider that holds one TXT value at a time (as Duck DNS does): name and wildcard, and two
credentials, are proved one after the other. The fake provider's value is what Pebble looks up."""

import json
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path

import lab

sys.path.insert(0, str(lab.SOURCE / "tests/fakes"))
from fake_rest_dns import TOKEN, FakeRest  # noqa: E402

ADDRESS, HTTP_PORT, CA_PORT, REST_PORT = "127.0.205.3", 25201, 25210, 25204
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
    """One value for the whole account; challtestsrv shows it to the CA."""

    def __init__(self, pebble):
        super().__init__(ADDRESS, REST_PORT)
        self.pebble, self.present, self.written, self.lost = pebble, None, 0, 0

    def tell(self, what, name, **more):
        body = json.dumps(dict({"host": name + "."}, **more)).encode()
        urllib.request.urlopen(f"http://127.0.0.1:{self.pebble.dns_admin}/{what}", body,
                               timeout=5).close()

    def do_single(self, _method, _segments, query, _headers, _body):
        if query.get("token") != TOKEN:
            return 200, {}, "KO"
        pair = (query["name"], query["txt"])
        if "clear" in query:
            if self.present == pair:
                self.tell("clear-txt", pair[0])
                self.present = None
        elif self.present != pair:
            if self.present:  # the provider puts it in the other one's place
                self.tell("clear-txt", self.present[0])
                self.lost += 1
            self.tell("set-txt", pair[0], value=pair[1])
            self.present = pair
            self.written += 1
        return 200, {}, "OK\n"


class Laboratory:
    def __init__(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="certmgr-single-")
        d = Path(self.scratch.name)
        self.pebble = lab.Pebble(d / "pebble", http_port=HTTP_PORT, base=CA_PORT,
                                 env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"})
        self.pebble.admin_port = CA_PORT + 1
        self.pebble.start(ADDRESS)
        self.fake = OneValue(self.pebble)
        self.server = lab.Server(d, "alpha", ADDRESS, self.pebble, ui_port=25202,
                                 replication_port=25203, challenge_port=HTTP_PORT).target()
        self.server.directory_url = None
        self.server.extra = ("[acme]\nlab_http = yes\n"
                             f"allowed_cas = https://127.0.0.1:{CA_PORT}\n")
        self.server.init().start()
        cli = self.server.cli
        cli("root", "add", self.pebble.root())
        cli("account", "add", "pebble", "--directory", self.pebble.url, "--agree-tos",
            "--ca-bundle", self.pebble.ca, "--http-port", HTTP_PORT)
        cli("settings", "--account", "pebble", "--server", "alpha")
        (d / "single.json").write_text(json.dumps(RECIPE))
        (d / "token").write_text(TOKEN)
        cli("dns", "recipe", "single", d / "single.json")
        cli("dns", "add", "one", "--kind", "recipe", "--provider", "single", "-d", "single.example",
            "--secret-file", f"token={d / 'token'}", "--no-authoritative")

    def stop(self):
        self.server.stop()
        self.fake.stop()
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

    def clean(self, written):
        """Each value was written once, none while another was there, and nothing is left."""
        lab.wait_for("an empty provider", lambda: LAB.fake.present is None, 30)
        self.assertEqual((LAB.fake.written, LAB.fake.lost), (written, 0))


if __name__ == "__main__":
    unittest.main(verbosity=2)
