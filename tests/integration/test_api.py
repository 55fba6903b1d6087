"""The REST API as its OpenAPI file says: every route is called, every reply checked against it."""

import json
import os
import re
import unittest
import urllib.parse
import uuid

import lab
import lab_schema
from lab_api import UnixConnection, send_tls, send_unix
from lab_schema import check, resolve

FLEET = None
BROWSER = None
API = None
COVERED = set()
ROUTES = lab.SOURCE / "web-ui/api/routes.c"


def setUpModule():
    global FLEET, BROWSER, API
    FLEET = lab.Fleet(net=131, base=16500, http_port=5131)
    FLEET.start()
    BROWSER = lab.Browser(FLEET.manager).set_up(FLEET.manager.setup_link)
    API = json.loads(BROWSER.get("/api/v1/openapi.json").text)
    lab_schema.DOCUMENT.update(API)


def tearDownModule():
    FLEET.stop()


# -- calls --

def operation(method, template):
    item = API["paths"][template]
    return item[method.lower()]


def call(method, template, expected, *, body=None, headers=None, query=None, unix=False, **path):
    """Calls a described operation; checks request and reply against the description."""
    described = operation(method, template)
    target = "/api/v1" + re.sub(r"{(\w+)}", lambda m: urllib.parse.quote(path[m[1]], safe=""),
                                template)
    if query:
        target += "?" + urllib.parse.urlencode(query)
    sent = {"Origin": BROWSER.base, "Sec-Fetch-Site": "same-origin"}
    if body is not None:
        sent["Content-Type"] = "application/json"
    sent.update(headers or {})
    data = None if body is None else json.dumps(body).encode()
    if unix:
        reply = send_unix(FLEET.manager, method, target, data, sent)
    else:
        reply = send_tls(BROWSER, method, target, data, sent)
    COVERED.add((method, template))
    problems = list(check_reply(described, reply))
    if body is not None and reply.status < 300:
        schema = described["requestBody"]["content"]["application/json"]["schema"]
        problems += list(check(schema, body, "request"))
    assert reply.status == expected, (method, target, reply.status, reply.json)
    assert not problems, (method, target, problems)
    return reply


def check_reply(described, reply):
    responses = described["responses"]
    response = resolve(responses.get(str(reply.status), responses.get("default", {})))
    if not response:
        yield f"status {reply.status} is not described"
    if reply.status >= 400 and reply.media != "application/problem+json":
        yield f"{reply.media} instead of problem details"
    content = response.get("content", {})
    if reply.json is not None and reply.media not in content:
        yield f"{reply.media} is not described"
    elif reply.json is not None:
        yield from check(content[reply.media]["schema"], reply.json)
    for name, header in response.get("headers", {}).items():
        yield from check(resolve(header)["schema"], reply.headers.get(name), name)


def changed_meanwhile(template, tag, **path):
    """Has the document another tag by now? The fleet goes on: receipts come, the CA is asked."""
    return call("GET", template, 200, **path).headers["ETag"] != tag


def fresh(template, **path):
    """The document is given with a tag, and not again to who has it; returns (reply, tag)."""
    for left in (3, 2, 1, 0):
        reply = call("GET", template, 200, **path)
        tag = reply.headers["ETag"]
        try:
            again = call("GET", template, 304, headers={"If-None-Match": tag}, **path)
        except AssertionError:
            if left and changed_meanwhile(template, tag, **path):
                continue
            raise
        assert again.headers["ETag"] == tag
        return reply.json, tag


class Described(unittest.TestCase):
    def test_a_routes_and_description_are_the_same(self):
        rows = re.findall(r'{HTTP_(\w+), "/api/v1([^"]*)"', ROUTES.read_text())
        routed = {(m, re.sub(r"{\w+}", "{}", p)) for m, p in rows}
        described = {(m.upper(), re.sub(r"{\w+}", "{}", p)) for p, item in API["paths"].items()
                     for m in item if m != "parameters"}
        self.assertEqual(routed, described)
        self.assertTrue(routed)

    def test_a_validator_finds_faults(self):
        """A validator that finds nothing proves nothing."""
        wrong = [({"type": "string"}, 5), ({"enum": ["a"]}, "b"), ({"type": "integer"}, True),
                 ({"required": ["a"]}, {}), ({"additionalProperties": False}, {"a": 1}),
                 ({"items": {"type": "string"}}, [1]), ({"pattern": "^a$"}, "b"),
                 ({"$ref": "#/components/schemas/Ulid"}, "x"), ({"maxItems": 0}, [1]),
                 ({"minLength": 2}, "a"),
                 ({"format": "date-time", "type": "string"}, "today"), ({"const": 1}, 2),
                 ({"oneOf": [{"type": "string"}, {"type": "array"}]}, 1), ({"surprise": 1}, 1)]
        for schema, value in wrong:
            self.assertTrue(list(check(schema, value)), (schema, value))


class Documents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        reply = call("POST", "/requests", 202, body={
            "host_names": ["api.example", "例.api.example"], "servers": ["bravo"],
            "keyring_file": "api.kyr", "key_type": "P-256", "renew_days": 20},
            headers={"Idempotency-Key": "first"})
        cls.credential = reply.json["credential"]
        assert reply.headers["Location"] == f"/api/v1/credentials/{cls.credential}"
        FLEET.manager.wait_issued(cls.credential)
        FLEET.manager.wait_receipts(cls.credential, ["bravo"], state="failed")  # see test_receipts

    def test_credential(self):
        view, _ = fresh("/credentials/{credential}", credential=self.credential)
        self.assertEqual(view["credential"]["status"], "issued")
        self.assertNotIn("sealed_key", view["credential"])
        self.assertEqual([line["action"] for line in view["history"]][0], "issue")
        self.assertEqual({line["via"] for line in view["history"]}, {"api"})
        self.assertEqual(view["history"][0]["who"], "admin")
        call("GET", "/credentials/{credential}", 404, credential="01J00000000000000000000000")
        for kind in ("host", "expiry", "status", "server"):
            page = call("GET", "/credentials", 200, query={"view": kind}).json
            self.assertIn(self.credential, [row["id"] for row in page["credentials"]])
        call("GET", "/credentials", 422, query={"view": "colour"})

    def test_receipts(self):
        """nginx reads another file than api.kyr: the wire check says so, in the one error shape."""
        reply, _ = fresh("/credentials/{credential}/receipts", credential=self.credential)
        self.assertEqual(reply["receipts"][0]["server"], "bravo")
        self.assertTrue(reply["receipts"][0]["error"]["what"])

    def test_steps_page_and_stream(self):
        reply, _ = fresh("/credentials/{credential}/steps", credential=self.credential)
        steps = reply["steps"]
        self.assertGreater(len(steps), 5)
        self.assertEqual(steps, sorted(steps, key=lambda s: s["id"]))
        first = call("GET", "/credentials/{credential}/steps", 200, credential=self.credential,
                     query={"limit": 2}).json
        self.assertEqual(first["steps"], steps[:2])
        rest = call("GET", "/credentials/{credential}/steps", 200, credential=self.credential,
                    query={"after": first["next"]}).json
        self.assertEqual(rest["steps"][:len(steps) - 2], steps[2:])  # more may have come
        call("GET", "/credentials/{credential}/events", 422, credential=self.credential,
             query={"after": "x"})
        events = self.events({"Last-Event-ID": steps[2]["id"]}, len(steps) - 3)
        told = [e for e in events if e["event"] == "step"][:len(steps) - 3]
        self.assertEqual([e["data"] for e in told], steps[3:])
        self.assertEqual([e["id"] for e in told], [s["id"] for s in steps[3:]])
        state = next(e["data"] for e in events if e["event"] == "state")
        schema = {"$ref": "#/components/schemas/CredentialState"}
        self.assertEqual(list(check(schema, state)), [])
        self.assertEqual(state["status"], "issued")

    def events(self, headers, steps):
        """The first events of the stream, over the Unix socket: so many steps, and a state."""
        connection = UnixConnection(FLEET.manager.root / "run/certmgr/certmgr.sock")
        connection.request("GET", f"/api/v1/credentials/{self.credential}/events", None, headers)
        reply = connection.getresponse()
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.headers["Content-Type"], "text/event-stream")
        found, event = [], {}
        while [e["event"] for e in found].count("step") < steps or \
                "state" not in [e["event"] for e in found]:
            line = reply.readline().decode()
            self.assertTrue(line, "the stream has ended")
            line = line.rstrip("\n")
            if line.startswith(("id: ", "event: ", "data: ")):
                name, value = line.split(": ", 1)
                event[name] = json.loads(value) if name == "data" else value
            elif not line and "event" in event:
                found.append(event)
                event = {}
        connection.close()
        return found

    def test_requests(self):
        reply, _ = fresh("/requests")
        mine = next(r for r in reply["requests"] if r["credential"] == self.credential)
        self.assertEqual(mine["fields"]["host_names"], ["api.example", "例.api.example"])
        one, _ = fresh("/requests/{request}", request=mine["id"])
        self.assertEqual(one, mine)
        call("GET", "/requests/{request}", 404, request="01J00000000000000000000000")
        page = call("GET", "/requests", 200, query={"limit": 1}).json
        self.assertEqual(len(page["requests"]), 1)

    def test_idempotency(self):
        key = {"Idempotency-Key": str(uuid.uuid4())}
        body = {"host_names": "once.api.example", "servers": ["charlie"], "keyring_file": "o.kyr"}
        before = len(call("GET", "/requests", 200, query={"limit": 1000}).json["requests"])
        first = call("POST", "/requests", 202, body=body, headers=key)
        again = call("POST", "/requests", 202, body=body, headers=key)
        self.assertEqual(first.json, again.json)
        other = call("POST", "/requests", 409, body=dict(body, renew_days=9), headers=key)
        self.assertEqual(other.json["type"], "urn:certmgr:problem:idempotency_key")
        after = len(call("GET", "/requests", 200, query={"limit": 1000}).json["requests"])
        self.assertEqual(after, before + 1)

    def test_refusals(self):
        reply = call("POST", "/requests", 422, body={"host_names": ["-bad.example"], "colour": 1})
        self.assertEqual(reply.json["type"], "urn:certmgr:problem:fields")
        self.assertIn("#/colour", [e["pointer"] for e in reply.json["errors"]])
        reply = call("POST", "/requests", 422, body={"host_names": ["ok.example", "-bad.example"],
                                                     "servers": ["bravo"]})
        self.assertIn("#/host_names/1", [e["pointer"] for e in reply.json["errors"]])
        call("POST", "/requests", 403, body={"host_names": "x.example"},
             headers={"Sec-Fetch-Site": "cross-site"})
        call("POST", "/requests", 415, body={}, headers={"Content-Type": "text/plain"})

    def test_change_and_renew(self):
        reply = call("POST", "/requests", 202, body={
            "host_names": ["change.api.example"], "servers": ["charlie"],
            "keyring_file": "change.kyr"})
        credential = reply.json["credential"]
        FLEET.manager.wait_issued(credential)
        call("PATCH", "/credentials/{credential}", 422, credential=credential, body={"colour": 1})
        call("PATCH", "/credentials/{credential}", 202, credential=credential,
             body={"renew_days": 25})
        lab.wait_for("the change", lambda: call(
            "GET", "/credentials/{credential}", 200,
            credential=credential).json["credential"]["renew_days"] == 25)
        before = FLEET.manager.show(credential)["credential"]["fingerprint"]
        call("POST", "/credentials/{credential}/renew", 204, credential=credential,
             body={"new_key": True})
        lab.wait_for("the renewal", lambda: call(
            "GET", "/credentials/{credential}", 200,
            credential=credential).json["credential"]["fingerprint"] != before)
        call("POST", "/credentials/{credential}/renew", 404,
             credential="01J00000000000000000000000")
        # Pebble has no staging; a dry run that does run: test_dry_run.py
        call("POST", "/credentials/{credential}/dry-run", 409, credential=credential)
        call("POST", "/credentials/{credential}/dry-run", 404,
             credential="01J00000000000000000000000")

    def test_by_hand(self):  # test_csr.py has the whole way
        credential = call("POST", "/requests", 202, body={
            "host_names": ["hand.api.example"], "servers": ["charlie"], "provider": "manual",
            "keyring_file": "hand.kyr"}).json["credential"]
        lab.wait_for("the CSR", lambda: "csr_out" in call(
            "GET", "/credentials/{credential}", 200, credential=credential).json["credential"])
        reply = call("GET", "/credentials/{credential}/csr", 200, credential=credential)
        self.assertIn("BEGIN CERTIFICATE REQUEST", reply.json["csr"])
        refused = call("POST", "/credentials/{credential}/certificate", 422, credential=credential,
                       body={"certificate": reply.json["csr"]})
        self.assertEqual(refused.json["errors"][0]["pointer"], "#/certificate")
        self.assertIn("not the certificate", refused.json["errors"][0]["detail"])
        call("GET", "/credentials/{credential}/csr", 404, credential="01J00000000000000000000000")
        call("DELETE", "/credentials/{credential}", 204, credential=credential)

    def test_revoke_archive_delete(self):
        credential = call("POST", "/requests", 202, body={
            "host_names": ["end.api.example"], "servers": ["charlie"],
            "keyring_file": "end.kyr"}).json["credential"]
        FLEET.manager.wait_issued(credential)
        revoke = "/credentials/{credential}/revoke"
        call("POST", revoke, 422, credential=credential, body={"reason": 7})
        call("POST", revoke, 422, credential=credential, body={"after": "burn"})
        call("POST", revoke, 404, credential="01J00000000000000000000000")
        call("POST", revoke, 204, credential=credential, body={"reason": 4})
        lab.wait_for("the revocation", lambda: call(
            "GET", "/credentials/{credential}", 200,
            credential=credential).json["credential"]["status"] == "revoked")
        call("POST", revoke, 409, credential=credential)
        call("POST", "/credentials/{credential}/archive", 204, credential=credential)
        lab.wait_for("the archive", lambda: call(
            "GET", "/credentials/{credential}", 200,
            credential=credential).json["credential"]["status"] == "archived")
        call("DELETE", "/credentials/{credential}", 204, credential=credential)
        lab.wait_for("the removal", lambda: FLEET.manager.api(
            "GET", f"/credentials/{credential}")[0] == 404)
        call("DELETE", "/credentials/{credential}", 404, credential=credential)

    def test_retry(self):
        call("POST", "/credentials/{credential}/retry", 204, credential=self.credential, body=None)
        call("POST", "/credentials/{credential}/retry", 404,
             credential="01J00000000000000000000000")

    def test_account_moves(self):  # test_accounts.py has what others registered, and refusals
        export, import_ = "/accounts/{name}/export", "/accounts/{name}/import"
        secret = "a passphrase for the way"
        call("POST", export, 422, name="pebble", body={"passphrase": "too short"})
        call("POST", export, 404, name="nobody", body={"passphrase": secret})
        sealed = call("POST", export, 200, name="pebble", body={}).json
        self.assertNotIn("key_pem", sealed)
        self.assertIn("sealed_key", sealed)
        made = call("POST", export, 200, name="pebble", body={"passphrase": secret}).json
        self.assertNotIn("sealed_key", made)
        self.assertIn("BEGIN ENCRYPTED PRIVATE KEY", made["key_pem"])
        body = {"directory": made["directory"], "key": made["key_pem"], "passphrase": "not this one",
                "terms_agreed": True, "ca_pem": FLEET.pebble.ca.read_text()}
        call("POST", import_, 422, name="carried", body=body)
        call("GET", "/accounts/{name}", 404, name="carried")
        body["passphrase"] = secret
        account = call("POST", import_, 201, name="carried", body=body).json
        before = call("GET", "/accounts/{name}", 200, name="pebble").json
        for member in ("kid", "thumbprint", "directory"):
            self.assertEqual(account[member], before[member], member)
        self.assertEqual((account["name"], account["status"]), ("carried", "valid"))
        self.assertNotIn("sealed_key", account)
        call("POST", import_, 409, name="carried", body=body)  # never over another account
        call("DELETE", "/accounts/{name}", 204, name="carried")


class Administration(unittest.TestCase):
    def account(self, **more):
        return dict({"directory": FLEET.manager.directory_url, "terms_agreed": True,
                     "ca_pem": FLEET.pebble.ca.read_text(), "contacts": ["a@example.com"]}, **more)

    def test_accounts(self):
        made = call("PUT", "/accounts/{name}", 201, name="second", body=self.account(),
                    headers={"If-None-Match": "*"})
        self.assertEqual(made.json["contacts"], ["mailto:a@example.com"])
        self.assertNotIn("sealed_key", made.json)
        seen, tag = fresh("/accounts/{name}", name="second")
        self.assertEqual(made.headers["ETag"], tag)
        self.assertEqual(seen, made.json)
        body = self.account(contacts=["b@example.com"])
        call("PUT", "/accounts/{name}", 428, name="second", body=body)
        call("PUT", "/accounts/{name}", 412, name="second", body=body,
             headers={"If-None-Match": "*"})
        changed = call("PUT", "/accounts/{name}", 200, name="second", body=body,
                       headers={"If-Match": tag})
        self.assertEqual(changed.json["contacts"], ["mailto:b@example.com"])
        self.assertEqual(changed.json["thumbprint"], seen["thumbprint"], "the key stays")
        call("PUT", "/accounts/{name}", 412, name="second", body=body, headers={"If-Match": tag})
        call("PUT", "/accounts/{name}", 200, name="second", body=body, unix=True)
        call("GET", "/accounts/{name}", 404, name="nobody")
        listed, _ = fresh("/accounts")
        self.assertEqual([a["name"] for a in listed["accounts"]][-1], "second")
        page = call("GET", "/accounts", 200, query={"limit": 1}).json
        self.assertEqual(len(page["accounts"]), 1)
        call("GET", "/accounts", 200, query={"after": page["next"]})
        act = "/accounts/{name}/act"
        call("POST", act, 422, name="second", body={"act": "delete"})
        call("POST", act, 404, name="nobody", body={"act": "update"})
        call("POST", act, 409, name="second", body={"act": "roll-over"})  # never registered
        call("POST", act, 502, name="second", body={"act": "find"})
        call("DELETE", "/accounts/{name}", 204, name="second")
        call("DELETE", "/accounts/{name}", 404, name="second")

    def test_account_errors_point_at_members(self):
        for body, pointer in ((self.account(directory="ftp://x"), "#/directory"),
                              (self.account(contacts=["nobody"]), "#/contacts"),
                              (self.account(http_port=0), "#/http_port"),
                              (self.account(surprise=1), "#/surprise")):
            reply = call("PUT", "/accounts/{name}", 422, name="third", body=body)
            self.assertEqual(reply.json["type"], "urn:certmgr:problem:fields")
            self.assertEqual([e["pointer"] for e in reply.json["errors"]], [pointer])

    def test_dns_accounts(self):
        body = {"kind": "rfc2136", "domains": ["dns.example.com", "例え.jp"],
                "options": {"server": "127.0.0.1:5300", "key_name": "certmgr"},
                "secrets": {"tsig_secret": "c2VjcmV0IHNlY3JldCBzZWNyZXQ="},
                "propagation": {"authoritative": True, "limit_s": 60}}
        made = call("PUT", "/dns-accounts/{name}", 201, name="zones", body=body,
                    headers={"If-None-Match": "*"})
        self.assertEqual(made.json["domains_ascii"], ["dns.example.com", "xn--r8jz45g.jp"])
        self.assertEqual(made.json["secret_names"], ["tsig_secret"])
        self.assertNotIn("sealed", made.json)
        seen, tag = fresh("/dns-accounts/{name}", name="zones")
        self.assertEqual(seen, made.json)
        call("PUT", "/dns-accounts/{name}", 428, name="zones", body={"enabled": False})
        changed = call("PUT", "/dns-accounts/{name}", 200, name="zones", body={"enabled": False},
                       headers={"If-Match": tag})
        self.assertEqual(changed.json["domains"], seen["domains"], "what is not given stays")
        call("PUT", "/dns-accounts/{name}", 412, name="zones", body={"enabled": True},
             headers={"If-Match": tag})
        for bad, pointer in (({"kind": "nonsense"}, "#/kind"), ({"domains": []}, "#/domains"),
                             ({"surprise": 1}, "#/surprise"), ({"options": 1}, "#/options")):
            reply = call("PUT", "/dns-accounts/{name}", 422, name="zones", body=bad, unix=True)
            self.assertEqual(reply.json["errors"][0]["pointer"], pointer)
        listed, _ = fresh("/dns-accounts")
        self.assertEqual([a["name"] for a in listed["dns_accounts"]], ["zones"])
        providers, _ = fresh("/dns-providers")
        self.assertIn("rfc2136", [k["kind"] for k in providers["kinds"]])
        bad = call("PUT", "/dns-providers/{name}", 422, name="broken", body={"schema": 1}, unix=True)
        self.assertEqual([e["pointer"] for e in bad.json["errors"]], ["#"])
        found = call("POST", "/dns-providers/lint", 200, body={"schema": 1})
        self.assertEqual((found.json["ok"], found.json["pointer"]), (False, ""))
        call("GET", "/dns-accounts/{name}/test", 404, name="zones")
        call("POST", "/dns-accounts/{name}/test", 404, name="zones", body={})  # switched off
        call("POST", "/credentials/{credential}/go-on", 404, credential="nobody", body={})
        call("POST", "/credentials/{credential}/go-on", 409, body={},
             credential="01J00000000000000000000000")
        call("DELETE", "/dns-accounts/{name}", 404, name="nobody", body={})
        call("DELETE", "/dns-accounts/{name}", 204, name="zones", body={"force": False},
             headers={"If-Match": changed.headers["ETag"]})

    def test_recipes(self):
        seen, tag = fresh("/dns-providers/{name}", name="digitalocean")
        self.assertEqual((seen["stored"], seen["shipped"], seen["lint"]["ok"]), (False, True, True))
        call("GET", "/dns-providers/{name}", 404, name="nobody")
        call("PUT", "/dns-providers/{name}", 428, name="digitalocean", body=seen["recipe"])
        made = call("PUT", "/dns-providers/{name}", 201, name="ours", body=seen["recipe"])
        self.assertTrue(made.json["stored"])
        call("PUT", "/dns-providers/{name}", 200, name="ours", body=dict(seen["recipe"], title="New"),
             headers={"If-Match": made.headers["ETag"]})
        shown, tag = fresh("/dns-providers/{name}", name="ours")
        self.assertEqual((shown["title"], shown["used_by"]), ("New", []))
        call("DELETE", "/dns-providers/{name}", 412, name="ours", headers={"If-Match": '"x"'})
        call("DELETE", "/dns-providers/{name}", 204, name="ours", headers={"If-Match": tag})
        call("DELETE", "/dns-providers/{name}", 404, name="digitalocean", unix=True)

    def test_settings(self):
        seen, tag = fresh("/settings")
        days = 41 if seen["renew_days"] != 41 else 42
        call("PUT", "/settings", 428, body={"renew_days": days})
        changed = call("PUT", "/settings", 200, body={"renew_days": days},
                       headers={"If-Match": tag})
        self.assertEqual(changed.json, dict(seen, renew_days=days))
        call("PUT", "/settings", 412, body={"renew_days": 5}, headers={"If-Match": tag})
        bad = call("PUT", "/settings", 422, body={"key_type": "ROT-13"},
                   headers={"If-Match": changed.headers["ETag"]})
        self.assertEqual(bad.json["errors"][0]["pointer"], "#/key_type")
        self.assertEqual(FLEET.manager.json("settings", "--renew-days", "30")["renew_days"], 30)

    def test_servers(self):
        listed, _ = fresh("/servers")
        self.assertEqual([s["name"] for s in listed["servers"]][:3], ["alpha", "bravo", "charlie"])
        one, _ = fresh("/servers/{name}", name="bravo")
        self.assertEqual(one, listed["servers"][1])
        call("GET", "/servers/{name}", 404, name="nobody")
        call("POST", "/servers", 201, body={"name": "delta"})
        call("POST", "/servers", 422, body={"name": "delta", "colour": "red"})
        refused = call("DELETE", "/servers/{name}", 404, name="nobody")
        self.assertEqual(refused.json["type"], "urn:certmgr:problem:not_found")
        call("GET", "/servers/{name}/rotation", 404, name="bravo")
        call("POST", "/servers/{name}/rotation", 404, name="nobody", body={})
        call("POST", "/servers/{name}/rotation", 422, name="alpha", body={"colour": "red"})
        call("DELETE", "/servers/{name}/rotation", 404, name="alpha", body={})
        call("POST", "/servers/{name}/rotation", 202, name="bravo", body={})  # its own to do

    def test_checks_and_budgets(self):  # test_preflight.py has what they find
        report = call("POST", "/checks", 200, body={"host_names": ["checked.api.test"],
                                                    "account": "pebble", "servers": ["alpha"]})
        self.assertIn("name_ok", [row["id"] for row in report.json["checks"]])
        call("POST", "/checks", 422, body={"host_names": ["-bad-.test"]})
        call("POST", "/checks", 422, body={"host_names": ["a.test"], "colour": "red"})
        budget, _ = fresh("/accounts/{name}/budget", name="pebble")
        self.assertFalse(budget["known"])
        call("GET", "/accounts/{name}/budget", 404, name="nobody")

    def test_roots_presets_status(self):
        call("POST", "/roots", 204, body={"pem": FLEET.pebble.root().read_text()})
        call("POST", "/roots", 422, body={"pem": "nothing", "colour": 1})
        presets, _ = fresh("/presets")
        self.assertIn("letsencrypt-staging", [p["name"] for p in presets["presets"]])
        self.assertEqual(call("GET", "/status", 200).json["server"], "alpha")
        self.assertIn("skipped", call("GET", "/report", 200).json)
        call("GET", "/report", 422, query={"hours": 0})
        fresh("/quarantine")
        call("POST", "/quarantine/clear", 422, body={})
        call("POST", "/quarantine/clear", 404, body={"id": "settings:none", "rev": "1-a"})
        call("POST", "/quarantine/clear", 204, body={"all": True})
        call("GET", "/replication", 200)  # never the same twice: who was seen when
        shown, _ = fresh("/upstream")
        self.assertEqual(shown["kind"], "none")
        tested = call("POST", "/upstream/test", 200)
        self.assertFalse(tested.json["ok"])
        call("PUT", "/upstream", 422, body={"url": "ftp://hub"}, unix=True)
        call("DELETE", "/upstream", 404, unix=True)
        # Nobody listens there: set, not reached, forgotten.
        call("PUT", "/upstream", 200, body={"url": "https://127.0.0.1:9/db", "user": "u",
                                            "password": "p"}, unix=True)
        call("DELETE", "/upstream", 204, unix=True)
        refused = call("POST", "/notify/test", 422).json  # test_notify.py has one with channels
        self.assertIn("no notices are configured", refused["detail"])
        fresh("/openapi.json")

    def test_store_and_hold(self):
        self.assertEqual(call("GET", "/store", 200).json["scrub"]["problems"], [])
        rows = call("GET", "/store", 200, query={"state": "true"}).json["state"]
        self.assertIn("trust", [row["type"] for row in rows])
        call("POST", "/store/scrub", 204)
        self.assertIn("on hold", call("POST", "/hold/release", 404).json["detail"])
        call("POST", "/store/copies", 403, body={})
        call("POST", "/store/copies", 422, body={"colour": 1}, unix=True)
        copied = call("POST", "/store/copies", 200, body={"identity": True}, unix=True).json
        os.unlink(copied["copy"])
        self.assertNotIn("BEGIN", copied["sealed"])
        call("PUT", "/recovery-key", 403, body={"spki": "x"})
        call("PUT", "/recovery-key", 422, body={}, unix=True)
        same = {"spki": copied["recovery"]}
        self.assertGreater(call("PUT", "/recovery-key", 200, body=same, unix=True).json["version"], 0)

    def test_keys_that_come_and_leave(self):
        """Over the socket alone, sealed by the command (test_import.py has files that are)."""
        number = "01JDEXAMPE0000000000000000"
        call("POST", "/imports", 403, body={"sealed": "AAAA"})
        call("POST", "/imports", 422, body={"key": "-----BEGIN"}, unix=True)
        refused = call("POST", "/imports", 400, body={"sealed": "AAAA", "servers": ["bravo"]},
                       unix=True)
        self.assertIn("envelope", json.dumps(refused.json))
        call("POST", "/credentials/{credential}/export", 403, credential=number,
             body={"sealed": "AAAA"})
        call("POST", "/credentials/{credential}/export", 404, credential=number,
             body={"sealed": "AAAA"}, unix=True)

    def test_trust(self):
        """Changes that the manager alone may sign; hand-overs are in test_manager_loss.py."""
        trust = call("GET", "/trust", 200).json
        self.assertEqual(trust["threshold"], 1)
        call("PATCH", "/servers/{name}", 422, name="bravo", body={"role": "king"})
        call("PATCH", "/servers/{name}", 204, name="bravo", body={"role": "standby", "url":
             f"https://{FLEET.server['bravo'].address}:8444"})
        self.assertEqual(len(call("GET", "/trust", 200).json["signers"]), 2)
        call("PATCH", "/servers/{name}", 204, name="bravo", body={"role": "server"})
        call("PUT", "/trust/threshold", 422, body={"threshold": 0})
        call("PUT", "/trust/threshold", 204, body={"threshold": 1})
        call("POST", "/trust/signatures", 403, body={"document": {}})
        self.assertGreater(call("GET", "/trust", 200).json["version"], trust["version"])
        call("POST", "/manager/promote", 403, body={})

    def test_setup_links_and_sessions(self):
        call("POST", "/setup-links", 403)
        made = call("POST", "/setup-links", 201, unix=True)
        self.assertIn(made.json["token"], made.json["url"])
        second = lab.Browser(FLEET.manager).set_up(made.json["url"], "second")
        jar, BROWSER.jar = BROWSER.jar, second.jar
        opener, BROWSER.opener = BROWSER.opener, second.opener
        try:
            sessions = call("GET", "/sessions", 200).json["sessions"]
            self.assertEqual([s["current"] for s in sessions].count(True), 1)
            call("DELETE", "/sessions", 204)
            gone = call("GET", "/sessions", 401)
            self.assertEqual(gone.json["type"], "urn:certmgr:problem:not_signed_in")
        finally:
            BROWSER.jar, BROWSER.opener = jar, opener
        call("GET", "/sessions", 200)  # the other person stays signed in
        lab.Browser(FLEET.manager).login("second")
        users = {u["name"]: u for u in call("GET", "/users", 200).json["users"]}
        self.assertEqual(users["second"]["sessions"], 1)
        call("DELETE", "/sessions", 204, query={"user": "second"})
        call("DELETE", "/sessions", 404, query={"user": "nobody"})
        users = {u["name"]: u for u in call("GET", "/users", 200).json["users"]}
        self.assertEqual(users["second"]["sessions"], 0)
        self.assertNotIn("seen_at", users["second"])
        call("GET", "/sessions", 200)


class ZEverything(unittest.TestCase):
    """The name sorts last: what the others have called is known here."""

    def test_every_route_was_called(self):
        described = {(m.upper(), p) for p, item in API["paths"].items()
                     for m in item if m != "parameters"}
        self.assertEqual(described - COVERED, set())


if __name__ == "__main__":
    unittest.main(verbosity=2)
