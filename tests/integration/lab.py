"""A fleet in the laboratory: real certmgr servers, Pebble (an ACME CA), its DNS, nginx.

Everything runs on loopback addresses with settings that a user has too; each server has its own
--root directory. Used by the integration tests and by script/demo. Standard library only.
"""

import atexit
import hashlib
import http.client
import http.cookiejar
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from lab_nginx import Nginx

SOURCE = Path(__file__).resolve().parents[2]
CERTMGR = Path(os.environ.get("CERTMGR", SOURCE / "build/dev/certmgr/certmgr"))
PASSWORD = "correct horse battery staple"


class LabError(Exception):
    """Something in the laboratory (not an assertion of a test) went wrong."""


def wait_for(what, check, timeout=60.0, pause=0.05):
    """Returns check()'s first true result; says what it waited for when time is up."""
    end = time.monotonic() + timeout
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > end:
            raise LabError(f"waited {timeout:.0f} s for {what}")
        time.sleep(pause)


def port_open(address, port):
    try:
        socket.create_connection((address, port), timeout=5).close()
        return True
    except OSError:
        return False


def runs(pid):
    """Is this process there, and no zombie? It may go while it is looked at."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def run(args, **kw):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, check=False, **kw)
    if done.returncode != 0:
        raise LabError(f"{' '.join(map(str, args))}: status {done.returncode}\n"
                       f"{done.stdout}{done.stderr}")
    return done.stdout


def served_fingerprint(address, port, name):
    """SHA-256 of the leaf certificate that a TLS port serves for a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((address, port), timeout=30) as raw:
        with context.wrap_socket(raw, server_hostname=name) as tls:
            return hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()


# Who is told to end (a time limit, somebody's kill) ends what was started, too: by atexit.
if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Process:
    """A child process with its output in a file; ended by pid, with what it started itself."""

    def __init__(self, name, args, directory, env=None, cwd=None):
        self.name = name
        self.args = [str(a) for a in args]
        self.log = Path(directory) / f"{name}.log"
        self.env = dict(os.environ, **(env or {}))
        self.cwd = cwd
        self.child = None

    def start(self):
        if shutil.which(self.args[0]) is None:
            raise LabError(f"{self.args[0]} is not installed; script/setup installs what is needed")
        atexit.register(self.end)  # also when a test's set-up fails half-way
        out = open(self.log, "ab")
        self.child = subprocess.Popen(self.args, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                      env=self.env, cwd=self.cwd, start_new_session=True)
        out.close()
        return self

    def running(self):
        return self.child is not None and self.child.poll() is None

    def tail(self, lines=5):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, sig=signal.SIGTERM, timeout=15):
        if not self.running():
            return
        self.child.send_signal(sig)
        try:
            self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)  # a killed master leaves its workers
            self.child.wait()

    def end(self):
        self.stop(timeout=5)
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError):
            pass  # never started; nobody left, as it should be


class Pebble:
    """Pebble and challtestsrv. GOMAXPROCS=1: with more, this version can freeze as a whole."""

    def __init__(self, directory, http_port=5002, base=14000, env=None, tls_port=5001):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.http_port, self.tls_port = http_port, tls_port
        self.port, self.admin_port = base, base + 1
        self.dns_port, self.dns_admin = base + 53, base + 55
        # it waits up to that long before it looks (15 s without this): 0 or 1 second
        self.env = dict({"GOMAXPROCS": "1", "PEBBLE_VA_SLEEPTIME": "2"}, **(env or {}))
        self.settings = {}  # further members of Pebble's configuration; set before start()
        self.ca = self.directory / "ca.pem"
        self.resolver = f"127.0.0.1:{self.dns_port}"
        self.url = f"https://127.0.0.1:{self.port}/dir"
        self.processes = []

    def _certificate(self):
        d = self.directory
        if self.ca.exists():
            return
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", d / "ca.key", "-out", self.ca, "-days", "30",
             "-subj", "/CN=Laboratory TLS root"])
        run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", d / "tls.key", "-out", d / "tls.csr", "-subj", "/CN=127.0.0.1"])
        (d / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        run(["openssl", "x509", "-req", "-in", d / "tls.csr", "-CA", self.ca, "-CAkey", d / "ca.key",
             "-CAcreateserial", "-out", d / "tls.pem", "-days", "30", "-extfile", d / "ext"])

    def start(self, default_address="127.0.0.11", dns_server=None):
        """dns_server: asked by Pebble in place of challtestsrv, such as one that forwards to it."""
        self._certificate()
        d = self.directory
        (d / "pebble.json").write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.admin_port}",
            "certificate": str(d / "tls.pem"), "privateKey": str(d / "tls.key"),
            "httpPort": self.http_port, "tlsPort": self.tls_port, "ocspResponderURL": "",
            "externalAccountBindingRequired": False, **self.settings}}))
        self.processes = [
            Process("challtestsrv", ["pebble-challtestsrv", "-management",
                                     f"127.0.0.1:{self.dns_admin}", "-http01", "", "-https01", "",
                                     "-tlsalpn01", "", "-dns01", self.resolver, "-defaultIPv6", "",
                                     "-defaultIPv4", default_address], d).start(),
            Process("pebble", ["pebble", "-config", d / "pebble.json", "-dnsserver",
                               dns_server or self.resolver], d, self.env).start()]
        wait_for("Pebble", self._up)
        return self

    def _up(self):
        for process in self.processes:
            if not process.running():  # a port that is taken, most of the time
                raise LabError(f"{process.name} ended at once:\n{process.tail()}")
        return (port_open("127.0.0.1", self.port) and port_open("127.0.0.1", self.admin_port) and
                port_open("127.0.0.1", self.dns_admin) and self._is_ours())

    def _is_ours(self):
        """Does the directory answer with our certificate? Another Pebble's port is open, too."""
        context = ssl.create_default_context(cafile=str(self.ca))
        try:
            urllib.request.urlopen(self.url, context=context, timeout=30).close()
        except (OSError, http.client.HTTPException) as error:  # some come as they are
            if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                raise LabError(f"port {self.port} is another Pebble's: {error}") from error
            return False
        return True

    def address(self, name, address):
        """The A record of a (Punycode) name."""
        self._dns("add-a", host=name + ".", addresses=[address])

    def address_only(self, name, address):
        """The A record of a name that had another."""
        self.forget(name)
        self.address(name, address)

    def forget(self, name):
        """Takes the A records of a (Punycode) name away; the default address answers for it."""
        self._dns("clear-a", host=name + ".")

    def _dns(self, call, **what):
        urllib.request.urlopen(f"http://127.0.0.1:{self.dns_admin}/{call}",
                               json.dumps(what).encode(), timeout=30).close()

    def root(self):
        """Writes the CA's issuing root as PEM and returns the file."""
        context = ssl.create_default_context(cafile=str(self.ca))
        url = f"https://127.0.0.1:{self.admin_port}/roots/0"
        with urllib.request.urlopen(url, context=context, timeout=30) as reply:
            (self.directory / "root.pem").write_bytes(reply.read())
        return self.directory / "root.pem"

    def stop(self):
        for process in self.processes:
            process.stop()


class Server:
    """One certmgr server with a directory and an address of its own."""

    def __init__(self, directory, name, address, pebble=None, ui_port=8443, replication_port=8444,
                 challenge_port=5002, certmgr=None, directory_url=None):
        self.name, self.address = name, address
        self.root = Path(directory) / name
        self.data = self.root / "data"
        self.ui_port, self.replication_port = ui_port, replication_port
        self.challenge_port = challenge_port
        self.tls_challenge_port = 0  # off
        self.certmgr = Path(certmgr or CERTMGR)
        self.pebble = pebble
        self.directory_url = directory_url or (pebble.url if pebble else None)
        self.targets = {}
        self.extra = ""
        self.data.mkdir(parents=True, exist_ok=True)
        self.process = Process("serve", [self.certmgr, "serve", "--root", self.root], self.root)
        self.setup_link = None
        self.manager_address = None

    # -- configuration --

    def target(self, name="default", **settings):
        self.targets[name] = dict({"directory": self.data}, **settings)
        return self

    def configure(self):
        lines = ["[server]", f"name = {self.name}", f"listen_address = {self.address}",
                 f"ui_port = {self.ui_port}", f"replication_port = {self.replication_port}",
                 f"challenge_port = {self.challenge_port}",
                 f"tls_challenge_port = {self.tls_challenge_port}"]
        if self.pebble:
            lines += ["[network]", f"resolver = {self.pebble.resolver}"]
        if self.directory_url:
            parts = urllib.parse.urlsplit(self.directory_url)
            lines += ["[acme]", f"allowed_cas = {parts.scheme}://{parts.netloc}"]
        for name, settings in self.targets.items():
            lines.append(f"[target {name}]")
            lines += [f"{key} = {value}" for key, value in settings.items()]
        path = self.root / "etc/certmgr/certmgr.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n" + self.extra)
        return self

    # -- life --

    def cli(self, *args, check=True, stdin=None):
        done = subprocess.run([str(self.certmgr), "--root", str(self.root), *map(str, args)],
                              capture_output=True, text=True, check=False, input=stdin, timeout=120)
        if check and done.returncode != 0:
            raise LabError(f"certmgr {' '.join(map(str, args))}: status {done.returncode}\n"
                           f"{done.stdout}{done.stderr}\n{self.tail()}")
        return done

    def json(self, *args):
        return json.loads(self.cli(*args, "--json").stdout)

    def init(self):
        self.configure()
        self.setup_link = self.json("init")["setup_link"]
        return self

    def join(self, manager):
        self.configure()
        token = manager.json("server", "add", self.name)["token"]
        self.cli("join", "-", stdin=token + "\n")
        self.manager_address = manager.address
        return self

    def start(self, wait=True):
        self.process.start()
        if wait:
            self.ready()
        return self

    def ready(self):
        def up():
            if not self.process.running():
                raise LabError(f"{self.name} ended\n{self.tail()}")
            return self.cli("status", "--json", check=False).returncode == 0
        wait_for(f"server {self.name}", up, 60)

    def stop(self):
        self.process.stop()

    def kill(self):
        """SIGKILL for supervisor, front and agent at once."""
        pids = [self.process.child.pid] + [c[0] for c in self.children()]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.child.wait()
        wait_for("the children to be gone", lambda: not any(map(runs, pids[1:])))

    def children(self):
        """[(pid, "front-process" | "agent-process")] of the running supervisor."""
        out = []
        parent = self.process.child.pid
        listing = Path(f"/proc/{parent}/task/{parent}/children")
        try:
            pids = listing.read_text().split()
        except OSError:
            return out  # it has ended
        for pid in map(int, pids):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if len(words) > 1 and words[1].decode() in ("front-process", "agent-process"):
                out.append((pid, words[1].decode()))
        return out

    def pid_of(self, process):
        return next((pid for pid, name in self.children() if name == process), None)

    def tail(self, lines=40):
        try:
            return "\n".join(self.process.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    # -- what is there --

    def closed_listeners(self):
        """What the server could not bind, as it says itself."""
        return [f"{self.name}: listener {row['name']}: {row['error']}"
                for row in self.json("status")["listeners"] if row["state"] == "failed"]

    def show(self, credential):
        return self.json("show", credential)

    def view(self, credential):
        """As show(), asked over the socket: a look that costs no process."""
        try:
            status, _, view = self.api("GET", f"/credentials/{credential}")
        except (OSError, http.client.HTTPException):
            status = 0  # it begins anew
        return view if status == 200 else self.show(credential)

    def ask(self, command, credential, *args):
        """retry or change: returns when it is taken up; until then there is the former error."""
        before = self.view(credential)["credential"].get("request")
        self.cli(command, credential, *args)
        wait_for(f"the {command} to be taken up", lambda: any(
            now.get("request") != before or now["status"] != "error"
            for now in [self.view(credential)["credential"]]))

    def files(self, below=""):
        """(path, content) of every file of this server; what goes meanwhile is left out."""
        for path in (Path(d) / f for d, _, found in os.walk(self.root / below) for f in found):
            try:
                if path.is_file():
                    yield path, path.read_bytes()
            except FileNotFoundError:
                pass

    def wait_issued(self, credential, timeout=90):
        def issued():
            view = self.view(credential)
            status = view.get("credential", {}).get("status")
            if status == "error":
                raise LabError(f"{json.dumps(view['credential'].get('error'))}\n{self.tail()}")
            return view if status == "issued" else None
        return wait_for(f"{credential} to be issued", issued, timeout, 0.2)

    @staticmethod
    def cause_of(receipt):
        error = receipt.get("error", {})
        return ". ".join([error.get("what", ""), *error.get("causes", []), error.get("hint", "")])

    def wait_receipts(self, credential, servers, state="served", timeout=60, patient=True):
        """Until they all say so; patient with what has failed, for it is tried again."""
        seen = {}

        def all_there():
            view = self.view(credential)
            seen.update({r["server"]: r for r in view.get("receipts", [])})
            failed = [s for s in servers if seen.get(s, {}).get("state") == "failed"]
            if failed and not patient:
                raise LabError(f"{failed[0]} failed: {self.cause_of(seen[failed[0]])}")
            return view if all(seen.get(s, {}).get("state") == state for s in servers) else None
        try:
            return wait_for(f"receipts \"{state}\" of {', '.join(servers)}", all_there, timeout, 0.2)
        except LabError as error:
            if not patient and " failed: " in str(error):
                raise
            raise LabError(f"{error}; there are {json.dumps(seen, indent=1)}") from None

    def api(self, method, path, body=None, headers=None):
        """The REST API over this server's Unix socket: (status, headers, parsed body)."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(120)
        connection.sock.connect(str(self.root / "run/certmgr/certmgr.sock"))
        connection.request(method, f"/api/v1{path}", json.dumps(body) if body is not None else None,
                           dict({"Content-Type": "application/json"}, **(headers or {})))
        reply = connection.getresponse()
        data = reply.read()
        connection.close()
        return reply.status, reply.headers, json.loads(data) if data else None

    def document(self, doc_id):
        """A document as the replication route gives it to this server (its own TLS identity)."""
        return self.replication("GET", "/" + urllib.parse.quote(doc_id, safe=""))

    def replication(self, method, path, body=None):
        """One call of the manager's replication routes with this server's TLS identity."""
        tls = self.root / "var/lib/certmgr/tls"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the identity is self-signed; this only reads
        context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
        host = self.manager_address or self.address
        request = urllib.request.Request(
            f"https://{host}:{self.replication_port}/certstore{path}", method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, context=context, timeout=30) as reply:
            return json.loads(reply.read())

    def seal_key(self):
        return self.root / "var/lib/certmgr/agent/seal.key"

    def can_open(self, sealed):
        """Can this server's seal key open a sealed key, by the stock openssl tool?"""
        import base64
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / "sealed.der").write_bytes(base64.b64decode(sealed))
            done = subprocess.run(["openssl", "cms", "-decrypt", "-inform", "DER", "-in",
                                   f"{scratch}/sealed.der", "-inkey", str(self.seal_key()), "-recip",
                                   str(self.seal_key().with_suffix(".crt"))],
                                  capture_output=True, text=True, check=False)
            return done.returncode == 0 and "PRIVATE KEY" in done.stdout


class Browser:
    """A form user without scripts: cookies, hidden fields, redirects by hand."""

    def __init__(self, server):
        self.base = f"https://{server.address}:{server.ui_port}"
        context = ssl.create_default_context(
            cafile=str(server.root / "var/lib/certmgr/tls/cert.pem"))
        context.check_hostname = False  # the self-signed identity names the server, not its address
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(self.jar), NoRedirect())

    def get(self, path):
        return self._open(urllib.request.Request(self.base + path))

    def post(self, path, fields, headers=None):
        body = urllib.parse.urlencode(fields, doseq=True).encode()
        all_headers = {"Origin": self.base, "Sec-Fetch-Site": "same-origin",
                       "Content-Type": "application/x-www-form-urlencoded"}
        all_headers.update(headers or {})
        return self._open(urllib.request.Request(self.base + path, body, all_headers))

    def _open(self, request):
        try:
            reply = self.opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            reply = error
        return Page(reply.status, reply.headers, reply.read().decode())

    def hidden(self, path):
        """Hidden fields of the page's main form (CSRF token, set-up token)."""
        return self.get(path).hidden()

    def set_up(self, link, name="admin"):
        path = link[link.index("/setup"):]
        fields = dict(self.hidden(path), name=name, password=PASSWORD, password2=PASSWORD)
        page = self.post("/setup", fields)
        if page.status != 303:
            raise LabError(f"set-up: status {page.status}\n{page.text}")
        return self.login(name)

    def login(self, name="admin", password=PASSWORD):
        page = self.post("/login", dict(self.hidden("/login"), name=name, password=password))
        if page.status != 303:
            raise LabError(f"login: status {page.status}\n{page.text}")
        return self

    def request(self, **fields):
        """Submit Request; returns the credential's id."""
        page = self.post("/credentials", dict(self.hidden("/credentials/new"), **fields))
        if page.status != 303:
            raise LabError(f"submit: status {page.status}\n{page.text}")
        return page.headers["Location"].rsplit("/", 1)[1]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


class Page:
    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text

    def hidden(self):
        found = {}
        for tag in re.findall(r"<input[^>]*type=\"hidden\"[^>]*>", self.text):
            name = re.search(r'name="([^"]*)"', tag)
            value = re.search(r'value="([^"]*)"', tag)
            if name and value:
                found[name.group(1)] = value.group(1)
        return found


class Fleet:
    """Manager alpha and servers bravo, charlie with nginx, a Pebble CA; torn down together.

    net: the servers are at 127.0.0.net and behind; or "127.0.x", a loopback net of their own.
    """

    names = ("alpha", "bravo", "charlie")

    def __init__(self, directory=None, net=11, base=14000, http_port=5002, certmgr=None,
                 pebble_env=None, directory_url=None):
        self.directory = Path(directory or tempfile.mkdtemp(prefix="certmgr-lab-"))
        self.keep = directory is not None
        self.pebble = Pebble(self.directory / "ca", http_port, base, pebble_env)
        self.server = {}
        self.nginx = {}
        for i, name in enumerate(self.names):
            address = f"{net}.{i + 1}" if isinstance(net, str) else f"127.0.0.{net + i}"
            s = Server(self.directory, name, address, self.pebble,
                       challenge_port=http_port, certmgr=certmgr, directory_url=directory_url)
            self.server[name] = s
            if name == "alpha":
                s.target()
            else:
                self.nginx[name] = Nginx(s)
        self.manager = self.server["alpha"]
        self.dns_server = None  # "address:port" that Pebble and the servers ask; set before start()

    def start(self):
        self.pebble.start(self.manager.address, self.dns_server)
        self.pebble.resolver = self.dns_server or self.pebble.resolver
        self.manager.init().start()
        for name in self.names[1:]:
            self.server[name].join(self.manager).start()
        self.add_account()
        return self

    def add_account(self, name="pebble", *extra):
        self.manager.cli("account", "add", name, "--directory", self.manager.directory_url,
                         "--agree-tos", "--contact", "admin@example.com", "--ca-bundle",
                         self.pebble.ca, "--http-port", self.pebble.http_port, *extra)
        self.manager.cli("root", "add", self.pebble.root())
        self.manager.cli("settings", "--account", name)

    def stop(self):
        for server in self.server.values():
            server.stop()
        for nginx in self.nginx.values():
            nginx.stop()
        self.pebble.stop()
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit("lab.py is a library; see script/demo and tests/integration/test_*.py")
