"""A proxy in front of Pebble that sees every request, can act at a chosen one, or loses some."""

import base64
import http.client
import http.server
import json
import ssl
import threading
import time
import urllib.parse

KINDS = {"/dir": "directory", "/nonce-plz": "newNonce", "/sign-me-up": "newAccount",
         "/order-plz": "newOrder", "/my-order": "order", "/finalize-order": "finalize",
         "/authZ": "authorization", "/chalZ": "challenge", "/certZ": "certificate",
         "/my-account": "account", "/list-orderz": "orders"}


def kind_of(path):
    return next((kind for prefix, kind in KINDS.items() if path.startswith(prefix)), "other")


def payload_of(body):
    """What a JWS says, or {}."""
    text = json.loads(body or b"{}").get("payload", "")
    return json.loads(base64.urlsafe_b64decode(text + "==") or b"{}") if text else {}


class Owners:
    """Which order a request belongs to: the CA's replies name the URLs of each order's parts."""

    def __init__(self):
        self.of = {}  # path -> names of the order, a frozenset

    @staticmethod
    def path(url):
        return urllib.parse.urlsplit(url).path

    def find(self, kind, path, body):
        if kind == "newOrder":
            return frozenset(n["value"] for n in payload_of(body).get("identifiers", []))
        return self.of.get(path)

    def learn(self, kind, names, reply, data):
        """From a good reply to a request of the order with these names."""
        if names is None or kind == "certificate" or not data.startswith(b"{"):
            return
        said = json.loads(data)
        parts = [*said.get("authorizations", []), said.get("finalize"), said.get("certificate"),
                 reply.getheader("Location") if kind == "newOrder" else None,
                 *(c.get("url") for c in said.get("challenges", []))]
        for url in filter(None, parts):
            self.of[self.path(url)] = names


class FaultProxy:
    """Pebble builds its URLs from the Host header, so clients stay on the proxy."""

    def __init__(self, pebble, port):
        self.pebble, self.port = pebble, port
        self.url = f"https://127.0.0.1:{port}/dir"
        self.counts = {}           # kind -> requests forwarded
        self.accepted = {}         # kind -> those the CA took (a refused nonce is none)
        self.answered = {}         # names of an order -> the challenges that the CA was told to check
        self.rules = []            # [kind, after_kind, action]: run once, before the request is sent on
        self.seen = []             # kinds in order
        self.life = 0              # raised when Pebble was started anew
        self.hold = 0              # seconds that every reply is held back
        self.gate = threading.Event()  # closed: every request waits
        self.gate.set()
        self.late_rules = []       # [kind, action]: run once, when the CA has done what was asked
        # weather(kind, method) -> None, "busy" (503 + Retry-After: 1, not sent on), "unreached"
        # (dropped, not sent on) or "lost" (sent on, the reply dropped)
        self.weather = None
        self.weathered = {}        # what it did how often
        # before(kind, names) is asked about each request, names being those of its order or None,
        # after(kind, names) about each good reply; they may take their time; True drops it
        self.guard = None
        self.owners = Owners()
        self.lock = threading.Lock()
        self.server = None

    def before(self, kind, action, after=None):
        """Runs action() once, at the first request of this kind (after one of kind `after`); the
        request itself is then dropped without an answer."""
        with self.lock:
            self.rules.append([kind, after, action])

    def after(self, kind, action):
        """Runs action() once, when the CA took a request of this kind; its reply is dropped."""
        with self.lock:
            self.late_rules.append([kind, action])

    def _take_late_rule(self, kind):
        with self.lock:
            for rule in self.late_rules:
                if rule[0] == kind:
                    self.late_rules.remove(rule)
                    return rule[1]
        return None

    def _take_rule(self, kind):
        for rule in self.rules:
            if rule[0] == kind and (rule[1] is None or rule[1] in self.seen):
                self.rules.remove(rule)
                return rule[2]
        return None

    def _weather(self, kind, method):
        done = self.weather(kind, method) if self.weather else None
        if done:
            with self.lock:
                self.weathered[done] = self.weathered.get(done, 0) + 1
        return done

    def start(self):
        proxy = self
        self.context = ssl.create_default_context(cafile=str(self.pebble.ca))

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # head and body leave together
            upstream = None
            life = 0

            def handle_any(self):
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length) if length else None
                kind = kind_of(self.path)
                proxy.gate.wait()
                with proxy.lock:
                    action = proxy._take_rule(kind)
                    if action is None:
                        proxy.counts[kind] = proxy.counts.get(kind, 0) + 1
                        proxy.seen.append(kind)
                if action is not None:
                    action()
                    self.close_connection = True
                    return
                guard, names = proxy.guard, proxy.owners.find(kind, self.path, body)
                if guard and guard.before(kind, names):
                    self.close_connection = True
                    return
                self.forward(body, proxy._weather(kind, self.command), guard, names)

            def finish(self):
                super().finish()
                if self.upstream:
                    self.upstream.close()

            def reach(self):
                """The connection to Pebble that belongs to this one of the client."""
                if self.upstream is None or self.life != proxy.life:
                    self.life = proxy.life
                    if self.upstream:
                        self.upstream.close()
                    self.upstream = http.client.HTTPSConnection(
                        "127.0.0.1", proxy.pebble.port, context=proxy.context, timeout=60)
                return self.upstream

            def busy(self):
                self.send_response(503)
                self.send_header("Retry-After", "1")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def forward(self, body, weather, guard, names):
                if weather == "busy":
                    return self.busy()
                if weather == "unreached":
                    self.close_connection = True
                    return None
                upstream = self.reach()
                headers = {k: v for k, v in self.headers.items()
                           if k.lower() not in ("connection", "accept-encoding")}
                headers["Host"] = f"127.0.0.1:{proxy.port}"
                upstream.request(self.command, self.path, body, headers)
                reply = upstream.getresponse()
                data = reply.read()
                if reply.status < 400:
                    kind = kind_of(self.path)
                    with proxy.lock:
                        proxy.accepted[kind] = proxy.accepted.get(kind, 0) + 1
                    proxy.owners.learn(kind, names, reply, data)
                    if kind == "challenge":
                        proxy.answered.setdefault(names, set()).add(self.path)
                    action = proxy._take_late_rule(kind)
                    if action is not None:
                        action()
                    if action is not None or (guard and guard.after(kind, names)):
                        self.close_connection = True
                        return None
                time.sleep(proxy.hold)
                if weather == "lost":
                    self.close_connection = True
                    return None
                self.send_response(reply.status)
                for name, value in reply.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)
                return None

            do_GET = do_HEAD = do_POST = handle_any

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128  # all of a batch may come at once

            def handle_error(self, request, client_address):
                pass  # a killed client: that is what this proxy is for

        self.server = Server(("127.0.0.1", self.port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pebble.directory / "tls.pem", self.pebble.directory / "tls.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
