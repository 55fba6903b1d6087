"""A small, fair ACME CA (RFC 8555) that misbehaves on demand.

Fair: it verifies signatures, nonces, key authorizations over HTTP-01 and CSRs, and issues real
chains (leaf, intermediate) under a root of its own; certbot, lego and uacme accept it. Each test
takes a case of its own: a directory URL of its own with accounts, orders, request counts and
faults (faults.py), so that tests do not see each other.

    ca = FakeCA(directory, port=12400, http=("127.0.0.101", 5030)).start()
    case = ca.case("limits")
    case.fault("newOrder", faults.rate_limited(2))
    ... a client uses case.url, trusting ca.issuer.ca ...
    case.counts["newOrder"], len(case.orders), case.issued

Alone: fakeca.py PORT HTTP_ADDRESS HTTP_PORT prints the directory URL and serves. Standard library
and the openssl tool only.
"""

import http.server
import json
import re
import ssl
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
from pathlib import Path

import jose
from faults import TYPE, Reply, problem
from issuer import Issuer
from orders import Account, Order, rfc3339

KINDS = {"dir": "directory", "nonce": "newNonce", "new-acct": "newAccount", "acct": "account",
         "orders": "orders", "new-order": "newOrder", "order": "order", "authz": "authorization",
         "chall": "challenge", "finalize": "finalize", "cert": "certificate",
         "revoke": "revokeCert", "key-change": "keyChange", "ari": "renewalInfo"}
PATHS = {kind: path for path, kind in KINDS.items()}
ALGORITHMS = ("ES256", "ES384", "RS256")


class Refused(Exception):
    def __init__(self, *args, **members):
        super().__init__(args[1])
        self.reply = problem(*args, **members)


class Request:
    def __init__(self, case, method, kind, ident, headers, body, url):
        self.case, self.method, self.kind, self.id = case, method, kind, ident
        self.headers, self.body, self.url = headers, body, url
        self.jws = self.account = self.jwk = None
        self.cut = False  # a fault: nothing is done, nothing answered

    @property
    def payload(self):
        return self.jws.payload


class Case:
    """One directory. The knobs may be turned at any time."""

    def __init__(self, ca, name):
        self.ca, self.name = ca, name
        self.base = f"https://127.0.0.1:{ca.port}/{name}"
        self.url = f"{self.base}/dir"
        # knobs
        self.meta = {"termsOfService": f"{self.base}/terms/1", "website": "https://ca.example"}
        self.directory = {}         # members to add; None removes one
        self.orders_list = True
        self.page = 5               # orders in one page of the list
        self.order_life = 3600
        self.processing_life = None  # of an order from its finalize on
        self.authz_reuse = False
        self.pause = None           # Retry-After of a challenge under way, s
        self.processing = 0         # reads of an order that is processing (None = for ever)
        self.token = None           # instead of a good one
        self.leaf = "good"          # or "other key", "other names"
        self.chain = None           # function([PEM…]) -> text
        self.alternates = []        # more chains: functions as `chain`, behind Link rel=alternate
        self.bindings = None        # {key id: HMAC key}: nobody is registered without (7.3.4)
        self.binding_uses = 1       # registrations that one binding is good for
        self.key_type = None        # "EC" or "RSA": a directory for this kind of key alone
        self.rejected = {}          # {name: detail}: refused in newOrder, with subproblems
        self.verdict = None         # (type, detail) of every validation, whatever was served
        self.ari = None             # function(order) -> (start, end, explanation URL or None), times
        #                             since the epoch: renewal information (RFC 9773) is offered
        self.ari_again = None       # its Retry-After, as text
        self.replaces = None        # one of faults.REPLACES: every `replaces` is refused so
        self.ocsp = None            # URL of the responder that leaves name
        # what happened
        self.counts, self.log = {}, []
        self.accounts, self.orders, self.authorizations = {}, [], []
        self.issued = 0
        self.vain = 0               # looks at what was still being validated: of time, not of need
        self.violations = []        # what a client must never do
        self.manners = []           # what it should have said or left out (6.1)
        self.said = []              # (kind, payload) of every signed request
        self.bound = {}             # {key id: registrations}
        self.lock = threading.RLock()
        self.rules = []

    def fault(self, kind, fault):
        """The fault concerns requests of this kind ("*" = all but directory)."""
        with self.lock:
            self.rules.append((kind, fault))
        return fault

    def due(self, kind):
        with self.lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.log.append(kind)
            return [fault for wanted, fault in self.rules
                    if (wanted == kind or wanted == "*" and kind != "directory") and fault.due()]

    def total(self):
        return sum(self.counts.values())

    def link(self, kind, ident=""):
        return f"{self.base}/{PATHS[kind]}" + (f"/{ident}" if ident != "" else "")

    # -- resources -------------------------------------------------------------------------------

    def do_directory(self, _request):
        body = {k: self.link(k) for k in ("newNonce", "newAccount", "newOrder", "revokeCert",
                                          "keyChange")}
        if self.ari:
            body["renewalInfo"] = self.link("renewalInfo")
        body["meta"] = self.meta
        body.update(self.directory)
        return Reply(200, {k: v for k, v in body.items() if v is not None or k == "meta"})

    def do_newNonce(self, request):
        return Reply(200 if request.method == "HEAD" else 204, b"", {"Cache-Control": "no-store"})

    def check_binding(self, request, binding):
        """RFC 8555 7.3.4; the words are those of JPRS's table."""
        if self.bindings is None:
            return
        if not binding:
            raise Refused("externalAccountRequired", "an external account binding is needed")
        inner = jose.Jws(json.dumps(binding))
        kid = inner.head.get("kid")
        if kid not in self.bindings or self.bound.get(kid, 0) >= self.binding_uses:
            raise Refused("malformed", "unable to create account")
        if inner.head.get("url") != request.url or "nonce" in inner.head or \
                inner.payload != request.jwk:
            raise Refused("malformed", "the binding is not one for this registration")
        inner.verify_mac(self.bindings[kid])
        self.bound[kid] = self.bound.get(kid, 0) + 1

    def do_newAccount(self, request):
        payload, print_ = request.payload or {}, jose.thumbprint(request.jwk)
        account = self.accounts.get(print_)
        if account is None:
            if payload.get("onlyReturnExisting"):
                raise Refused("accountDoesNotExist", "no account of this key")
            if (self.meta or {}).get("termsOfService") and not payload.get("termsOfServiceAgreed"):
                raise Refused("userActionRequired", "agree to the terms of service", 403)
            self.check_binding(request, payload.get("externalAccountBinding"))
            account = Account(len(self.accounts) + 1, request.jwk, payload.get("contact", []))
            self.accounts[print_] = account
            return Reply(201, account.show(self), {"Location": self.link("account", account.id)})
        return Reply(200, account.show(self), {"Location": self.link("account", account.id)})

    def do_account(self, request):
        if str(request.account.id) != request.id:
            raise Refused("unauthorized", "another account's URL", 403)
        payload = request.payload or {}
        if payload.get("status") == "deactivated":
            request.account.status = "deactivated"
        request.account.contact = payload.get("contact", request.account.contact)
        return Reply(200, request.account.show(self))

    def do_orders(self, request):
        start = int(urllib.parse.parse_qs(request.url.partition("?")[2]).get("from", ["0"])[0])
        mine = [o for o in self.orders if o.account is request.account]
        headers = {}
        if start + self.page < len(mine):
            more = f"{self.link('orders', request.account.id)}?from={start + self.page}"
            headers["Link"] = f'<{more}>;rel="next"'
        return Reply(200, {"orders": [self.link("order", o.id)
                                      for o in mine[start:start + self.page]]}, headers)

    def check_names(self, names):
        subs = [{"type": TYPE + "rejectedIdentifier", "detail": self.rejected[n],
                 "identifier": {"type": "dns", "value": n}} for n in names if n in self.rejected]
        if subs:
            raise Refused("compound" if len(subs) > 1 else "rejectedIdentifier",
                          "not all of these names can be issued for", subproblems=subs)

    def do_newOrder(self, request):
        names = [i.get("value", "") for i in (request.payload or {}).get("identifiers", [])
                 if i.get("type") == "dns"]
        if not names or len(names) != len(set(names)) or \
                not all(re.fullmatch(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+", n) for n in names):
            raise Refused("rejectedIdentifier", f"cannot issue for {names}")
        self.check_names(names)
        former = self.replaced(request, names)
        profile = request.payload.get("profile")
        if profile is not None and profile not in ((self.meta or {}).get("profiles") or {}):
            raise Refused("invalidProfile", f"there is no profile {profile}")
        order = Order(self, request.account, names)
        order.profile, order.replaces = profile, former
        if former:
            former.replaced = True
        return Reply(201, order.show(), {"Location": self.link("order", order.id)})

    def named(self, certid):
        """The order whose certificate has this certID (RFC 9773 4.1)."""
        return next((o for o in self.orders if o.pems and Issuer.certid(o.pems[0]) == certid), None)

    def replaced(self, request, names):
        """The order that a new one replaces (RFC 9773 5), or None."""
        certid = request.payload.get("replaces")
        if certid is None or not self.ari:
            return None
        if self.replaces:
            raise Refused(*self.replaces)
        former = self.named(certid)
        if former is None or former.account is not request.account or \
                not set(former.names) & set(names):
            raise Refused("malformed", "that is no certificate to replace")
        if former.replaced:
            raise Refused("alreadyReplaced", "another order replaces it", 409)
        return former

    def do_renewalInfo(self, request):
        order = self.named(request.id) if self.ari else None
        if order is None:
            raise Refused("malformed", "no such certificate", 404)
        start, end, url = self.ari(order)
        body = {"suggestedWindow": {"start": rfc3339(start), "end": rfc3339(end)}}
        if url:
            body["explanationURL"] = url
        return Reply(200, body, {"Retry-After": self.ari_again} if self.ari_again else None)

    def owned(self, request, things):
        try:
            thing = things[int(request.id)]
        except (ValueError, IndexError):
            raise Refused("malformed", "no such thing", 404) from None
        if thing.account is not request.account:
            raise Refused("unauthorized", "another account's thing", 403)
        return thing

    def do_order(self, request):
        order = self.owned(request, self.orders)
        if order.status == "processing" and self.processing is not None:
            order.reads += 1
            if order.reads >= self.processing:
                order.issue()
        shown = order.show()
        self.vain += shown["status"] == "pending" and any(
            a.challenge_status == "processing" for a in order.authorizations)
        return Reply(200, shown)

    def do_authorization(self, request):
        authz = self.owned(request, self.authorizations)
        if (request.payload or {}).get("status") == "deactivated":
            authz.status = "deactivated"
        self.vain += authz.challenge_status == "processing"
        return Reply(200, authz.show(), authz.pause())

    def do_challenge(self, request):
        authz = self.owned(request, self.authorizations)
        up = self.link("authorization", authz.id)
        headers = {"Link": f'<{up}>;rel="up"'}
        if isinstance(request.payload, dict):  # POST-as-GET only looks
            if authz.status != "pending":
                raise Refused("malformed", "the authorization is not pending any more")
            if authz.challenge_status == "pending":
                authz.challenge_status = "processing"
                threading.Thread(target=authz.validate, daemon=True).start()
        return Reply(200, authz.challenge(), dict(headers, **authz.pause()))

    def do_finalize(self, request):
        order = self.owned(request, self.orders)
        order.settle()
        if order.status != "ready":
            raise Refused("orderNotReady", f"the order is {order.status}", 403)
        csr = jose.unb64((request.payload or {}).get("csr"))
        try:
            names = Issuer.csr_names(csr)
        except ValueError as error:
            raise Refused("badCSR", f"the CSR cannot be used: {error}"[:200]) from None
        if names != set(order.names):
            raise Refused("badCSR", f"the CSR is for {sorted(names)}")
        if jose.public_bytes(request.account.jwk) in csr:
            raise Refused("badCSR", "the CSR has the account's key")
        if self.key_type and Issuer.csr_key_type(csr) != self.key_type:
            raise Refused("badCSR", f"this directory issues for {self.key_type} keys only")
        order.csr, order.status = csr, "processing"
        if self.processing_life is not None:
            order.expires = time.time() + self.processing_life
        if self.processing == 0:
            order.issue()
        return Reply(200, order.show(), {"Location": self.link("order", order.id)})

    def do_certificate(self, request):
        ident, _, which = request.id.partition("-")
        request.id = ident
        order = self.owned(request, self.orders)
        if order.pems is None or which and int(which) >= len(self.alternates):
            raise Refused("malformed", "no such certificate", 404)
        make = self.alternates[int(which)] if which else self.chain
        text = make(list(order.pems)) if make else "".join(order.pems)
        reply = Reply(200, text.encode(), None, "application/pem-certificate-chain")
        if not which:
            reply.headers += [("Link", f'<{self.link("certificate", f"{ident}-{i}")}>;'
                                       'rel="alternate"') for i in range(len(self.alternates))]
        return reply

    def do_revokeCert(self, request):
        der = jose.unb64((request.payload or {}).get("certificate"))
        order = next((o for o in self.orders if o.pems and
                      ssl.PEM_cert_to_DER_cert(o.pems[0]) == der), None)
        if order is None:
            raise Refused("malformed", "not a certificate of this CA", 404)
        if order.account is not request.account and \
                jose.public_bytes(request.jwk or request.account.jwk) not in der:
            raise Refused("unauthorized", "not yours", 403)
        if request.payload.get("reason", 0) not in (0, 1, 4, 5):
            raise Refused("badRevocationReason", "reasons: 0, 1, 4, 5")
        if order.revoked:
            raise Refused("alreadyRevoked", "revoked before")
        order.revoked = True
        return Reply(200)

    def do_keyChange(self, request):
        inner = jose.Jws(json.dumps(request.payload))
        new = inner.head.get("jwk")
        inner.verify(new)
        if inner.head.get("url") != request.url or "nonce" in inner.head or inner.payload != {
                "account": self.link("account", request.account.id),
                "oldKey": request.account.jwk}:
            raise Refused("malformed", "the inner request is not right (RFC 8555 7.3.5)")
        if jose.thumbprint(new) in self.accounts:
            raise Refused("conflict", "the key has an account", 409)
        del self.accounts[jose.thumbprint(request.account.jwk)]
        request.account.jwk = new
        self.accounts[jose.thumbprint(new)] = request.account
        return Reply(200, request.account.show(self))

    # -- the door --------------------------------------------------------------------------------

    def check(self, request):
        """Everything RFC 8555 6 asks of a signed request."""
        if request.headers.get("Content-Type") != "application/jose+json":
            raise Refused("malformed", "Content-Type must be application/jose+json", 415)
        request.jws = jws = jose.Jws(request.body)
        if jws.head.get("alg") not in ALGORITHMS:
            raise Refused("badSignatureAlgorithm", f"not {jws.head.get('alg')}",
                          algorithms=list(ALGORITHMS))
        if jws.head.get("url") != request.url:
            raise Refused("unauthorized", "signed for another URL", 401)
        if not self.ca.spend(jws.head.get("nonce")):
            raise Refused("badNonce", "this nonce was not issued here, or is spent")
        own_key = request.kind == "newAccount" or \
            request.kind == "revokeCert" and "jwk" in jws.head
        if ("jwk" in jws.head) == ("kid" in jws.head) or ("jwk" in jws.head) != own_key:
            raise Refused("malformed", "needs jwk or kid, as RFC 8555 6.2 says")
        if own_key:
            request.jwk = jws.head["jwk"]
        else:
            request.account = next((a for a in self.accounts.values()
                                    if self.link("account", a.id) == jws.head["kid"]), None)
            if request.account is None:
                raise Refused("accountDoesNotExist", "no such account")
            if request.account.status != "valid":
                raise Refused("unauthorized", f"the account is {request.account.status}", 401)
        jws.verify(request.jwk or request.account.jwk)
        self.said.append((request.kind, jws.payload))
        reads = ("orders", "order", "certificate")
        if request.kind in reads and jws.payload_bytes:
            raise Refused("malformed", "POST-as-GET has an empty payload (RFC 8555 6.3)")

    def look_at_manners(self, request):
        """RFC 8555 6.1 and 6.5: who asks, in which language, and no nonce of ours in a header."""
        if not re.match(r"[\w.-]+/[\w.-]+", request.headers.get("User-Agent", "")) or \
                not request.headers.get("Accept-Language") or "Replay-Nonce" in request.headers:
            self.manners.append(f"{request.kind}: {dict(request.headers)}")
        if request.kind == "certificate" and \
                "application/pem-certificate-chain" not in request.headers.get("Accept", ""):
            self.manners.append(f"certificate: Accept {request.headers.get('Accept')}")

    def do(self, request):
        self.look_at_manners(request)
        try:
            if request.kind not in ("directory", "newNonce", "renewalInfo"):
                if request.method != "POST":
                    self.violations.append(f"{request.method} {request.url}")
                    raise Refused("malformed", "POST only", 405)
                self.check(request)
            elif request.method not in ("GET", "HEAD"):
                raise Refused("malformed", "GET or HEAD only", 405)
            return getattr(self, "do_" + request.kind)(request)
        except Refused as refused:
            return refused.reply
        except jose.JoseError as error:
            extra = {"algorithms": list(ALGORITHMS)} if error.kind == "badSignatureAlgorithm" else {}
            return problem(error.kind, str(error), **extra)


class FakeCA:
    def __init__(self, directory, port, http):
        self.port, self.http = port, http
        self.issuer = Issuer(directory)
        self.cases, self.nonces = {}, set()
        self.lock = threading.Lock()
        self.resolve = lambda name: self.http  # where the CA finds the host of a name
        self.server = None

    def case(self, name):
        case = self.cases[name] = Case(self, name)
        return case

    def nonce(self):
        with self.lock:
            nonce = jose.b64(f"nonce-{len(self.nonces)}-{time.monotonic_ns()}".encode())
            self.nonces.add(nonce)
            return nonce

    def spend(self, nonce):
        with self.lock:
            if nonce not in self.nonces:
                return False
            self.nonces.discard(nonce)
            return True

    def handle(self, method, path, headers, body):
        """The reply, or None: cut the connection."""
        parts = path.partition("?")[0].split("/")
        case = self.cases.get(parts[1])
        kind = KINDS.get(parts[2]) if len(parts) in (3, 4) else None
        if case is None or kind is None:
            return problem("malformed", "no such page", 404)
        # RFC 8555 6.4: the client signs the URL it asks for; Host is how it reached us
        url = f"https://{headers.get('Host')}{path}"
        request = Request(case, method, kind, parts[3] if len(parts) == 4 else "", headers, body,
                          url)
        due = case.due(kind)
        reply = None
        for fault in due:
            if fault.act_before and reply is None:
                reply = fault.act_before(request)
        if request.cut:
            return None
        if reply is None:
            with case.lock:
                reply = case.do(request)
            for fault in due:
                if fault.act_after and reply is not None:
                    reply = fault.act_after(request, reply)
        if reply is not None and reply.nonce and kind != "directory":
            reply.headers.append(("Replay-Nonce", self.nonce()))
        if reply is not None:
            reply.headers.append(("Link", f'<{case.url}>;rel="index"'))
        return reply

    def start(self):
        ca = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # head and body leave together
            timeout = 60

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    reply = ca.handle(self.command, self.path, self.headers, body)
                except Exception:  # a bug of this CA must not look like a fault
                    traceback.print_exc()
                    reply = problem("serverInternal", "bug of the fake CA", 500)
                if reply is None:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers:
                    self.send_header(name, value)
                if reply.status != 204:
                    self.send_header("Content-Type", reply.content_type)
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.send(reply)

            def send(self, reply):
                step, pause = reply.drip or (len(reply.body) or 1, 0)
                for at in range(0, len(reply.body), step):
                    self.wfile.write(reply.body[at:at + step])
                    if pause:
                        self.wfile.flush()
                        time.sleep(pause)

            do_GET = do_HEAD = do_POST = do_PUT = handle_any

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, client_address):
                if not isinstance(sys.exc_info()[1], OSError):  # a client that went is no bug
                    traceback.print_exc()

        self.server = Server(("127.0.0.1", self.port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issuer.directory / "tls.pem",
                                self.issuer.directory / "tls.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()


def main():
    port, address, http_port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory() as scratch:
        ca = FakeCA(Path(scratch), port, (address, http_port)).start()
        print(f"directory {ca.case('ca').url}\ntrust     {ca.issuer.ca}\nroot      {ca.issuer.root}",
              flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
