"""The others: bare driver, ACME clients from Debian, one web server for their challenges."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import lab  # noqa: E402
from measure import Memory, session_pids  # noqa: E402

HERE = Path(__file__).resolve().parent
TIMEOUT = 300  # seconds of one cell


class Webroot:
    """nginx with one worker that serves a directory: challenge files of parallel processes."""

    def __init__(self, directory, address, port):
        self.directory, self.address, self.port = Path(directory), address, port
        self.root = self.directory / "web"
        (self.root / ".well-known/acme-challenge").mkdir(parents=True)
        conf = self.directory / "nginx.conf"
        conf.write_text(f"""
worker_processes 1;
daemon off;
user root;
pid {self.directory}/nginx.pid;
error_log {self.directory}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {self.directory}/body; proxy_temp_path {self.directory}/proxy;
    fastcgi_temp_path {self.directory}/fastcgi; uwsgi_temp_path {self.directory}/uwsgi;
    scgi_temp_path {self.directory}/scgi;
    server {{ listen {address}:{port}; root {self.root}; }}
}}
""")
        self.process = lab.Process("nginx", ["/usr/sbin/nginx", "-c", conf, "-e",
                                             self.directory / "error.log"], self.directory)

    def start(self):
        self.process.start()
        lab.wait_for("nginx", lambda: lab.port_open(self.address, self.port))
        return self

    def workers(self):
        parent = self.process.child.pid
        return list(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))

    def stop(self):
        self.process.stop()


def build_bare(directory):
    """The bare driver, compiled where it is used."""
    binary = Path(directory) / "bare"
    lab.run([os.environ.get("CC", "cc"), "-std=gnu17", "-O2", "-o", binary, HERE / "bare.c",
             "-lcurl", "-ljansson", "-lcrypto"])
    return binary


def bare(binary, pebble, webroot, count, in_flight, names=1, url=None):
    done = subprocess.run([str(a) for a in (
        binary, "-d", url or pebble.url, "-c", pebble.ca, "-w", webroot.root, "-n", count, "-j",
        in_flight, "-s", names)], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode != 0:
        raise lab.LabError(f"bare driver: {done.stderr}")
    out = json.loads(done.stdout)
    return {"wall": out["wall"], "cpu": out["cpu"], "requests": out["requests"],
            "rss": out["rss_kb"] / 1024}


class Peer:
    """A command per certificate, `lanes` at a time, as the peer's users would script it."""

    def __init__(self, name, directory, pebble, webroot, lanes):
        self.name, self.pebble, self.webroot, self.lanes = name, pebble, webroot, lanes
        self.directory = Path(directory) / f"peer-{name}"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)

    def run(self, first, count, lanes):
        """wall, cpu and memory of count certificates bench-<number>."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.monotonic()
        script = (f"seq {first} {first + count - 1} | "
                  f"xargs -P {lanes} -I NUMBER sh -c '{self.command('NUMBER')}'")
        wrapped = self.wrap(script)
        out = open(self.directory / "log", "ab")
        child = subprocess.Popen(wrapped, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                 start_new_session=True, env=self.env(), cwd=self.directory)
        out.close()
        memory = Memory(lambda: {"peer": session_pids(child.pid)})
        memory.start()
        try:
            child.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            child.wait()
        wall = time.monotonic() - begun
        memory.stop()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {"wall": wall, "rss": memory.rss.get("peer"), "pss": memory.pss.get("peer"),
                "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
                "issued": self.issued(first, count)}

    def wrap(self, script):
        return ["sh", "-c", script]

    def env(self):
        return dict(os.environ)

    def host(self, number):
        return f"{self.name}{number}.bench.example"


class Lego(Peer):
    """Polls once, then waits 5 s: many processes at a time are its best (reference figures)."""

    def command(self, number):
        return (f"lego --path {self.directory}/l --server {self.pebble.url} -a -m a@acme.test "
                f"-k ec256 --http --http.webroot {self.webroot.root} -d {self.host(number)} run "
                ">/dev/null 2>&1")

    def env(self):
        return dict(os.environ, LEGO_CA_CERTIFICATES=str(self.pebble.ca))

    def issued(self, first, count):
        return sum((self.directory / f"l/certificates/{self.host(n)}.crt").exists()
                   for n in range(first, first + count))

    def register(self):
        self.run(0, 1, 1)


class Uacme(Peer):
    """Reads the system's bundle: it gets one with the laboratory's CA, in a mount namespace."""

    def __init__(self, *args):
        super().__init__(*args)
        system = Path("/etc/ssl/certs/ca-certificates.crt")
        (self.directory / "bundle.pem").write_bytes(system.read_bytes()
                                                    + self.pebble.ca.read_bytes())

    def base(self):
        return f"uacme -a {self.pebble.url} -c {self.directory}/u -t EC"

    def command(self, number):
        return (f"{self.base()} -h /usr/share/uacme/uacme.sh issue {self.host(number)} "
                ">/dev/null 2>&1")

    def wrap(self, script):
        bundle = "/etc/ssl/certs/ca-certificates.crt"
        return ["unshare", "-m", "sh", "-c",
                f"mount --bind {self.directory}/bundle.pem {bundle} && {script}"]

    def env(self):
        return dict(os.environ,
                    UACME_CHALLENGE_PATH=str(self.webroot.root / ".well-known/acme-challenge"))

    def issued(self, first, count):
        return sum((self.directory / f"u/{self.host(n)}/cert.pem").exists()
                   for n in range(first, first + count))

    def register(self):
        done = subprocess.run(self.wrap(f"{self.base()} -y new a@acme.test"), env=self.env(),
                              capture_output=True, text=True, timeout=TIMEOUT, check=False)
        if done.returncode != 0:
            raise lab.LabError(f"uacme new: {done.stderr}")


PEERS = {"lego": (Lego, 100), "uacme": (Uacme, 2)}  # lanes: their best, as measured before


def available():
    return [name for name in PEERS if shutil.which(name)]


def make(name, directory, pebble, webroot):
    kind, lanes = PEERS[name]
    peer = kind(name, directory, pebble, webroot, lanes)
    peer.register()
    return peer
