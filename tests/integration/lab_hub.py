"""A hub of another make as a process (tests/interop/hub.mjs), the CA of its certificates, and a gate
in front of it that lets nobody through without a client certificate."""

import base64
import json
import select
import socket
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import lab

USER, PASSWORD = "fleet", "hub secret of the fleet"
MEMBER = "guest:guest"


class Authority:
    """A CA of files: NAME.pem and NAME.key in a directory."""

    def __init__(self, directory, subject, name):
        self.directory = Path(directory)
        self.pem, self.key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        lab.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out", self.pem,
                 "-days", "30", "-subj", f"/CN={subject}"])

    def issue(self, name, subject, extensions="", days=30):
        """A key and a certificate: (NAME.pem, NAME.key). Days below zero: it is expired."""
        cert, key, csr, ext = (self.directory / f"{name}.{end}"
                               for end in ("pem", "key", "csr", "ext"))
        lab.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", key, "-out", csr, "-subj", f"/CN={subject}"])
        ext.write_text(extensions)
        lab.run(["openssl", "x509", "-req", "-in", csr, "-CA", self.pem, "-CAkey", self.key,
                 "-CAcreateserial", "-out", cert, "-days", str(days), "-extfile", ext])
        return cert, key


class Hub:
    """The hub as a process, and its open API as a member uses it."""

    def __init__(self, directory, address, port, users=f"{USER}:{PASSWORD},{MEMBER}"):
        self.directory, self.users = Path(directory), users
        self.address, self.port = address, port
        self.ca = self.directory / "ca.pem"
        self.url = f"https://{address}:{port}"
        self.process = None

    def _certificate(self):
        self.directory.mkdir()
        authority = Authority(self.directory, "Hub CA", "ca")
        authority.issue("tls", "hub", f"subjectAltName=IP:{self.address}\n")

    def start(self):
        d = self.directory
        if not d.exists():
            self._certificate()
        self.process = lab.Process(
            "hub", ["node", lab.SOURCE / "tests/interop/hub.mjs", self.address, self.port, d,
                    d / "tls.pem", d / "tls.key"], d,
            {"HUB_USERS": self.users}).start()
        lab.wait_for("the hub", lambda: lab.port_open(self.address, self.port))
        return self

    def kill(self):
        self.process.child.kill()
        self.process.child.wait()

    def call(self, method, path, body=None, timeout=30):
        request = urllib.request.Request(
            self.url + path, method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json", "Authorization":
                     "Basic " + base64.b64encode(MEMBER.encode()).decode()})
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(request, context=context, timeout=timeout) as reply:
            return json.loads(reply.read())

    def winner(self, doc_id):
        """What a reader without signatures takes for the document; None when it is deleted."""
        try:
            return self.call("GET", "/certstore/" + urllib.parse.quote(doc_id, safe=""))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def leaves(self, doc_id):
        rows = self.call("GET", "/certstore/" + urllib.parse.quote(doc_id, safe="") +
                         "?open_revs=all&revs=true")
        return [row["ok"] for row in rows if "ok" in row]

    def spoil(self, *docs):
        return self.call("POST", "/certstore/_bulk_docs", {"new_edits": False, "docs": list(docs)})


class Gate:
    """TLS with client certificates in front of a hub, as a CouchDB with fail_if_no_peer_cert or a
    proxy does it; the bytes go on to a hub that asks nothing more (users "*"). `names` are the common
    names of who came in, `refused` why others did not."""

    def __init__(self, hub, port, authority):
        self.hub, self.port = hub, port
        self.url = f"https://{hub.address}:{port}"
        self.names, self.refused = [], []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(hub.directory / "tls.pem", hub.directory / "tls.key")
        self.context.load_verify_locations(authority.pem)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.num_tickets = 0  # every connection shows its certificate
        self.listener = None
        self.open = set()

    def start(self):
        self.listener = socket.create_server((self.hub.address, self.port))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def cut(self):
        """Ends what is connected: whoever comes again shows the certificate it has now."""
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # closed alone, it would let one more in
        self.listener.close()
        self.cut()

    def _accept(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw):
        raw.settimeout(60)
        inner = raw
        try:
            inner = self.context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
            try:
                inner.do_handshake()
            except ssl.SSLError as error:
                self.refused.append(error.reason or str(error))
                self._let_the_alert_arrive(inner)
                return
            subject = dict(pair for rdn in inner.getpeercert()["subject"] for pair in rdn)
            self.names.append(subject["commonName"])
            context = ssl.create_default_context(cafile=str(self.hub.ca))
            with context.wrap_socket(socket.create_connection((self.hub.address, self.hub.port)),
                                     server_hostname=self.hub.address) as outer:
                self.open.add(inner)
                self._splice(inner, outer)
        except OSError:
            pass  # either end has gone
        finally:
            self.open.discard(inner)
            inner.close()

    @staticmethod
    def _let_the_alert_arrive(inner):
        """A socket closed over unread bytes is reset, and the alert lost on its way."""
        raw = socket.socket(fileno=inner.detach())
        with raw:
            raw.settimeout(10)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(4096):
                pass

    @staticmethod
    def _splice(one, two):
        other = {one: two, two: one}
        while True:
            ready = [s for s in other if s.pending()] or select.select(list(other), [], [])[0]
            for source in ready:
                source.settimeout(0)
                try:
                    data = source.recv(65536)
                except ssl.SSLWantReadError:
                    continue  # a record of TLS itself, or not yet a whole one
                finally:
                    source.settimeout(60)
                if not data:
                    return
                other[source].sendall(data)
