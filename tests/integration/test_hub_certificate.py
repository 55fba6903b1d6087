"""A hub that takes client certificates only: manager and one server go through it by them. None, a
foreign or an expired one is told as such; the key lies sealed; another one is set, and it goes on."""

import base64
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import lab
from lab_hub import Authority, Gate, Hub

NET = "127.0.211"
PORTS = {"ui_port": 20643, "replication_port": 20644, "challenge_port": 20680}


class HubCertificate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = Path(tempfile.mkdtemp(prefix="certmgr-hubcert-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        cls.hub = Hub(cls.dir / "hub", f"{NET}.10", 20690, users="*").start()
        cls.addClassCleanup(lambda: cls.hub.process.stop())
        cls.hub.call("PUT", "/certstore")
        (cls.dir / "clients").mkdir()
        authority = Authority(cls.dir / "clients", "Clients CA", "ca")
        foreign = Authority(cls.dir / "clients", "Foreign CA", "foreign-ca")
        cls.pair = {name: authority.issue(name, name) for name in ("alpha", "bravo", "bravo-2")}
        cls.pair["expired"] = authority.issue("expired", "expired", days=-1)
        cls.pair["foreign"] = foreign.issue("foreign", "foreign")
        cls.gate = Gate(cls.hub, 20691, authority).start()
        cls.addClassCleanup(cls.gate.stop)
        cls.alpha, cls.bravo = (lab.Server(cls.dir, name, f"{NET}.{11 + i}", **PORTS)
                                for i, name in enumerate(("alpha", "bravo")))
        for server in (cls.alpha, cls.bravo):
            cls.addClassCleanup(server.stop)
        cls.alpha.init().start()
        cls.bravo.join(cls.alpha).start()

    def nginx(self, port):
        """A proxy that takes every handshake, then answers 400 to who has no good certificate."""
        d = self.dir / "nginx"
        d.mkdir()
        (d / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {d}/nginx.pid; error_log {d}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {d}/body; proxy_temp_path {d}/proxy;
    fastcgi_temp_path {d}/fastcgi; uwsgi_temp_path {d}/uwsgi; scgi_temp_path {d}/scgi;
    server {{
        listen {NET}.10:{port} ssl;
        ssl_certificate {self.hub.directory}/tls.pem;
        ssl_certificate_key {self.hub.directory}/tls.key;
        ssl_client_certificate {self.dir}/clients/ca.pem; ssl_verify_client on;
        location / {{ proxy_pass {self.hub.url}; proxy_buffering off; }}
    }}
}}
""")
        process = lab.Process("nginx", ["/usr/sbin/nginx", "-c", d / "nginx.conf", "-e",
                                        d / "error.log"], d).start()
        self.addCleanup(process.stop)
        lab.wait_for("nginx", lambda: lab.port_open(f"{NET}.10", port))
        return f"https://{NET}.10:{port}"

    def upstream_set(self, server, name=None, url=None):
        """(status, what it says); the certificate of that name, or none."""
        words = []
        if name:
            cert, key = self.pair[name]
            words = ["--cert", cert, "--key", key]
        done = server.cli("upstream", "set", (url or self.gate.url) + "/certstore", "--ca-file",
                          self.hub.ca, *words, check=False)
        return done.returncode, done.stdout + done.stderr

    def refused(self, server, name, why, hint, url=None):
        """Set it: the command says why not, and so does the status of replication, of both ways."""
        status, said = self.upstream_set(server, name, url)
        self.assertEqual(status, 1, said)

        for text in (why, hint):
            self.assertIn(text, said)

        def told():
            rows = server.json("replication", "status")["directions"]
            # Between two attempts it waits; an attempt under way is "connecting" for a moment.
            text = server.cli("replication", "status").stdout
            return len(rows) == 2 and why in text and hint in text and all(
                "error" in row and row["state"] == "waiting" for row in rows)
        lab.wait_for(f"the refusal of {name} in the status", told, 60, 0.2)

    def days(self, server):
        return server.json("settings").get("renew_days")

    def wait_days(self, server, days):
        lab.wait_for(f"{server.name} to have {days}", lambda: self.days(server) == days, 60, 0.2)

    def live(self, server):
        def both():
            rows = server.json("replication", "status")["directions"]
            return len(rows) == 2 and all(row["state"] in ("live", "replicating") and
                                          "error" not in row for row in rows)
        lab.wait_for(f"{server.name} in both directions", both, 60, 0.2)

    def test_1_none_and_a_foreign_one_are_told(self):
        self.refused(self.bravo, None, "alert certificate required", "demands a client certificate")
        self.refused(self.bravo, "foreign", "alert unknown ca", "trusts its issuer")
        self.assertIn("PEER_DID_NOT_RETURN_A_CERTIFICATE", self.gate.refused)
        self.assertEqual(self.gate.names, [])

    def test_2_both_go_through_the_hub(self):
        for server in (self.alpha, self.bravo):
            self.assertEqual(self.upstream_set(server, server.name)[0], 0)
            shown = server.json("upstream", "show")
            self.assertEqual((shown["kind"], shown["authentication"]),
                             ("hub", "client certificate"))
            self.assertLess(shown["cert_not_before"], shown["cert_not_after"])
            self.assertIn(shown["cert_health"], ("green", "yellow", "red"))
            self.assertIn(shown["cert_not_after"], server.cli("upstream", "show").stdout)
            self.live(server)
        self.alpha.cli("settings", "--renew-days", 11)
        self.wait_days(self.bravo, 11)
        self.assertEqual(self.hub.winner("settings:global")["signature"]["by"], "alpha")
        self.assertEqual(set(self.gate.names), {"alpha", "bravo"})

    def test_3_the_key_lies_sealed(self):
        for server in (self.alpha, self.bravo):
            key = self.pair[server.name][1].read_text()
            der = subprocess.run(["openssl", "ec", "-outform", "DER"], input=key.encode(),
                                 capture_output=True, check=True).stdout
            secret = der[7:39]  # RFC 5915: SEQUENCE, version 1, OCTET STRING of 32 bytes
            wanted = [secret, base64.b64encode(secret)[:40], secret.hex().encode()]
            wanted += [line.encode() for line in key.splitlines()[1:-1]]
            self.assertEqual(der[5:7], b"\x04\x20")
            for path, data in server.files():
                self.assertFalse([1 for part in wanted if part in data], path)
            for pid in [server.process.child.pid] + [pid for pid, _ in server.children()]:
                for part in ("cmdline", "environ"):
                    self.assertNotIn(wanted[-2], Path(f"/proc/{pid}/{part}").read_bytes())
            self.assertNotIn("PRIVATE", server.cli("upstream", "show", "--json").stdout)
            # What is kept is sealed to this server, and to no other.
            other = self.bravo if server is self.alpha else self.alpha
            sealed = {text.decode() for path in server.root.rglob("*.mdb") for text in re.findall(
                rb'"sealed":"([A-Za-z0-9+/=]{200,})"', path.read_bytes())}
            mine = [text for text in sealed if server.can_open(text)]
            self.assertTrue(mine)
            self.assertFalse([text for text in mine if other.can_open(text)])

    def test_4_the_files_are_not_needed_again(self):
        self.pair["bravo"][1].unlink()
        self.bravo.stop()
        self.bravo.start()
        self.live(self.bravo)
        self.alpha.cli("settings", "--renew-days", 12)
        self.wait_days(self.bravo, 12)

    def test_5_an_expired_one_is_replaced(self):
        self.refused(self.bravo, "expired", "alert certificate expired", "is not expired")
        self.alpha.cli("settings", "--renew-days", 13)
        lab.wait_for("13 on the hub", lambda: self.hub.winner("settings:global")["renew_days"] == 13,
                     60, 0.2)
        self.assertEqual(self.days(self.bravo), 12)
        self.assertEqual(self.upstream_set(self.bravo, "bravo-2")[0], 0)
        self.wait_days(self.bravo, 13)
        self.live(self.bravo)
        self.assertIn("bravo-2", self.gate.names)
        # The old one is forgotten: whoever is cut off comes again with the new one.
        del self.gate.names[:]
        self.gate.cut()
        self.alpha.cli("settings", "--renew-days", 14)
        self.wait_days(self.bravo, 14)
        self.assertIn("bravo-2", self.gate.names)
        self.assertLessEqual(set(self.gate.names), {"alpha", "bravo-2"})

    def test_6_a_proxy_says_it_in_http(self):
        url = self.nginx(20692)
        for name in (None, "foreign", "expired"):
            self.refused(self.bravo, name, "HTTP 400", "or at the client certificate", url)
        self.assertEqual(self.upstream_set(self.bravo, "bravo-2", url)[0], 0)
        self.live(self.bravo)
        self.alpha.cli("settings", "--renew-days", 15)
        self.wait_days(self.bravo, 15)


if __name__ == "__main__":
    unittest.main(verbosity=2)
