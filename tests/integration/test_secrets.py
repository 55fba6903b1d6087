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


def numbers_of(text):
    """The secret numbers of `openssl pkey -text`: an EC key's scalar; of an RSA key d and primes."""
    numbers = {}
    for name in ("priv", "privateExponent", "prime1", "prime2"):
        match = re.search(rf"^{name}:\n((?:\s+[0-9a-f:]+\n)+)", text, re.M)
        if match:
            numbers[name] = bytes.fromhex(re.sub(r"[^0-9a-f]", "", match.group(1))).lstrip(b"\0")
    return numbers


def secret_forms(pem):
    """A private key as it might lie around: its numbers (as they are written and as OpenSSL holds
    them on this machine, the low end first), DER, base64 lines, hex."""
    der = subprocess.run(["openssl", "pkey", "-outform", "DER"], input=pem.encode(),
                         capture_output=True, check=True).stdout
    text = subprocess.run(["openssl", "pkey", "-noout", "-text"], input=pem.encode(),
                          capture_output=True, check=True).stdout.decode()
    lines = pem.strip().splitlines()
    line = lines[2] if len(lines) == 5 else lines[-4]  # an RSA key begins with what is public
    forms = {"DER": der, "PEM line": line.encode()}
    for name, raw in numbers_of(text).items():
        forms |= {name: raw, f"{name}, low end first": raw[::-1], f"{name} in hex": raw.hex().encode(),
                  f"{name} in base64": base64.b64encode(raw)[:-4],
                  f"{name} in base64url": base64.urlsafe_b64encode(raw)[:-4]}
    return forms


def sockets_of(pid):
    """Inodes of the sockets that a process has open."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink()))
        except OSError:  # closed meanwhile
            continue
        if match:
            found.add(match.group(1))
    return found


def inodes(table):
    """Inodes in one of the kernel's tables of sockets ("tcp", "unix")."""
    column = {"tcp": 9, "unix": 6}[table]
    rows = Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]
    return {row.split()[column] for row in rows}


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
        rsa = FLEET.manager.json("request", "-d", "rsa.secret.example", "-s", "alpha",
                                 "--key-type", "RSA-2048", "--keyring-file", "rsa.kyr")["credential"]
        FLEET.manager.wait_issued(rsa)
        # nginx there serves the other file: deployed is enough
        key = FLEET.server["alpha"].data / "rsa/privkey.pem"
        lab.wait_for("the RSA key's file", key.exists)
        cls.canaries["RSA key"] = secret_forms(key.read_text())
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
                # (assertNotIn would print the whole of what was searched)
                self.assertFalse(needle in data, f"{owner} as {form} in {place}")

    def test_search_finds(self):
        """The search itself works: the agent's directory does hold the keys."""
        data = (FLEET.manager.root / "var/lib/certmgr/agent/sign.key").read_bytes()
        self.assertIn(self.canaries["alpha's sign key"]["PEM line"], data)
        self.assertEqual(len(self.canaries["credential key"]), 2 + 5)
        self.assertEqual(len(self.canaries["RSA key"]), 2 + 3 * 5)
        self.assertEqual(len(self.canaries["RSA key"]["prime1"]), 128)

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
            sockets = sockets_of(pid)
            self.assertIn(len(sockets), (1, 2), "its channels, at least that to the front")
            self.assertLessEqual(sockets, inodes("unix"), "none but Unix sockets")

    def test_network_sockets_are_found(self):
        """The tables know what they should: the front's listeners are in the one of TCP."""
        front = sockets_of(FLEET.manager.pid_of("front-process"))
        self.assertTrue(front & inodes("tcp"), "its listeners")
        self.assertFalse(front & inodes("tcp") & inodes("unix"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
