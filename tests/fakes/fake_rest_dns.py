"""A DNS provider with a REST API, for tests: five styles under one roof, and faults on demand.

    /sep      one record per value, ids, a zone id by query, pages, bearer token
    /set      whole sets with an ETag, quoted values, basic authentication
    /single   one value per name, text replies, token in the query
    /login    as /sep, with a session that a login opens and a logout closes
    /text     form bodies, text replies, key in the body
"""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

TOKEN, USER, PASSWORD = "tok-secret-4711", "robot", "pass-secret-0815"
ZONES = {"example.com": 7, "deep.example.com": 8}
PAGE = 2


class FakeRest:
    """The provider's state; every change of a fault is one attribute."""

    def __init__(self, address, port):
        self.records, self.sets, self.single = {}, {}, {}
        self.sessions, self.log, self.next_id, self.version = set(), [], 100, 1
        self.busy = 0  # answer 429 so many times
        self.retry_after = "1"
        self.lose_adds = 0  # do the add, answer 500
        self.hide_s = 0  # a new record is listed only so much later
        self.slow_s = 0  # the DNS shows a value only so long after the first look at its name …
        self.slow_looks = 0  # … and not before so many looks in vain
        self.looks, self.early = {}, 0  # (name, value): [first look, looks]; looks in vain
        self.logins, self.logouts = 0, 0
        self.session_uses = None  # a session ends after so many requests
        self.interfere = None  # called between a reading and the next writing of a set
        self.answer = None  # (status, headers, body) for everything
        self.lock = threading.RLock()
        self.most_at_once = self.at_once = 0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                with fake.lock:
                    fake.at_once += 1
                    fake.most_at_once = max(fake.most_at_once, fake.at_once)
                time.sleep(0.01)
                with fake.lock:
                    status, headers, text = fake.handle(self.command, self.path, self.headers, body)
                    fake.at_once -= 1
                data = text.encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        self.server = ThreadingHTTPServer((address, port), Handler)
        self.server.handle_error = lambda *args: None  # a caller may hang up on a huge reply
        self.server.daemon_threads = True
        self.url = f"http://{address}:{port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    # ---- in the DNS ---------------------------------------------------------------------------

    def present(self, name):
        """Values of /sep, /login, /text and /single."""
        one = [self.single[name]] if name in self.single else []
        return [v for n, v, _ in self.records.values() if n == name] + one

    def shown(self, name):
        """What a question for the TXT records of a name is answered with by now; counts looks."""
        with self.lock:
            values, now, seen = self.present(name), time.monotonic(), []
            self.looks = {k: v for k, v in self.looks.items() if k[0] != name or k[1] in values}
            for value in values:
                look = self.looks.setdefault((name, value), [now, 0])
                look[1] += 1
                if look[1] > self.slow_looks and now - look[0] >= self.slow_s:
                    seen.append(value)
            self.early += len(seen) < len(values)
            return seen

    # ---- answering ----------------------------------------------------------------------------

    def handle(self, method, path, headers, body):
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        style, _, rest = parts.path.lstrip("/").partition("/")
        segments = [unquote(s) for s in rest.split("/")]
        self.log.append((method, path, body))
        if self.answer:
            return self.answer
        if self.busy:
            self.busy -= 1
            return 429, {"Retry-After": self.retry_after}, json.dumps({"message": "slow down"})
        try:
            return getattr(self, "do_" + style)(method, segments, query, headers, body)
        except (KeyError, ValueError, AttributeError) as problem:
            return 400, {}, json.dumps({"message": f"bad request: {problem!r}"})

    @staticmethod
    def reply(status, value=None, **headers):
        return status, headers, "" if value is None else json.dumps(value)

    def do_sep(self, method, segments, query, headers, body):
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            sent = headers.get("Authorization", "")
            return self.reply(401, {"message": f"unknown token {sent}", "code": 77})
        if segments == ["zones"]:
            found = [{"id": i, "name": n} for n, i in ZONES.items() if n == query["name"]]
            return self.reply(200, {"result": found})
        if segments[0] != "zones" or int(segments[1]) not in ZONES.values():
            return self.reply(404, {"message": "no such zone"})
        if len(segments) == 4 and method == "DELETE":
            gone = self.records.pop(int(segments[3]), None)
            return self.reply(204 if gone else 404)
        if method == "GET":
            seen = [{"id": i, "type": "TXT", "name": n, "content": v}
                    for i, (n, v, at) in sorted(self.records.items()) if at <= time.monotonic()]
            page = int(query.get("page", 1))
            return self.reply(200, {"result": seen[(page - 1) * PAGE:page * PAGE],
                                    "pages": max(1, -(-len(seen) // PAGE))})
        wish = json.loads(body)
        if not isinstance(wish["ttl"], int):
            return self.reply(400, {"message": "ttl must be a number"})
        if any((n, v) == (wish["name"], wish["content"]) for n, v, _ in self.records.values()):
            return self.reply(409, {"message": "identical record", "code": 81058})
        self.next_id += 1
        self.records[self.next_id] = (wish["name"], wish["content"], time.monotonic() + self.hide_s)
        if self.lose_adds:
            self.lose_adds -= 1
            return self.reply(500, {"message": "internal"})
        return self.reply(201, {"id": self.next_id})

    def do_set(self, method, segments, _query, headers, body):
        want = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if headers.get("Authorization") != want:
            return self.reply(401, {"message": "who are you?"})
        if segments == ["zones"]:
            return self.reply(200, [{"name": n + "."} for n in ZONES])
        name = segments[2]
        values = self.sets.get(name, [])
        if method == "GET":
            answer = self.reply(200, {"etag": str(self.version),
                                      "records": [{"text": v, "note": n} for v, n in values]})
            if self.interfere:
                self.interfere()
            return answer
        if headers.get("If-Match") not in (None, str(self.version)):
            return self.reply(412, {"message": "changed meanwhile"})
        self.version += 1
        if method == "DELETE":
            return self.reply(204 if self.sets.pop(name, None) else 404)
        wish = json.loads(body)["records"]
        if any(not (i["text"].startswith('"') and i["text"].endswith('"')) for i in wish):
            return self.reply(400, {"message": "values must be quoted"})
        self.sets[name] = [(i["text"], i.get("note", "")) for i in wish]
        return self.reply(200, {})

    def do_single(self, _method, _segments, query, _headers, _body):
        if query.get("token") != TOKEN:
            return 200, {}, "KO"
        if "clear" in query:
            if self.single.get(query["name"]) == query["txt"]:
                del self.single[query["name"]]
            return 200, {}, "OK\n"
        self.single[query["name"]] = query["txt"]
        return 200, {}, "OK\n"

    def do_login(self, method, segments, query, headers, body):
        if segments == ["session"] and method == "POST":
            if json.loads(body) != {"user": USER, "password": PASSWORD}:
                return self.reply(403, {"message": f"wrong password {json.loads(body)['password']}"})
            self.logins += 1
            self.sessions.add(f"session-{self.logins}-abcdef")
            return self.reply(200, {"data": {"session": f"session-{self.logins}-abcdef", "life": 600}})
        session = headers.get("X-Session")
        if session not in self.sessions:
            return self.reply(401, {"message": "session ended"})
        if self.session_uses is not None:
            self.session_uses -= 1
            if self.session_uses == 0:
                self.sessions.clear()
        if segments == ["session"]:
            self.logouts += 1
            self.sessions.discard(session)
            return self.reply(204)
        return self.do_sep(method, segments, query, {"Authorization": f"Bearer {TOKEN}"}, body)

    def do_text(self, _method, segments, _query, headers, body):
        form = dict(parse_qsl(body, keep_blank_values=True))
        if headers.get("Content-Type") != "application/x-www-form-urlencoded":
            return 400, {}, "ERROR form expected"
        if form.pop("key", "") != TOKEN:
            return 200, {}, "ERROR badauth"
        name, value = form["name"], form["value"]
        if segments == ["add"]:
            if any((n, v) == (name, value) for n, v, _ in self.records.values()):
                return 200, {}, "ERROR duplicate"
            self.next_id += 1
            self.records[self.next_id] = (name, value, 0)
            return 200, {}, "good\n"
        ids = [i for i, (n, v, _) in self.records.items() if (n, v) == (name, value)]
        for i in ids:
            del self.records[i]
        return 200, {}, "good" if ids else "ERROR nohost"
