"""Accounts, orders and authorizations of one case of the fake CA (RFC 8555 7.1)."""

import datetime
import http.client
import os
import re
import time

import jose
from faults import TYPE

ANSWER_MAX = 128  # as Boulder: a longer answer fails


def rfc3339(at):
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Account:
    def __init__(self, ident, jwk, contact):
        self.id, self.jwk, self.contact, self.status = ident, jwk, contact, "valid"

    def show(self, case):
        body = {"status": self.status, "contact": self.contact, "termsOfServiceAgreed": True}
        if case.orders_list:
            body["orders"] = case.link("orders", self.id)
        return body


class Authorization:
    def __init__(self, case, account, name):
        self.case, self.account = case, account
        self.wildcard, self.name = name.startswith("*."), name.removeprefix("*.")
        self.token = case.token if case.token is not None else jose.b64(os.urandom(24))
        self.status = self.challenge_status = "pending"
        self.error = None
        self.expires = time.time() + case.order_life
        with case.lock:
            self.id = len(case.authorizations)
            case.authorizations.append(self)

    def challenge(self):
        body = {"type": "http-01", "status": self.challenge_status, "token": self.token,
                "url": self.case.link("challenge", self.id)}
        if self.error:
            body["error"] = self.error
        return body

    def show(self):
        body = {"identifier": {"type": "dns", "value": self.name}, "status": self.status,
                "expires": rfc3339(self.expires),
                "challenges": [] if self.wildcard else [self.challenge()]}
        if self.wildcard:
            body["wildcard"] = True
        return body

    def pause(self):
        """Clients that poll authorizations are told how often (7.5.1)."""
        if self.case.pause is None or self.challenge_status != "processing":
            return {}
        return {"Retry-After": str(self.case.pause)}

    def validate(self):
        """HTTP-01 (8.3). A thread of its own."""
        kind, detail = self.case.verdict or self._fetch()
        with self.case.lock:
            self.status = self.challenge_status = "valid" if kind is None else "invalid"
            if kind:
                self.error = {"type": TYPE + kind, "detail": detail, "status": 403}

    def _fetch(self):
        address, port = self.case.ca.resolve(self.name)
        path = f"/.well-known/acme-challenge/{self.token}"
        try:
            peer = http.client.HTTPConnection(address, port, timeout=5)
            peer.request("GET", path, headers={"Host": self.name})
            reply = peer.getresponse()
            body = reply.read(ANSWER_MAX + 1)
            peer.close()
        except (OSError, http.client.HTTPException) as error:
            return "connection", f"{self.name}: {error}"
        want = f"{self.token}.{jose.thumbprint(self.account.jwk)}"
        if reply.status != 200 or len(body) > ANSWER_MAX or body.rstrip() != want.encode():
            return "unauthorized", f"{self.name}: status {reply.status}, not the key authorization"
        return None, None


class Order:
    def __init__(self, case, account, names):
        self.case, self.account, self.names = case, account, names
        self.status, self.error = "pending", None
        self.expires = time.time() + case.order_life
        self.csr = self.pems = None
        self.reads = 0
        self.revoked = self.replaced = False
        self.profile = self.replaces = None
        with case.lock:
            self.authorizations = [self._authorization(name) for name in names]
            self.id = len(case.orders)
            case.orders.append(self)

    def _authorization(self, name):
        if self.case.authz_reuse:
            for old in self.case.authorizations:
                if old.account is self.account and old.status == "valid" and old.name == name:
                    return old
        return Authorization(self.case, self.account, name)

    def settle(self):
        """pending -> ready, invalid (7.1.6)"""
        states = [a.status for a in self.authorizations]
        if self.status in ("pending", "ready", "processing") and time.time() > self.expires:
            self.status = "invalid"
        if self.status != "pending":
            return
        bad = next((a for a in self.authorizations if a.status not in ("pending", "valid")), None)
        if bad:
            self.status, self.error = "invalid", bad.error
        elif all(s == "valid" for s in states):
            self.status = "ready"

    def issue(self):
        issuer = self.case.ca.issuer
        names = ["other.example"] if self.case.leaf == "other names" else self.names
        csr = issuer.other_csr(self.names) if self.case.leaf == "other key" else self.csr
        self.pems = [issuer.leaf(csr, names, self.case.ocsp), issuer.intermediate.read_text()]
        assert all(re.fullmatch(r"-----BEGIN C[^-]*-----[^-]*-----END C[^-]*-----\n", p)
                   for p in self.pems)
        self.case.issued += 1
        self.status = "valid"

    def show(self):
        self.settle()
        body = {"status": self.status, "expires": rfc3339(self.expires),
                "identifiers": [{"type": "dns", "value": n} for n in self.names],
                "authorizations": [self.case.link("authorization", a.id)
                                   for a in self.authorizations],
                "finalize": self.case.link("finalize", self.id)}
        if self.error:
            body["error"] = self.error
        if self.status == "valid":
            body["certificate"] = self.case.link("certificate", self.id)
        return body
