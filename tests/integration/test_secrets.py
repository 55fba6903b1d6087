"""No key byte outside the agent: known keys are looked for everywhere a front could leak them."""

import base64
import re
import subprocess
import unittest
from pathlib import Path

import lab

FLEET = None


def setUpModule():
    global FLEET
    FLEET = lab.Fleet(net=51, base=28000, http_port=5032)
    FLEET.start()


def tearDownModule():
    FLEET.stop()


def secret_forms(pem):
    """A private key as it might lie around: raw scalar, DER, base64 lines, hex."""
    der = subprocess.run(["openssl", "pkey", "-outform", "DER"], input=pem.encode(),
                         capture_output=True, check=True).stdout
    text = subprocess.run(["openssl", "pkey", "-noout", "-text"], input=pem.encode(),
                          capture_output=True, check=True).stdout.decode()
    raw = bytes.fromhex(re.sub(r"[^0-9a-f]", "", re.search(r"priv:\n((?:\s+[0-9a-f:]+\n)+)",
                                                           text).group(1)))[-32:]
    line = pem.strip().splitlines()[2]
    return {"scalar": raw, "DER": der, "PEM line": line.encode(), "hex": raw.hex().encode(),
            "base64": base64.b64encode(raw)[:-2], "base64url": base64.urlsafe_b64encode(raw)[:-2]}


def memory_of(pid):
    """The readable memory of a process: what a core image would hold."""
    out = []
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for row in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, mode = row.split()[:2]
            start, end = (int(x, 16) for x in span.split("-"))
            # AddressSanitizer's shadow is terabytes of nothing
            if mode[0] != "r" or "[v" in row or end - start > 1 << 31:
                continue
            try:
                mem.seek(start)
                out.append(mem.read(end - start))
            except (OSError, OverflowError, ValueError):
                continue
    return out


class Secrets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.credential = FLEET.manager.json("request", "-d", "canary.secret.example", "-s",
                                            "bravo")["credential"]
        FLEET.manager.wait_issued(cls.credential)
        FLEET.manager.wait_receipts(cls.credential, ["bravo"])
        cls.canaries = {"credential key": secret_forms(
            (FLEET.server["bravo"].data / "keyfile/privkey.pem").read_text())}
        for name in ("alpha", "bravo"):
            agent = FLEET.server[name].root / "var/lib/certmgr/agent"
            for key in ("seal", "sign"):
                cls.canaries[f"{name}'s {key} key"] = secret_forms(
                    (agent / f"{key}.key").read_text())
        # the account key, opened by the manager's own seal key (the manager is its recipient)
        account = FLEET.manager.document("account:pebble")
        sealed = FLEET.directory / "account.der"
        sealed.write_bytes(base64.b64decode(account["sealed_key"]))
        key = FLEET.manager.seal_key()
        opened = lab.run(["openssl", "cms", "-decrypt", "-inform", "DER", "-in", sealed, "-inkey",
                          key, "-recip", key.with_suffix(".crt")])
        cls.canaries["account key"] = secret_forms(opened[opened.index("-----BEGIN"):])

    def search(self, place, data):
        for owner, forms in self.canaries.items():
            for form, needle in forms.items():
                self.assertNotIn(needle, data, f"{owner} as {form} in {place}")

    def test_search_finds(self):
        """The search itself works: the agent's directory does hold the keys."""
        data = (FLEET.manager.root / "var/lib/certmgr/agent/sign.key").read_bytes()
        self.assertIn(self.canaries["alpha's sign key"]["PEM line"], data)

    def test_store_and_logs(self):
        for server in FLEET.server.values():
            state = server.root / "var/lib/certmgr"
            for path in [server.process.log, *state.glob("store/*"), *state.glob("tls/*")]:
                self.search(path.name, path.read_bytes())

    def test_processes(self):
        for name in ("alpha", "bravo"):
            server = FLEET.server[name]
            pids = [server.process.child.pid] + [pid for pid, _ in server.children()]
            for pid in pids:
                for part in ("cmdline", "environ"):
                    self.search(f"{name} {part}", Path(f"/proc/{pid}/{part}").read_bytes())

    def test_front_memory(self):
        for name in ("alpha", "bravo"):
            chunks = memory_of(FLEET.server[name].pid_of("front-process"))
            self.assertGreater(sum(map(len, chunks)), 1 << 20, "memory was read")
            marker = self.credential.encode()
            self.assertTrue(any(marker in c for c in chunks), "the search sees the front's heap")
            for chunk in chunks:
                self.search(f"{name}'s front memory", chunk)

    def test_agent_is_shut(self):
        """The agent holds no socket but its two channels, and leaves no core."""
        for name in ("alpha", "bravo"):
            pid = FLEET.server[name].pid_of("agent-process")
            limits = Path(f"/proc/{pid}/limits").read_text()
            self.assertRegex(limits, r"Max core file size\s+0\s+0")
            status = Path(f"/proc/{pid}/status").read_text()
            self.assertRegex(status, r"Seccomp:\s+2")
            self.assertRegex(status, r"NoNewPrivs:\s+1")
            self.assertEqual(Path(f"/proc/{pid}/net/tcp").exists(), True)
            sockets = [p for p in Path(f"/proc/{pid}/fd").iterdir()
                       if "socket:" in str(p.readlink())]
            self.assertLessEqual(len(sockets), 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
