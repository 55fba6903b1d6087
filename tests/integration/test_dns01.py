"""DNS-01 end to end: certmgr writes TXT records into a real BIND by RFC 2136, Pebble looks them up."""

import json
import tempfile
import unittest
from pathlib import Path

import lab
from lab_dns import Named

ADDRESS = "127.0.23.1"
ZONES = ["example.test", "xn--wgv71a119e.test", "delegated.test"]
FLEET = None
PROGRAM = """#!/bin/sh
# Own words: port, key name. Then: present|cleanup -- NAME VALUE.
test "$4" = -- || exit 9
case "$3" in
present) what="add $5 1 TXT $6" ;;
cleanup) what="delete $5 TXT $6" ;;
*) exit 8 ;;
esac
printf 'server 127.0.0.1 %s\\nupdate %s\\nsend\\n' "$1" "$what" |
    nsupdate -y "hmac-sha256:$2:$CERTMGR_CRED_SECRET"
"""


class Laboratory:
    """Pebble and certmgr ask BIND; BIND asks challtestsrv for everything that is not in its zones."""

    def __init__(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="certmgr-dns01-")
        d = Path(self.scratch.name)
        self.pebble = lab.Pebble(d / "pebble", http_port=23080, base=23000,
                                 env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0",
                                      "PEBBLE_AUTHZREUSE": "0"})
        self.pebble.admin_port = 23001
        self.named = Named(d, "127.0.0.1", 23070, zones=ZONES, forwarder=self.pebble.resolver,
                           denied=[f"_acme-challenge.denied.{ZONES[0]}."])
        self.pebble.start(ADDRESS, dns_server=self.named.server)
        self.named.start()
        self.named.update("add _acme-challenge.example.test. 5 TXT somebody-elses",
                          "add _acme-challenge.moved.example.test. 5 CNAME moved.delegated.test.",
                          "add renamed.example.test. 5 DNAME delegated.test.")
        self.pebble.resolver = self.named.server
        self.server = lab.Server(d, "alpha", ADDRESS, self.pebble, ui_port=23443,
                                 replication_port=23444, challenge_port=23080).target()
        program = d / "write-txt"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        self.server.extra = (f"[network]\ndns_port = {self.named.port}\n[dns_exec writer]\n"
                             f"command = {program} {self.named.port} {self.named.key_name}\n")
        self.server.init().start()
        self.server.cli("root", "add", self.pebble.root())
        self.server.cli("account", "add", "pebble", "--directory", self.pebble.url, "--agree-tos",
                        "--ca-bundle", self.pebble.ca, "--http-port", self.pebble.http_port)
        self.server.cli("settings", "--account", "pebble", "--server", "alpha")

    def stop(self):
        self.server.stop()
        self.named.stop()
        self.pebble.stop()
        self.scratch.cleanup()


def setUpModule():
    global FLEET
    FLEET = Laboratory()


def tearDownModule():
    if FLEET:
        FLEET.stop()


def zones():
    """Every TXT record of all zones, as a transfer shows it."""
    lines = []
    for zone in ZONES:
        out = lab.run(["dig", "@127.0.0.1", "-p", str(FLEET.named.port), "+noall", "+answer", "-t",
                       "AXFR", zone])
        rows = [line.split(None, 4) for line in out.splitlines()]
        lines += [(row[0], row[4]) for row in rows if len(row) == 5 and row[3] == "TXT"]
    return sorted(lines)


def dns_account(name, *domains, extra=()):
    secret = FLEET.server.root / "tsig"
    secret.write_text(FLEET.named.secret + "\n")
    words = [w for d in domains for w in ("-d", d)]
    return FLEET.server.cli("dns", "add", name, "--kind", "rfc2136", *words, "--option",
                            f"server={FLEET.named.server}", "--option",
                            f"key_name={FLEET.named.key_name}", "--option", "ttl=1",
                            "--secret-file", f"tsig_secret={secret}", "--limit", "20", *extra)


def request(*names):
    words = [w for n in names for w in ("-d", n)]
    return FLEET.server.json("request", *words, "-s", "alpha")["credential"]


def steps(credential):
    return [step["text"] for step in FLEET.server.show(credential)["steps"]]


def wait_clean(before):
    lab.wait_for("the zones to be as before", lambda: zones() == before)


class Dns01(unittest.TestCase):
    def test_1_a_wildcard_needs_a_dns_account(self):
        done = FLEET.server.cli("request", "-d", "*.example.test", "-s", "alpha", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("add a DNS account", done.stdout + done.stderr)

    def test_2_account_and_its_test(self):
        before = zones()
        dns_account("bind", "example.test", "日本語.test")
        shown = FLEET.server.json("dns", "show", "bind")
        self.assertEqual(shown["domains_ascii"], ["example.test", "xn--wgv71a119e.test"])
        self.assertNotIn(FLEET.named.secret, json.dumps(shown))
        done = FLEET.server.cli("dns", "test", "bind", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("seen everywhere", done.stdout)
        self.assertNotIn(FLEET.named.secret, done.stdout)
        report = FLEET.server.api("GET", "/dns-accounts/bind/test")[2]
        self.assertTrue(report["ok"])
        self.assertEqual(report["zone"], "example.test")
        self.assertGreaterEqual(report["seen_ms"], 0)
        self.assertEqual(zones(), before)
        # The secret lies nowhere in the clear.
        for path, data in FLEET.server.files("var"):
            self.assertNotIn(FLEET.named.secret.encode(), data, path)

    def test_3_wildcard_base_and_idn_in_one_order(self):
        before = zones()
        self.assertEqual([row[0] for row in before], ["_acme-challenge.example.test."])
        credential = request("*.example.test", "example.test", "www.日本語.test")
        view = FLEET.server.wait_issued(credential)
        self.assertEqual(sorted(view["credential"]["san"]),
                         ["*.example.test", "example.test", "www.xn--wgv71a119e.test"])
        self.assertIn("3 names to prove: 3 by dns-01", steps(credential))
        self.assertEqual(len([s for s in steps(credential) if s.startswith("TXT value set at "
                                                         "_acme-challenge.example.test ")]), 2)
        wait_clean(before)

    def test_3_values_go_together(self):
        """Twelve names and two wildcards: few messages for 28 changes, all of them seen and gone."""
        before, (messages, changes) = zones(), FLEET.named.updates()
        names = [f"many{n}.example.test" for n in range(12)]
        FLEET.server.wait_issued(request(*names, "*.many0.example.test", "*.many1.example.test"))
        wait_clean(before)
        now = FLEET.named.updates()
        self.assertEqual(now[1] - changes, 28)
        self.assertIn(now[0] - messages, range(2, 9))
        # BIND refuses a message as a whole: the others are set all the same, and taken away.
        credential = request("good.example.test", "denied.example.test", "fine.example.test")
        lab.wait_for("the refusal", lambda: FLEET.server.show(credential)["credential"]["status"]
                     == "error")
        self.assertIn("refused the update (REFUSED)", json.dumps(FLEET.server.show(credential)))
        written = [s.split()[4] for s in steps(credential) if s.startswith("TXT value set at")]
        self.assertEqual(sorted(written), ["_acme-challenge.fine.example.test",
                                           "_acme-challenge.good.example.test"])
        FLEET.server.cli("delete", credential)
        wait_clean(before)

    def test_4_mixed_order(self):
        before = zones()
        credential = request("mixed.example.test", "www.elsewhere.example")
        FLEET.server.wait_issued(credential)
        self.assertIn("2 names to prove: 1 by http-01, 1 by dns-01", steps(credential))
        wait_clean(before)

    def test_5_cname_to_another_zone(self):
        before = zones()
        dns_account("target", "delegated.test")
        # and what a DNAME makes of a name (RFC 6672): nothing can be written below it
        credential = request("moved.example.test", "*.moved.example.test", "www.renamed.example.test")
        FLEET.server.wait_issued(credential)
        written = [s for s in steps(credential) if s.startswith("TXT value set at")]
        for name, count in (("moved", 2), ("_acme-challenge.www", 1)):
            self.assertEqual(len([s for s in written if f" {name}.delegated.test by DNS account target"
                                  in s]), count, written)
        self.assertEqual(len(written), 3)
        wait_clean(before)

    def test_6_killed_in_the_middle(self):
        before = zones()
        FLEET.server.cli("dns", "change", "bind", "--wait", "3")
        credential = request("*.killed.example.test", "killed.example.test")
        lab.wait_for("the values", lambda: len(zones()) == len(before) + 2)
        FLEET.server.kill()
        self.assertEqual(len(zones()), len(before) + 2)
        FLEET.server.start()
        FLEET.server.wait_issued(credential)
        wait_clean(before)
        FLEET.server.cli("dns", "change", "bind", "--limit", "21")  # the rest stays
        self.assertEqual(FLEET.server.json("dns", "show", "bind")["propagation"],
                         {"authoritative": True, "fixed_s": 3, "limit_s": 21})
        FLEET.server.cli("dns", "change", "bind", "--no-authoritative", "--wait", "0")
        self.assertEqual(FLEET.server.json("dns", "show", "bind")["propagation"],
                         {"authoritative": False, "limit_s": 21})
        FLEET.server.cli("dns", "change", "bind", "--authoritative", "--limit", "20")
        self.assertEqual(FLEET.server.json("dns", "show", "bind")["propagation"],
                         {"authoritative": True, "limit_s": 20})

    def test_7_by_hand(self):
        before = zones()
        FLEET.server.cli("dns", "add", "hand", "--kind", "manual", "-d", "hand.example.test",
                         "--limit", "5")
        credential = request("hand.example.test", "*.hand.example.test")

        def asked():
            return FLEET.server.json("dns", "manual", credential)
        records = lab.wait_for("the records to write", asked)
        self.assertEqual(FLEET.server.show(credential)["manual"], records)
        self.assertEqual([r["fqdn"] for r in records], ["_acme-challenge.hand.example.test"] * 2)
        FLEET.named.update(*(f"add {r['fqdn']}. 1 TXT {r['value']}" for r in records))
        FLEET.server.cli("dns", "manual", credential, "--go-on")
        FLEET.server.wait_issued(credential)
        self.assertEqual(len(zones()), len(before) + 2)  # a person's, not ours to remove
        self.contradiction(credential)
        FLEET.named.update(*(f"delete {r['fqdn']}. TXT {r['value']}" for r in records))
        self.assertEqual(zones(), before)

    def contradiction(self, credential):
        """By hand and yet renewed by itself: said everywhere, until the renewal is paused."""
        words = "2 of 2 names are proved by TXT records that people write"
        names = [w for n in ("hand.example.test", "*.hand.example.test") for w in ("-d", n)]
        self.assertIn(words, FLEET.server.show(credential)["contradictions"][0]["text"])
        self.assertIn(words, FLEET.server.cli("show", credential).stdout)
        checked = FLEET.server.cli("check", *names, "--credential", credential, check=False)
        self.assertIn(words, checked.stdout)
        done = FLEET.server.cli("change", credential, "--renew-days", 20)
        self.assertIn(words, done.stderr)
        FLEET.server.cli("change", credential, "--pause")
        lab.wait_for("the pause", lambda: "contradictions" not in FLEET.server.show(credential))

    def test_7_program_of_the_configuration(self):
        before = zones()
        secret = FLEET.server.root / "tsig"
        FLEET.server.cli("dns", "add", "program", "--kind", "exec", "-d", "exec.example.test",
                         "--option", "program=writer", "--secret-file", f"secret={secret}",
                         "--limit", "20")
        credential = request("exec.example.test", "*.exec.example.test")
        FLEET.server.wait_issued(credential)
        self.assertEqual(len([s for s in steps(credential) if "by DNS account program" in s]), 2)
        wait_clean(before)
        FLEET.server.cli("dns", "change", "program", "--option", "program=nobody")
        done = FLEET.server.cli("dns", "test", "program", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no [dns_exec nobody]", done.stdout)

    def test_7_pages(self):
        browser = lab.Browser(FLEET.server).set_up(FLEET.server.setup_link)
        self.assertIn("tsig_secret", browser.get("/dns-accounts/new?kind=rfc2136").text)
        fields = {"kind": "rfc2136", "domains": "Form.test", "enabled": "1", "authoritative": "1",
                  "option.server": FLEET.named.server, "option.key_name": "certmgr"}
        new = browser.hidden("/dns-accounts/new?kind=rfc2136")
        refused = browser.post("/dns-accounts", dict(new, name="form", **fields))
        self.assertEqual(refused.status, 422)
        self.assertIn('href="#tsig_secret"', refused.text)
        fields["secret.tsig_secret"] = FLEET.named.secret
        self.assertEqual(browser.post("/dns-accounts", dict(new, name="form", **fields)).status, 303)
        page = browser.get("/dns-accounts/form")
        self.assertNotIn(FLEET.named.secret, page.text)
        self.assertIn("form.test", page.text.lower())
        change = dict(page.hidden(), **dict(fields, domains="other.test"))
        change.pop("secret.tsig_secret")  # left empty: it stays
        self.assertEqual(browser.post("/dns-accounts", change).status, 303)
        self.assertEqual(browser.post("/dns-accounts", change).status, 409)  # an old version
        shown = FLEET.server.json("dns", "show", "form")
        self.assertEqual((shown["domains"], shown["secret_names"]), (["other.test"], ["tsig_secret"]))
        token = browser.hidden("/dns-accounts/form")
        self.assertEqual(browser.post("/dns-accounts/form/test", token).status, 303)
        lab.wait_for("the end of the test", lambda: not FLEET.server.api(
            "GET", "/dns-accounts/form/test")[2]["running"])
        self.assertNotIn('id="measured"', browser.get("/dns-accounts/form").text)  # it failed
        took = FLEET.server.json("dns", "show", "bind")["measured_ms"]  # of test 2 and the orders
        page = browser.get("/dns-accounts/bind").text
        self.assertIn(f"seen everywhere {took // 1000}.{took // 100 % 10} s after", page)
        self.assertEqual(browser.post("/dns-accounts/form/remove", token).status, 422)
        sure = dict(token, sure="1")
        self.assertEqual(browser.post("/dns-accounts/form/remove", sure).status, 303)
        self.assertNotIn("/dns-accounts/form", browser.get("/dns-accounts").text)

    def test_7_recipes(self):
        """Proved offline, stored when good, and labelled in file, command and form."""
        file = lab.SOURCE / "packaging/dns/desec.json"
        recipe = json.loads(file.read_text())
        self.assertTrue(recipe["unverified"])
        cli = FLEET.server.cli
        said = cli("dns", "lint", file).stdout
        self.assertEqual(said.count(": passed"), len(recipe["tests"]))
        self.assertIn("unverified: never run against the provider", said)
        bad = FLEET.server.root / "bad.json"
        recipe["base"] = recipe["base"].replace("https:", "http:")
        bad.write_text(json.dumps(recipe))
        for words in (("dns", "lint", bad), ("dns", "recipe", "add", "mine", bad)):
            done = cli(*words, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("base", done.stderr)
        self.assertNotIn("mine ", cli("dns", "providers").stdout)
        cli("dns", "recipe", "add", "mine", file)
        self.assertRegex(cli("dns", "providers").stdout, "mine .*unverified")
        browser = lab.Browser(FLEET.server).login()
        for provider, there in (("desec", True), ("mine", True), ("powerdns", False)):
            page = browser.get(f"/dns-accounts/new?kind=recipe&provider={provider}")
            # As a notice about this one; the list of kinds explains the word besides.
            self.assertEqual("<p>Unverified: written from the provider" in page.text, there, provider)

    def test_7b_recipes_in_use(self):
        """Whose secrets go where: new hosts are confirmed by name, a used recipe stays."""
        cli, server = FLEET.server.cli, FLEET.server
        token = server.root / "token"
        token.write_text("not-a-real-token-at-all\n")
        recipe = json.loads((lab.SOURCE / "packaging/dns/desec.json").read_text())
        cli("dns", "recipe", "add", "ours", lab.SOURCE / "packaging/dns/desec.json")
        cli("dns", "add", "desk", "--kind", "recipe", "--provider", "ours", "-d", "desk.example",
            "--secret-file", f"token={token}")
        recipe["hosts"].append("evil.example")
        moved = server.root / "moved.json"
        moved.write_text(json.dumps(recipe))
        done = cli("dns", "recipe", "add", "ours", moved, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, "DNS account desk .*evil.example")
        browser = lab.Browser(server).login()
        page = browser.get("/dns-recipes/ours/edit")
        form = dict(page.hidden(), recipe=moved.read_text())
        page = browser.post("/dns-recipes", form)
        self.assertEqual(page.status, 409)
        self.assertIn('name="confirm_hosts" value="evil.example"', page.text)
        self.assertNotIn("evil", cli("dns", "recipe", "show", "ours").stdout)
        done = browser.post("/dns-recipes", dict(form, confirm_hosts="evil.example"))
        self.assertEqual(done.status, 303)
        shown = cli("dns", "recipe", "show", "ours").stdout
        self.assertIn("evil.example", shown)
        self.assertRegex(shown, r"Used by +desk\n")
        self.assertRegex(server.tail(400), "dns-provider:ours.*stored by admin; .*evil.example")
        self.assertIn("desk", cli("dns", "recipe", "remove", "ours", check=False).stderr)
        cli("dns", "remove", "desk")
        cli("dns", "recipe", "remove", "ours")
        self.assertNotIn("ours", cli("dns", "recipe", "list").stdout)

    def test_8_a_wrong_secret_is_told(self):
        before = zones()
        wrong = FLEET.server.root / "wrong"
        wrong.write_text("d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmc=\n")
        FLEET.server.cli("dns", "change", "bind", "--secret-file", f"tsig_secret={wrong}")
        done = FLEET.server.cli("dns", "test", "bind", check=False)
        self.assertNotEqual(done.returncode, 0)
        credential = request("refused.example.test")

        def failed():
            body = FLEET.server.show(credential)["credential"]
            return body.get("error") if body["status"] == "error" else None
        error = lab.wait_for("the refusal", failed, 60)
        self.assertIn("bind", json.dumps(error))
        self.assertEqual(zones(), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
