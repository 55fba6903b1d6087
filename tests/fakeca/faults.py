"""What can go wrong at a CA, as rules for one case of the fake CA (see fakeca.py).

A Fault looks at requests of one kind. before(request) may answer in the CA's place: then the CA
has done nothing. after(request, reply) changes what the CA answers; returning None cuts the
connection, so that the client does not learn what was done.
"""

import email.utils
import json
import re
import time

TYPE = "urn:ietf:params:acme:error:"


class Reply:
    def __init__(self, status=200, body=b"", headers=None, content_type="application/json"):
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = list((headers or {}).items())
        self.content_type = content_type
        self.nonce = True
        self.drip = None  # (octets, seconds): so many at a time, with this pause


def problem(kind, detail, status=400, headers=None, **members):
    body = dict({"type": TYPE + kind, "detail": detail, "status": status}, **members)
    return Reply(status, body, headers, "application/problem+json")


class Fault:
    """skip requests pass first, then `times` are hit (None = all)."""

    def __init__(self, before=None, after=None, times=1, skip=0):
        self.act_before, self.act_after = before, after
        self.times, self.skip, self.hits = times, skip, 0

    def due(self):
        """Counts one request of the kind; called under the case's lock."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        return True


# -- the CA refuses ------------------------------------------------------------------------------

def answer(make, **kw):
    """Answers with make() instead of doing it."""
    return Fault(before=lambda request: make(), **kw)


def refuse(kind, detail, status=400, headers=None, members=None, **kw):
    return answer(lambda: problem(kind, detail, status, headers, **(members or {})), **kw)


def retry_after(seconds, as_date):
    return {"Retry-After": email.utils.formatdate(time.time() + seconds, usegmt=True) if as_date
            else str(seconds)}


def rate_limited(seconds, as_date=False, detail="too many certificates", **kw):
    return answer(lambda: problem("rateLimited", detail, 429, retry_after(seconds, as_date)), **kw)


def busy(seconds, **kw):
    """503 of an overloaded front, no problem document (as Let's Encrypt's per-IP limits)."""
    return answer(lambda: Reply(503, b"<html>busy</html>", retry_after(seconds, False),
                                "text/html"), **kw)


def error_page(status=500, text=b"<html><script>alert(1)</script> %s %n Oops</html>", **kw):
    return answer(lambda: Reply(status, text, None, "text/html"), **kw)


def bad_nonce(**kw):
    return refuse("badNonce", "this nonce was not issued here", **kw)


def bad_algorithm(algorithms, **kw):
    return refuse("badSignatureAlgorithm", "this algorithm is not wanted",
                  members={"algorithms": algorithms}, **kw)


def order_not_ready(**kw):
    return refuse("orderNotReady", "the order is still being looked at", 403, **kw)


def subproblems(reasons, **kw):
    """reasons: [(name, type, detail)]"""
    subs = [{"type": TYPE + kind, "detail": detail, "identifier": {"type": "dns", "value": name}}
            for name, kind, detail in reasons]
    return refuse("malformed", "some identifiers cannot be used",
                  members={"subproblems": subs}, **kw)


# The error table of JPRS's manual and the types that came later: what asks for it, HTTP status, how a
# client has to go on, and the manual's words (%s: what it was about). "challenge": the CA's verdict
# on a name.
ROWS = (
    ("badCSR", "finalize", 400, "permanent", "The CSR is unacceptable"),
    ("badPublicKey", "newAccount", 400, "configuration",
     "The JWS was signed by a public key the server does not support"),
    ("caa", "challenge", 403, "configuration",
     "CAA records forbid the CA from issuing a certificate"),
    ("connection", "challenge", 400, "transient",
     "The server could not connect to validation target : [%s]"),
    ("dns", "challenge", 400, "transient", None),
    ("tls", "challenge", 400, "transient", None),
    ("incorrectResponse", "challenge", 400, "transient", None),
    ("unauthorized", "challenge", 403, "configuration", None),
    ("unauthorized", "newOrder", 401, "configuration", "The client lacks sufficient authorization"),
    ("externalAccountRequired", "newAccount", 400, "configuration",
     "The request must include a value for the externalAccountBinding field"),
    ("invalidContact", "newAccount", 400, "configuration",
     "A contact URL for an account was invalid: [%s]"),
    ("unsupportedContact", "newAccount", 400, "configuration",
     "A contact URL for an account used an unsupported protocol scheme: [%s]"),
    ("malformed", "newAccount", 400, "permanent", "Please agree to the term of service."),
    ("malformed", "newOrder", 400, "permanent", "The FQDN is invalid: [%s]"),
    ("malformed", "newOrder", 405, "permanent", "The HTTP method is invalid: [%s]"),
    ("malformed", "newOrder", 415, "permanent", "The content-type is invalid: [%s]"),
    ("rejectedIdentifier", "newOrder", 400, "permanent",
     "The server will not issue certificates for the identifier"),
    ("unsupportedIdentifier", "newOrder", 400, "permanent",
     "An identifier is of an unsupported type"),
    ("serverInternal", "newOrder", 500, "transient", "The server experienced an internal error"),
    ("compound", "newOrder", 400, "transient", None),
    ("invalidProfile", "newOrder", 400, "configuration", None),
    ("conflict", "newOrder", 409, "transient", None),
    ("agreementRequired", "newAccount", 403, "configuration", None),
)


# How CAs refuse `replaces` (RFC 9773 5 names the first alone): type, detail, status.
REPLACES = {"alreadyReplaced": ("alreadyReplaced", "the certificate has been replaced", 409),
            "conflict": ("conflict", "another order replaces this certificate", 409),
            "stranger": ("unauthorized", "requester account did not request the certificate", 401),
            "malformed": ("malformed", "identifiers match none of the certificate being replaced",
                          400),
            "certid": ("malformed", "parsing ARI CertID failed", 400)}


def user_action(instance, terms, **kw):
    return refuse("userActionRequired", "the terms of service have changed", 403,
                  {"Link": f'<{terms}>;rel="terms-of-service"'}, {"instance": instance}, **kw)


# -- the CA answers strangely --------------------------------------------------------------------

def changed(change, **kw):
    """change(reply) alters the CA's good answer."""
    def act(_request, reply):
        change(reply)
        return reply
    return Fault(after=act, **kw)


def rewritten(old, new, **kw):
    def change(reply):
        reply.body = reply.body.replace(old.encode(), new.encode())
        reply.headers = [(k, v.replace(old, new)) for k, v in reply.headers]
    return changed(change, **kw)


def truncated(**kw):
    def change(reply):
        reply.body = reply.body[:len(reply.body) // 2]
    return changed(change, **kw)


def huge(size=2 << 20, **kw):
    def change(reply):
        reply.body = reply.body.rstrip()[:-1] + b',"padding":"' + b"x" * size + b'"}'
    return changed(change, **kw)


def deep(levels=5000, **kw):
    def change(reply):
        reply.body = reply.body.rstrip()[:-1] + b',"deep":' + b"[" * levels + b"]" * levels + b"}"
    return changed(change, **kw)


def big_head(size=70_000, **kw):
    def change(reply):
        reply.headers += [(f"X-Padding-{i}", "x" * 1000) for i in range(size // 1000)]
    return changed(change, **kw)


def relative_links(**kw):
    """Link headers without scheme and host, as RFC 8288 allows."""
    def change(reply):
        reply.headers = [(k, re.sub(r"<https://[^/>]+/", "</", v) if k == "Link" else v)
                         for k, v in reply.headers]
    return changed(change, **kw)


def dripping(octets, seconds, **kw):
    """The body in little pieces, with a pause after each."""
    def change(reply):
        reply.drip = (octets, seconds)
    return changed(change, **kw)


def redirect(target, **kw):
    return answer(lambda: Reply(302, b"", {"Location": target}), **kw)


def no_nonce(**kw):
    def change(reply):
        reply.nonce = False
    return changed(change, **kw)


# -- the network ---------------------------------------------------------------------------------

def lost(**kw):
    """Done, but the connection ends before the reply."""
    return Fault(after=lambda request, reply: None, **kw)


def unreached(**kw):
    """The connection ends before the CA has seen the request."""
    def act(request):
        request.cut = True
    return Fault(before=act, **kw)


def slow(seconds, **kw):
    def act(_request):
        time.sleep(seconds)
    return Fault(before=act, **kw)
