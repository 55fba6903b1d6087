"""The DNS library against BIND: updates with TSIG, propagation to a secondary, zones, CAA."""

import json
import os
import subprocess
import tempfile
import unittest

from lab import SOURCE, port_open, wait_for
from lab_dns import Named

PROBE = os.environ.get("DNS_PROBE", SOURCE / "build/dev/tests/lab/dns-probe")
PORT = 22153
NAME = "_acme-challenge.www.example.test"
RECORDS = """
_acme-challenge.alias CNAME a1.chain
a1.chain CNAME _acme-challenge.www
a.loop CNAME b.loop
b.loop CNAME a.loop
*.wild CNAME elsewhere.b.test.
renamed DNAME b.test.
forbidden CAA 0 issue ";"
open CAA 0 issue "ca.example; validationmethods=dns-01"
"""


class DnsLibrary(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        # "test" as well: CAA is asked up to the top, and nobody refuses there.
        cls.primary = Named(cls.scratch.name, "127.0.0.1", PORT,
                            zones=["example.test", "b.test", "test"],
                            secondaries=["127.0.22.2"], records=RECORDS,
                            other_keys=[("other", "hmac-sha512"), ("old", "hmac-sha1")]).start()
        cls.secondary = Named(cls.scratch.name, "127.0.22.2", PORT, primary=cls.primary,
                              name="secondary").start()

    @classmethod
    def tearDownClass(cls):
        cls.secondary.stop()
        cls.primary.stop()
        cls.scratch.cleanup()

    def probe(self, **ask):
        ask = {"resolver": self.primary.server, "dns_port": PORT, **ask}
        done = subprocess.run([str(PROBE), json.dumps(ask)], capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.stderr, "")
        return json.loads(done.stdout)

    def change(self, what, value, name=NAME, key="certmgr", secret=None, **options):
        return self.probe(do=what, fqdn=name, value=value,
                          options={"key_name": key, **options},
                          secrets={"tsig_secret": secret or Named.make_secret(key)})

    def wait(self, *values, name=NAME, **more):
        return self.probe(do="wait", values=[{"fqdn": name, "value": v} for v in values], **more)

    def assert_said(self, answer, *texts):
        self.assertFalse(answer["ok"], answer)
        for text in texts:
            self.assertIn(text, json.dumps(answer["error"]))

    def test_values_of_one_name_live_side_by_side(self):
        self.primary.update(f"add {NAME} 60 TXT somebody-elses")
        for value in ("one", "two"):
            self.assertTrue(self.change("add", value)["ok"])
        self.assertTrue(self.change("add", "two")["ok"], "adding again is success")
        self.assertEqual(self.primary.dig(NAME), ["one", "somebody-elses", "two"])
        seen = self.wait("one", "two")
        self.assertTrue(seen["ok"], seen)
        self.assertEqual(sorted(line["server"] for line in seen["report"]),
                         ["ns1.example.test (127.0.0.1)", "ns2.example.test (127.0.22.2)"])
        self.assertTrue(all(line["seen"] for line in seen["report"]))
        self.assertEqual(self.secondary.dig(NAME), ["one", "somebody-elses", "two"])
        self.assertTrue(self.change("delete", "one")["ok"])
        self.assertEqual(self.primary.dig(NAME), ["somebody-elses", "two"])
        self.assertTrue(self.change("delete", "one")["ok"], "deleting what is gone is success")
        self.assertTrue(self.change("delete", "two")["ok"])
        self.assertEqual(self.primary.dig(NAME), ["somebody-elses"])
        self.primary.update(f"delete {NAME} TXT")

    def test_a_server_that_lacks_the_value_is_named(self):
        answer = self.wait("never-written", limit_s=2)
        self.assert_said(answer, NAME, "ns1.example.test (127.0.0.1): no such name",
                         "ns2.example.test (127.0.22.2)")
        self.assertEqual(answer["error"]["code"], "timeout")

    def test_a_secondary_behind_is_waited_for(self):
        name = "_acme-challenge.slow.b.test"
        with tempfile.TemporaryDirectory() as scratch:
            primary = Named(scratch, "127.0.0.1", 22253, zones=["b.test"], notify=False,
                            secondaries=["127.0.22.4"]).start()
            secondary = Named(scratch, "127.0.22.4", 22253, primary=primary, name="late").start()
            more = {"resolver": primary.server, "dns_port": 22253}
            self.assertTrue(self.change("add", "late-one", name=name,
                                        server=primary.server)["ok"])
            self.assertEqual(secondary.dig(name), [])
            early = self.probe(do="wait", values=[{"fqdn": name, "value": "late-one"}], limit_s=1,
                               **more)
            self.assert_said(early, "1 of 2", "ns2.b.test (127.0.22.4): no such name")
            secondary.notify_of("b.test")
            answer = self.probe(do="wait", values=[{"fqdn": name, "value": "late-one"}], **more)
            self.assertTrue(answer["ok"], answer)
            self.assertEqual(secondary.dig(name), ["late-one"])
            secondary.stop()
            silent = self.probe(do="wait", values=[{"fqdn": name, "value": "late-one"}], limit_s=1,
                                **more)
            self.assert_said(silent, "1 of 2", "ns2.b.test (127.0.22.4): cannot be reached")
            primary.stop()

    def test_every_algorithm_of_the_list(self):
        for key, algorithm in (("other", "hmac-sha512"), ("old", "hmac-sha1")):
            answer = self.change("add", algorithm, key=key, algorithm=algorithm)
            self.assertTrue(answer["ok"], answer)
            self.assertIn(algorithm, self.primary.dig(NAME))
            self.assertTrue(self.change("delete", algorithm, key=key, algorithm=algorithm)["ok"])
        self.assert_said(self.change("add", "x", algorithm="hmac-md5"), "HMAC-MD5")

    def test_wrong_keys_are_explained(self):
        self.assert_said(self.change("add", "x", key="nobody"), "BADKEY", "check key_name")
        self.assert_said(self.change("add", "x", secret=Named.make_secret("wrong")), "BADSIG",
                         "copy the secret")
        self.assert_said(self.change("add", "x", secret="%%%"), "tsig_secret")
        self.assert_said(self.change("add", "x", zone="b.test"), "NOTZONE")
        self.assert_said(self.change("add", "x", zone="unknown.test",
                                     server=self.primary.server), "NOTAUTH", "primary server")
        self.assertEqual(self.primary.dig(NAME), [])

    def test_a_secondary_does_not_take_updates(self):
        answer = self.change("add", "x", server=self.secondary.server)
        self.assert_said(answer, "127.0.22.2")
        self.assertNotIn("x", self.primary.dig(NAME))

    def test_silence_is_told(self):
        answer = self.change("add", "x", server="127.0.22.9:22999")
        self.assert_said(answer, "127.0.22.9", "cannot be reached")

    def test_places(self):
        place = self.probe(do="place", fqdn="_acme-challenge.alias.example.test")
        self.assertEqual((place["name"], place["zone"], place["hops"]), (NAME, "example.test", 2))
        self.assertEqual(place["primary"], "ns1.example.test")
        self.assertEqual(sorted(place["servers"]), ["ns1.example.test", "ns2.example.test"])
        self.assert_said(self.probe(do="place", fqdn="a.loop.example.test"),
                         "lead back to themselves",
                         "a.loop.example.test -> b.loop.example.test -> a.loop.example.test")
        renamed = self.probe(do="place", fqdn="_acme-challenge.x.renamed.example.test")  # RFC 6672
        self.assertEqual((renamed["name"], renamed["zone"], renamed["hops"], renamed["wildcard"]),
                         ("_acme-challenge.x.b.test", "b.test", 1, False))
        wild = self.probe(do="place", fqdn="_acme-challenge.x.wild.example.test")
        self.assertEqual((wild["name"], wild["hops"], wild["wildcard"]),
                         ("_acme-challenge.x.wild.example.test", 0, True))
        self.assertEqual(wild["zone"], "example.test")
        self.assert_said(self.probe(do="place", fqdn="www.not-here.com"), "REFUSED")

    def test_what_replaces_a_wildcard_is_seen(self):
        name = "_acme-challenge.y.wild.example.test"
        self.assertTrue(self.change("add", "instead", name=name)["ok"])
        self.assertTrue(self.wait("instead", name=name)["ok"])
        self.assertTrue(self.change("delete", "instead", name=name)["ok"])

    def test_caa(self):
        ours = {"do": "caa", "identities": ["ca.example"]}
        none = self.probe(fqdn="www.example.test", **ours)
        self.assertEqual((none["ok"], none["found"]), (True, None))
        self.assert_said(self.probe(fqdn="a.forbidden.example.test", **ours),
                         "CAA at forbidden.example.test", 'issue \\";\\"')
        good = self.probe(fqdn="open.example.test", method="dns-01", **ours)
        self.assertTrue(good["ok"], good)
        self.assertEqual(good["found"]["at"], "open.example.test")
        self.assert_said(self.probe(fqdn="open.example.test", method="http-01", **ours),
                         "validationmethods=dns-01")


if __name__ == "__main__":
    wait_for("free ports", lambda: not port_open("127.0.0.1", PORT), timeout=30)
    unittest.main()
