"""A small fleet whose servers replace their keys; used by test_rotate*.py. No test by itself."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import lab


def certificate_authority(http_port, base):
    """Each file gives ports of its own: they run side by side."""
    ca = lab.Pebble(Path(tempfile.mkdtemp(prefix="certmgr-rotate-ca-")), http_port=http_port,
                    base=base, tls_port=http_port + 1)
    return ca.start("127.0.201.11")


class Fleet:
    """alpha is the manager, beta a server with credentials, gamma another holder of them."""

    names = ("alpha", "beta", "gamma")

    def __init__(self, test, net, port, ca=None, names=None):
        self.dir = Path(tempfile.mkdtemp(prefix="certmgr-rotate-"))
        test.addCleanup(self.end)
        self.ca = ca
        ports = {"ui_port": port, "replication_port": port + 1, "challenge_port": port + 2}
        if ca:
            ports["challenge_port"] = ca.http_port
        self.steps = {}
        self.servers = []
        for i, name in enumerate(names or self.names):
            server = lab.Server(self.dir, name, f"127.0.201.{net + i}", pebble=ca, **ports)
            steps = self.dir / f"{name}.steps"
            steps.mkdir()
            server.process.env["CERTMGR_STEPS"] = str(steps)
            self.steps[name] = steps
            self.servers.append(server)
        self.alpha, self.beta = self.servers[:2]
        self.alpha.init().start()
        for server in self.servers[1:]:
            server.target().join(self.alpha).start()

    def end(self):
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def account(self):
        self.alpha.cli("account", "add", "pebble", "--directory", self.ca.url, "--agree-tos",
                       "--ca-bundle", self.ca.ca, "--http-port", self.ca.http_port)
        self.alpha.cli("settings", "--account", "pebble")

    def credential(self, name, *servers):
        self.ca.address(name, self.alpha.address)
        made = self.alpha.json("request", "-d", name,
                               *(x for s in servers for x in ("-s", s)))["credential"]
        self.alpha.wait_issued(made)
        self.alpha.wait_receipts(made, list(servers), "deployed")
        return made


def keys(server):
    """The public halves of a server's three keys, as hashes."""
    state = server.root / "var/lib/certmgr"
    made = {}
    for name, path in (("seal", "agent/seal.key"), ("sign", "agent/sign.key"),
                       ("tls", "tls/key.pem")):
        der = subprocess.run(["openssl", "pkey", "-in", str(state / path), "-pubout", "-outform",
                              "DER"], capture_output=True, check=True).stdout
        made[name] = hashlib.sha256(der).hexdigest()
    return made


def entry(server, name):
    """A server's object in the trust root that another one follows."""
    root = json.loads((server.root / "var/lib/certmgr/agent/trust.json").read_text())
    return next(one for one in root["servers"] if one["name"] == name)


def listed(server, name):
    one = entry(server, name)
    return {key: hashlib.sha256(base64.b64decode(one[key])).hexdigest()
            for key in ("seal", "sign", "tls")}


def pending(server):
    """The new sign key that the agent keeps beside the present one (as the trust root spells it)."""
    path = server.root / "var/lib/certmgr/agent/next/sign.key"
    done = subprocess.run(["openssl", "pkey", "-in", str(path), "-pubout", "-outform", "DER"],
                          capture_output=True, check=False)
    return base64.b64encode(done.stdout).decode() if done.returncode == 0 else None


def status(server):
    done = server.cli("server", "rotate", "--status", "--json", check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def wait_done(server, timeout=120):
    lab.wait_for(f"{server.name} to have rotated", lambda: status(server).get("state") == "done",
                 timeout, 0.2)


def sealed_for(sealed, server):
    return server.can_open(sealed)


def secrets_left(server):
    """Files of former or pending keys."""
    state = server.root / "var/lib/certmgr"
    return sorted(str(p.relative_to(state)) for p in
                  [*state.glob("agent/old/*"), *state.glob("agent/next/*"),
                   *state.glob("tls/next-*")])


STEP = re.compile(r"cm_step\(([^;]*)\);")
PREFIXES = ("rotate.", "serve.", "identity.", "agent.pinned", "agent.dropping")


def rotation_steps():
    """Every named step of a rotation, from the sources."""
    names = set()
    for folder in ("keyfile", "certmgr/fleet"):
        for path in (lab.SOURCE / folder).glob("*.c"):
            for call in STEP.findall(path.read_text()):
                names.update(re.findall(r'"([a-z_.]+)"', call.split("?", 1)[-1]))
    return {name for name in names if name.startswith(PREFIXES)}
