"""Five servers: alpha is the manager; each in a namespace, on a small disk, with a clock that can
be set wrong."""

import json
import os
import shutil
import signal
import socket
import http.client
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import lab  # noqa: E402
from notice_sinks import Webhook  # noqa: E402

from net import Net  # noqa: E402

NAMES = ("alpha", "bravo", "charlie", "delta", "echo")
DISK = "160m"  # 9,500 credentials of a long run fill 64 MiB
HOOK_PORT, SECRET = 7780, "secret of the partition test"
API_TIMEOUT = 5.0  # a stopped server does not answer
DEAD_CA = "https://127.0.0.1:9/dir"


class Unanswered(Exception):
    """No answer to a call: what was asked may have been done or not."""


class Node(lab.Server):
    """A server inside its namespace."""

    def __init__(self, directory, name, net, pebble):
        super().__init__(directory, name, net.address[name], pebble)
        self.net = net
        self.clock = Path(directory) / f"{name}.clock"
        self.skew(0)
        env = {"CERTMGR_SKEW_FILE": str(self.clock)}
        if os.environ.get("CERTMGR_SKEW"):
            env["LD_PRELOAD"] = os.environ["CERTMGR_SKEW"]
        asan = os.environ.get("ASAN_OPTIONS", "")
        env["ASAN_OPTIONS"] = (asan + ":" if asan else "") + "verify_asan_link_order=0"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(self.root)],
                       check=True)
        self.data.mkdir(parents=True, exist_ok=True)
        self.process = lab.Process("serve", [*net.inside(name), self.certmgr, "serve", "--root",
                                             self.root], self.root, env=env)
        self.target()

    def configure(self):
        super().configure()
        path = self.root / "etc/certmgr/certmgr.conf"
        origin = DEAD_CA.rsplit("/", 1)[0]
        path.write_text(path.read_text().replace("allowed_cas = ", f"allowed_cas = {origin} "))
        return self

    def skew(self, seconds):
        if not self.clock.exists():
            self.clock.write_bytes(struct.pack("=q", 0))
        with open(self.clock, "r+b") as file:  # in place: it is mapped
            file.write(struct.pack("=q", seconds))

    def fill(self):
        """Nothing more fits on the disk."""
        fd = os.open(self.root / "filler", os.O_WRONLY | os.O_CREAT, 0o600)
        for size in (1 << 20, 4096):
            try:
                while os.write(fd, bytes(size)):
                    pass
            except OSError:
                pass
        os.close(fd)

    def empty(self):
        (self.root / "filler").unlink(missing_ok=True)

    def signal_all(self, sig):
        for pid in [self.process.child.pid] + [c[0] for c in self.children()]:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass

    def kill_front(self):
        pid = self.pid_of("front-process")
        if pid:
            os.kill(pid, signal.SIGKILL)

    def call(self, method, path, body=None, headers=None, timeout=API_TIMEOUT):
        """(status, headers, body) of the API; Unanswered when it does not answer in time."""
        connection = http.client.HTTPConnection("localhost")
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(timeout)
            connection.sock.connect(str(self.root / "run/certmgr/certmgr.sock"))
            connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body),
                               {"Content-Type": "application/json", **(headers or {})})
            reply = connection.getresponse()
            data = reply.read()
            return reply.status, reply.headers, json.loads(data) if data else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unanswered(f"{self.name}: {method} {path}: {error!r}") from None
        finally:
            connection.close()

    def state(self):
        """{(type, signer or None): (documents, deleted, hash)}"""
        status, _, body = self.call("GET", "/store?state=true", timeout=10)
        if status != 200:
            raise Unanswered(f"{self.name}: store: status {status}")
        return {(row["type"], row.get("by")): (row["documents"], row["deleted"], row["hash"])
                for row in body["state"]}

    def live(self):
        """Are both directions of its replication caught up and listening?"""
        _, _, status = self.call("GET", "/status")
        upstream = status.get("upstream") or {}
        return all((upstream.get(way) or {}).get("state") == "live" for way in ("pull", "push"))


class Fleet:
    """Network, CA, hook and servers, set up in about 20 s; torn down whatever happened."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="certmgr-partition-"))
        self.net = Net(NAMES)
        self.pebble = lab.Pebble(self.directory / "ca", http_port=5002,
                                 env={"PEBBLE_VA_NOSLEEP": "1"})
        self.node = {}
        self.hook = None

    @property
    def manager(self):
        return self.node["alpha"]

    def start(self):
        self.net.create()
        self.net.enter("alpha")  # Pebble, the hook and we ourselves live beside the manager
        self.hook = Webhook(HOOK_PORT, SECRET)
        for name in NAMES:
            (self.directory / name).mkdir()
            self.node[name] = Node(self.directory, name, self.net,
                                   self.pebble if name == "alpha" else None)
        secret = self.directory / "hook-secret"
        secret.write_text(SECRET + "\n")
        secret.chmod(0o600)
        self.manager.extra = ("[notify]\ncheck_interval = 1\nsilent_after = 10\n"
                              f"webhook_url = http://127.0.0.1:{HOOK_PORT}/hook\n"
                              f"webhook_secret_file = {secret}\n")
        self.pebble.start(self.manager.address)
        self.manager.init().start()
        for name in NAMES[1:]:
            self.node[name].join(self.manager).start(wait=False)
        for name in NAMES[1:]:
            self.node[name].ready()
        self.manager.cli("account", "add", "pebble", "--directory", self.pebble.url, "--agree-tos",
                         "--ca-bundle", self.pebble.ca, "--http-port", self.pebble.http_port)
        self.manager.cli("account", "add", "dead", "--directory", DEAD_CA, "--agree-tos")
        self.manager.cli("root", "add", self.pebble.root())
        self.manager.cli("settings", "--account", "dead")
        return self

    def silent(self):
        """Servers of which the manager has told that they are silent, and not yet the end of it."""
        open_now = set()
        for event, _, title in self.hook.events("server_silent"):
            name = title.split()[1]
            open_now.add(name) if event != "resolved" else open_now.discard(name)
        return open_now

    def faults_in_logs(self):
        """What sanitizers wrote."""
        words = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "CM_BUG")
        return [f"{node.name}: {line}" for node in self.node.values() if node.process.log.exists()
                for line in node.process.log.read_text(errors="replace").splitlines()
                if any(word in line for word in words)]

    def keep(self, where):
        """Copies what the servers have and said to a place that stays."""
        where = Path(where)
        for node in self.node.values():
            target = where / node.name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(node.root, target, symlinks=True, ignore_dangling_symlinks=True,
                            ignore=shutil.ignore_patterns("filler", "*.sock"))
        return where

    def stop(self):
        for node in self.node.values():
            node.empty()
            if node.process.running():
                node.signal_all(signal.SIGCONT)
        for node in self.node.values():
            if node.process.running():
                node.process.child.terminate()
        for node in self.node.values():
            node.stop()

    def remove(self):
        try:
            self.stop()
        finally:
            self.pebble.stop()
            if self.hook:
                self.hook.stop()
            for node in self.node.values():
                subprocess.run(["umount", "-l", str(node.root)], check=False)
            self.net.remove()
            shutil.rmtree(self.directory, ignore_errors=True)
