"""Beside nginx and HAProxy that have port 80: the shipped snippets, word for word, on real parts."""

import http.client
import json
import re
import socket
import ssl
import threading
import unittest

import lab

NGINX, HAPROXY = "127.0.0.152", "127.0.0.161"
HTTP_PORT = 5151  # the "port 80" of this laboratory
CHALLENGE = ("127.0.0.1", 8480)  # as the snippets have it
SNIPPET = lab.SOURCE / "packaging/nginx/certmgr-challenge.conf"
BACKEND = lab.SOURCE / "packaging/haproxy/certmgr-challenge.cfg"
PREFIX = "/.well-known/acme-challenge/"
OURS = b"no such challenge\n"
ESCAPES = ["", "tok.en", "tok/x", "../x", "../../x", "%2e%2e/x", "..%2fx", "../acme-challenge/a%20b",
           "%00", "tok%2f..%2f..%2fx", "a" * 256]

FLEET = None
WEB = []


class Fleet(lab.Fleet):
    names = ("alpha",)


def setUpModule():
    global FLEET
    FLEET = Fleet(net=151, base=18000, http_port=HTTP_PORT)
    manager = FLEET.manager
    manager.challenge_port = CHALLENGE[1]
    manager.extra = f"[server]\nchallenge_address = {CHALLENGE[0]}\n"
    WEB.extend([start_nginx(), start_haproxy()])
    FLEET.start()
    for address, port in ((NGINX, HTTP_PORT), (HAPROXY, HTTP_PORT), CHALLENGE):
        lab.wait_for(f"{address}:{port}", lambda a=address, p=port: lab.port_open(a, p))


def tearDownModule():
    for process in WEB:
        process.stop()
    FLEET.stop()


def start_nginx():
    d = FLEET.directory / "nginx"
    d.mkdir()

    def block(name, body):
        return f"server {{ listen {NGINX}:{HTTP_PORT}; server_name {name}; {body} }}"
    places = "".join(f"{kind}_temp_path {d}/{kind};\n"
                     for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (d / "nginx.conf").write_text("\n".join([
        f"daemon off;\nworker_processes 1;\npid {d}/nginx.pid;\nerror_log {d}/error.log warn;",
        "events { worker_connections 64; }\nhttp {\naccess_log off;\n", places,
        # what administrators have: a rule against dot files, a redirect, a password
        block("nginx.beside.example", f"include {SNIPPET};\n"
              "location ~ /\\. { deny all; }\n"
              'location / { return 200 "nginx itself\\n"; }'),
        block("redirect.beside.example", f"include {SNIPPET};\n"
              "location / { return 301 https://$host$request_uri; }"),
        block("moved.beside.example",
              f"location / {{ return 301 http://nginx.beside.example:{HTTP_PORT}$request_uri; }}"),
        block("password.beside.example", f"auth_basic closed; auth_basic_user_file {d}/none;\n"
              f"deny all; include {SNIPPET};"),
        block("slash.beside.example", "rewrite ^/(.*)$ https://slash.beside.example$1 permanent;"),
        block("v6.beside.example", f"include {SNIPPET};"), "}"]))
    return lab.Process("nginx", ["nginx", "-c", d / "nginx.conf", "-e", d / "error.log"], d).start()


def commented(mark):
    """The configuration lines behind #MARK: in the shipped HAProxy file."""
    return re.findall(f"(?m)^#{mark}: (.*)$", BACKEND.read_text())


def start_haproxy():
    d = FLEET.directory / "haproxy"
    d.mkdir()
    tls = "\n".join(commented("tls-alpn"))
    for old, new in ((":443", f"{HAPROXY}:18443"), ("127.0.0.1:8481", f"{HAPROXY}:18481"),
                     ("127.0.0.1:8443", f"{HAPROXY}:18444")):
        assert tls.count(old) == 1, old
        tls = tls.replace(old, new)
    (d / "haproxy.cfg").write_text("\n".join([
        "defaults", "    mode http", "    timeout connect 5s", "    timeout client 10s",
        "    timeout server 10s", "frontend web", f"    bind {HAPROXY}:{HTTP_PORT}"]
        + ["    " + line for line in commented("frontend-http")]
        + ["    http-request redirect scheme https code 301 if !certmgr_path", tls, ""]))
    files = ["-f", d / "haproxy.cfg", "-f", BACKEND]
    lab.run(["haproxy", "-c", *files])
    return lab.Process("haproxy", ["haproxy", "-db", *files], d).start()


def get(address, path, host, method="GET"):
    """A request whose path nobody tidies up: (status, headers, body)."""
    connection = http.client.HTTPConnection(address, HTTP_PORT, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, reply.headers, body


def request(*names):
    for name in names:
        FLEET.pebble.address(name, HAPROXY if name.startswith("haproxy") else NGINX)
    words = [word for name in names for word in ("-d", name)]
    return FLEET.manager.json("request", *words, "-s", "alpha", "--keyring-file",
                              f"{names[0]}.kyr")["credential"]


class Nginx(unittest.TestCase):
    def test_issue(self):
        """Beside a rule against dot files, a redirect to https, a password, and from elsewhere."""
        FLEET.manager.wait_issued(request("nginx.beside.example", "redirect.beside.example",
                                          "password.beside.example", "moved.beside.example"))

    def test_other_paths_stay(self):
        for path in ("/", "/index.html", "/.well-known", "/.well-known/security.txt"):
            status, _, body = get(NGINX, path, "nginx.beside.example")
            self.assertEqual(status, 403 if "/." in path else 200, path)
            self.assertNotEqual(body, OURS)
        status, headers, _ = get(NGINX, "/x", "redirect.beside.example")
        self.assertEqual((status, headers["Location"]),
                         (301, "https://redirect.beside.example/x"))
        self.assertEqual(get(NGINX, "/x", "password.beside.example")[0], 403)

    def test_tokens_alone_are_passed_on(self):
        for token in ("tok", "-tok_EN-", "a" * 255):
            self.assertEqual(get(NGINX, PREFIX + token, "nginx.beside.example")[::2], (404, OURS))
        for token in ESCAPES:
            status, headers, body = get(NGINX, PREFIX + token, "nginx.beside.example")
            self.assertNotEqual(body, OURS, token)
            self.assertIn("nginx", headers.get("Server", ""), token)
            self.assertIn(status, (200, 400, 403, 404), token)
        self.assertEqual(get(NGINX, PREFIX + "tok", "nginx.beside.example", "POST")[0], 403)
        self.assertEqual(get(NGINX, PREFIX + "tok", "nginx.beside.example", "HEAD")[0], 404)


class HAProxy(unittest.TestCase):
    def test_issue(self):
        FLEET.manager.wait_issued(request("haproxy.beside.example", "haproxy2.beside.example"))

    def test_other_paths_stay(self):
        for path in ("/", "/.well-known/acme-challengex", "/x" + PREFIX + "tok"):
            status, headers, _ = get(HAPROXY, path, "haproxy.beside.example")
            self.assertEqual((status, headers["Location"]),
                             (301, "https://haproxy.beside.example" + path))

    def test_tokens_alone_are_passed_on(self):
        for token in ("tok", "-tok_EN-", "a" * 255):
            self.assertEqual(get(HAPROXY, PREFIX + token, "haproxy.beside.example")[::2],
                             (404, OURS))
        for token in ESCAPES:
            status, _, body = get(HAPROXY, PREFIX + token, "haproxy.beside.example")
            self.assertNotEqual(body, OURS, token)
            self.assertIn(status, (400, 404), token)
        self.assertEqual(get(HAPROXY, PREFIX + "tok", "haproxy.beside.example", "POST")[0], 405)

    def test_acme_tls_is_passed_on_unopened(self):
        """ALPN acme-tls/1 ends at the program that answers it, everything else at the own TLS."""
        d = FLEET.directory / "alpn"
        d.mkdir()
        lab.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-keyout", d / "key", "-out", d / "cert",
                 "-days", "30", "-subj", "/CN=alpn"])
        for port, protocol in ((18481, "acme-tls/1"), (18444, "http/1.1")):
            self.serve(port, protocol, d)
        for offered in ("acme-tls/1", "http/1.1"):
            self.assertEqual(self.selected(offered), offered)

    def serve(self, port, protocol, d):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(d / "cert", d / "key")
        context.set_alpn_protocols([protocol])
        listener = socket.create_server((HAPROXY, port))
        self.addCleanup(listener.close)

        def answer():
            try:
                connection, _ = listener.accept()
                with context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(1)
            except OSError:
                pass
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()

    def selected(self, offered):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols([offered])
        with socket.create_connection((HAPROXY, 18443), timeout=10) as raw:
            with context.wrap_socket(raw, server_hostname="haproxy.beside.example") as tls:
                return tls.selected_alpn_protocol()


class Mistakes(unittest.TestCase):
    """What is wrong in the web server is named in the credential's error."""

    def failure(self, credential):
        def failed():
            view = FLEET.manager.show(credential)["credential"]
            return view if view["status"] == "error" else None
        view = lab.wait_for(f"{credential} to fail", failed, 120, 0.5)
        self.assertTrue(view["next_action_at"])
        return view["error"], json.dumps(view["error"])

    def test_named(self):
        FLEET.pebble.address("v6.beside.example", NGINX)
        lab.run(["curl", "-sf", "-d", json.dumps(
            {"host": "v6.beside.example.", "addresses": ["::1"]}),
            f"http://127.0.0.1:{FLEET.pebble.dns_admin}/add-aaaa"])
        slash, v6 = request("slash.beside.example"), request("v6.beside.example")
        error, text = self.failure(slash)
        self.assertIn("hop 2", text)
        self.assertIn("a slash is missing behind", text)
        self.assertIn("https://slash.beside.example/", error["hint"])
        self.assertTrue(any(cause.startswith("hop 1, http://slash.beside.example:")
                            for cause in error["causes"]), text)
        error, text = self.failure(v6)
        self.assertIn("nothing listens there", text)
        self.assertIn(f"{NGINX} answers as it should", text)
        self.assertIn("AAAA record of v6.beside.example", error["hint"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
