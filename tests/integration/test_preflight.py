"""The check before a request: real Pebble, real BIND for CAA and CNAME, a web front that redirects."""

import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import lab
from lab_dns import Named

ADDRESS, FRONT, NOBODY = "127.0.28.1", "127.0.28.5", "127.0.28.9"
HTTP_PORT = 7080
ZONES = ["test", "example.test", "delegated.test"]  # CAA is looked for up to the top
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
FLEET = None


class Front(BaseHTTPRequestHandler):
    """A web server whose redirect rules are wrong in one way per host."""

    def do_GET(self):
        host = self.headers["Host"].split(":")[0]
        here = f"http://{host}:{HTTP_PORT}"
        hop = int(self.path.rpartition("hop=")[2]) if "hop=" in self.path else 0
        path = self.path.split("?")[0]
        target = {
            "hops.example.test": f"{here}{path}?hop={hop + 1}",
            "ten.example.test": f"{here}{path}?hop={hop + 1}" if hop < 9
                                else f"http://www.example.test:{HTTP_PORT}{path}",
            "port.example.test": f"http://port.example.test:8080{path}",
            "slash.example.test": f"http://slash.example.test{path[1:]}",
            "moved.example.test": f"http://www.example.test:{HTTP_PORT}{path}",
        }.get(host)
        if target:
            self.send_response(301)
            self.send_header("Location", target)
            self.end_headers()
        else:
            self.send_error(404)

    def log_message(self, *args):
        pass


class Laboratory:
    def __init__(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="certmgr-preflight-")
        d = Path(self.scratch.name)
        self.pebble = lab.Pebble(d / "pebble", http_port=HTTP_PORT, base=7000,
                                 env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"},
                                 tls_port=7081)
        self.pebble.admin_port = 7001
        self.named = Named(d, "127.0.0.1", 7070, zones=ZONES, forwarder=self.pebble.resolver)
        self.pebble.start(ADDRESS, dns_server=self.named.server)
        self.named.start()
        front = [f"add {n}.example.test. 5 A {FRONT}"
                 for n in ("hops", "ten", "port", "slash", "moved")]
        self.named.update(
            *front, f"add www.example.test. 5 A {ADDRESS}", f"add two.example.test. 5 A {ADDRESS}",
            f"add two.example.test. 5 A {NOBODY}", f"add caa.example.test. 5 A {ADDRESS}",
            'add caa.example.test. 5 CAA 0 issue "elsewhere.example"',
            "add _acme-challenge.alias.example.test. 5 CNAME alias.delegated.test.")
        self.web = ThreadingHTTPServer((FRONT, HTTP_PORT), Front)
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        self.pebble.resolver = self.named.server
        self.server = lab.Server(d, "alpha", ADDRESS, self.pebble, ui_port=7443,
                                 replication_port=7444, challenge_port=HTTP_PORT).target()
        # a second section of the same name adds to the first
        self.server.directory_url = None
        self.hooks = d / "hooks.log"
        self.hook = d / "hook"
        self.hook.write_text(f'#!/bin/sh\necho "$CERTMGR_STEP" >>{self.hooks}\n')
        self.hook.chmod(0o755)
        self.server.extra = (f"[orders]\nbefore = {self.hook}\nafter = {self.hook}\n[network]\ndns_port = {self.named.port}\n[acme]\nallowed_cas = "
                             f"https://127.0.0.1:7000 https://acme-v02.api.letsencrypt.org\n")
        self.server.init().start()
        self.server.cli("root", "add", self.pebble.root())
        for name, directory in (("pebble", self.pebble.url), ("le", LETS_ENCRYPT)):
            self.server.cli("account", "add", name, "--directory", directory, "--agree-tos",
                            "--ca-bundle", self.pebble.ca, "--http-port", HTTP_PORT)
        self.server.cli("settings", "--account", "pebble", "--server", "alpha")
        secret = d / "tsig"
        secret.write_text(self.named.secret + "\n")
        self.server.cli("dns", "add", "zones", "--kind", "rfc2136", "-d", "delegated.test",
                        "--option", f"server={self.named.server}", "--option",
                        f"key_name={self.named.key_name}", "--option", "ttl=1", "--secret-file",
                        f"tsig_secret={secret}", "--limit", "20")

    def stop(self):
        self.server.stop()
        self.web.shutdown()
        self.web.server_close()
        self.named.stop()
        self.pebble.stop()
        self.scratch.cleanup()


def setUpModule():
    global FLEET
    FLEET = Laboratory()


def tearDownModule():
    if FLEET:
        FLEET.stop()


def check(*names, **fields):
    status, _, report = FLEET.server.api("POST", "/checks", dict(host_names=list(names), **fields))
    assert status == 200, report
    return report


def rows(report, what, name=None):
    return [r for r in report["checks"] if r["what"] == what and (name is None or r["name"] == name)]


class Checks(unittest.TestCase):
    def one(self, name, what, result, **fields):
        found = rows(check(name, **fields), what)
        self.assertEqual([r["result"] for r in found], [result], found)
        if result != "ok":
            self.assertTrue(found[0]["fix"])
        return found[0]

    def test_all_is_well(self):
        report = check("www.example.test")
        self.assertEqual(report["result"], "ok", report)
        self.assertLess(report["ms"], 15000)
        self.assertIn("http-01", rows(report, "challenge")[0]["text"])
        self.assertIn(ADDRESS, rows(report, "address")[0]["text"])
        self.assertEqual(rows(report, "caa")[0]["id"], "caa_ok")

    def test_redirects_as_a_ca_takes_them(self):
        names = [f"{n}.example.test" for n in ("hops", "ten", "port", "slash", "moved")]
        report = check(*names)
        found = {r["name"].split(".")[0]: r for r in rows(report, "address")}
        self.assertEqual(report["result"], "fail")
        self.assertEqual({n: r["result"] for n, r in found.items()},
                         {"hops": "fail", "ten": "ok", "port": "fail", "slash": "fail",
                          "moved": "ok"}, found)
        self.assertIn("10 redirects", found["hops"]["text"])
        self.assertIn("8080", found["port"]["text"])
        self.assertRegex(found["slash"]["text"] + found["slash"]["fix"], "slash")
        for name in ("hops", "port", "slash"):
            self.assertTrue(found[name]["fix"])

    def test_every_address_is_asked(self):
        found = {r["result"]: r for r in rows(check("two.example.test"), "address")}
        self.assertEqual(sorted(found), ["fail", "ok"])
        self.assertIn(NOBODY, found["fail"]["text"])
        self.assertIn(ADDRESS, found["ok"]["text"])

    def test_a_name_without_address(self):
        self.one("nowhere.example.test", "address", "fail")

    def test_caa(self):
        # Pebble names no CAA identities: nobody can say.
        self.assertEqual(self.one("caa.example.test", "caa", "warn")["id"], "caa_unknown")
        report = check("caa.example.test", account="le")
        denied = rows(report, "caa")[0]
        self.assertEqual((denied["id"], denied["result"]), ("caa_denied", "fail"))
        self.assertIn("letsencrypt.org", denied["text"] + denied["fix"])
        self.assertEqual(rows(report, "directory")[0]["result"], "fail")  # no way to it from here
        self.assertEqual(rows(report, "budget")[0]["id"], "budget_ok")

    def test_dns01_by_a_cname_with_a_probe(self):
        report = check("alias.example.test", probe_dns=True)
        self.assertIn("alias.delegated.test", rows(report, "cname")[0]["text"])
        self.assertIn("dns-01", rows(report, "challenge")[0]["text"])
        self.assertEqual(rows(report, "address"), [])
        self.assertEqual([r["result"] for r in rows(report, "dns_probe")], ["ok"], report)
        self.assertEqual(report["result"], "ok", report)

    def test_names_and_duplicates(self):
        report = check("日本語.example.test", account="le")
        self.assertIn("xn--wgv71a119e.example.test", rows(report, "name")[0]["text"])
        credential = FLEET.server.json("request", "-d", "www.example.test", "-d",
                                       "caa.example.test")["credential"]
        FLEET.server.wait_issued(credential)
        lab.wait_for("the commands around it", lambda: FLEET.hooks.exists() and
                     FLEET.hooks.read_text() == "before\nafter\n")
        report = check("caa.example.test", "www.example.test")
        self.assertEqual([r["id"] for r in rows(report, "set")], ["set_exact", "set_recent"])
        self.assertIn(credential, rows(report, "set")[0]["text"])
        # ... but not for itself
        self.assertEqual(rows(check("caa.example.test", "www.example.test",
                                    credential=credential), "set"), [])

    def test_names_on_offer(self):
        report = check("www.example.test")
        offer = next(r for r in report["checks"] if r["id"] == "name_beside")
        self.assertEqual((offer["name"], offer["add"]), ("www.example.test", ["example.test"]))
        names = {r["name"] for r in rows(check("www.example.test", add_base=True), "name")}
        self.assertEqual(names, {"www.example.test", "example.test"})
        done = FLEET.server.cli("check", "-d", "www.example.test", check=False)
        self.assertIn("-d example.test (or --add-base) adds it", done.stdout)
        done = FLEET.server.cli("check", "-d", "www.example.test", "--add-base", check=False)
        self.assertIn("example.test has no address", done.stdout)

    def test_nothing_is_ordered_and_mistakes_are_told(self):
        status, _, problem = FLEET.server.api("POST", "/checks", {"host_names": ["-bad-.test"]})
        self.assertEqual(status, 422)
        self.assertEqual(problem["errors"][0]["pointer"], "#/host_names/0")

    def test_command_and_budget(self):
        done = FLEET.server.cli("check", "-d", "two.example.test", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("fail  address    two.example.test: ", done.stdout)
        self.assertIn("-> ", done.stdout)
        limits = FLEET.server.json("account", "budget", "le")
        self.assertTrue(limits["known"])
        self.assertEqual([(r["limit"], r["left"], r["of"]) for r in limits["limits"]],
                         [("orders", 300, 300)])
        self.assertIn("No limits", FLEET.server.cli("account", "budget", "pebble").stdout)

    def test_the_form_keeps_what_was_typed(self):
        browser = lab.Browser(FLEET.server)
        browser.set_up(FLEET.server.setup_link)
        page = browser.post("/credentials", dict(
            browser.hidden("/credentials/new"), host_names="two.example.test", account="pebble",
            servers="alpha", check="1", alternate_chain="Kept Root"))
        self.assertEqual(page.status, 200)
        self.assertIn("Result of the check", page.text)
        self.assertIn(NOBODY, page.text)
        self.assertIn('value="Kept Root"', page.text)
        self.assertIn("\ntwo.example.test</textarea>", page.text)
        self.assertIn("What to do:", page.text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
