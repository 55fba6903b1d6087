"""A scripted Apache CouchDB 3.3: what a cluster of three nodes puts on the wire, said and done as its
source and manual say (chttpd_db, chttpd:error_info, fabric_doc_update, fabric_view_changes of 3.x).
No real CouchDB can be installed where the tests run; this is what they ask in its place.

Beside the ordinary answers there is what a cluster does at times: plan() makes the next requests
that match meet an error, a silence or an answer that breaks off, rows() the next documents an error
of their own. log has every request, met what came of the plans.
"""

import base64
import json
import re
import secrets
import ssl
import threading
import time
import urllib.parse
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from couchdb3_cluster import Database, Malformed, Tree, parse_rev

NAME = "certstore"
UUID = "85fb71bf700c17267fef77535820e371"
MISSING = (404, "not_found", "missing")


class Aborted(Exception):
    """The connection is to be closed where the answer stands (chttpd: http_abort)."""


class Answer:
    """An error in place of the answer."""

    def __init__(self, status, error, reason, headers=()):
        self.words = (status, error, reason, headers)

    def __call__(self, request):
        request.drain()
        request.error(*self.words)
        return True


class Silence:
    """Nothing for so long, then the connection ends."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, request):
        request.drain()
        request.hub.stopped.wait(self.seconds)
        raise Aborted


class After:
    """It is done, but the answer gets lost."""

    def __call__(self, request):
        request.lost = True
        return False


class Cut:
    """A feed breaks off within a row: more than so many rows never come. clean: as a whole answer,
    with an error behind the half row (send_chunked_error)."""

    def __init__(self, rows, clean=False):
        self.rows, self.clean = rows, clean

    def __call__(self, request):
        request.cut = self
        return False


class Hub:
    """The cluster behind one address. users: {name: (password, roles)}; a request without a name
    may do what members may when public is set."""

    def __init__(self, directory, address, port, users, public=False):
        self.directory, self.address, self.port = directory, address, port
        self.ca = directory / "ca.pem"
        self.url = f"https://{address}:{port}"
        self.users, self.public, self.members = dict(users), public, set(users)
        self.database = None
        self.condition = threading.Condition()
        self.stopped = threading.Event()
        self.plans, self.row_plans = [], []
        self.log, self.met = [], []
        self.fetched = []         # (user, id, rev) asked for by _bulk_get
        self.missed = False       # a copy is late: writes are accepted, not yet done (202)
        self.slow = False         # newlines between the rows of ordinary answers
        self.uuids = [UUID]       # of the nodes, which answer in turn
        self.max_document_size = 8_000_000
        self.max_request = 4 << 30
        self.validate = None      # (document, user) -> reason to forbid it
        self.server = None

    # -- life --

    def start(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "tls.pem", self.directory / "tls.key")
        hub = self

        class Server(ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 128

            def get_request(self):
                raw, peer = super().get_request()
                raw.settimeout(120)
                return context.wrap_socket(raw, server_side=True,
                                           do_handshake_on_connect=False), peer

            def handle_error(self, *_):
                pass  # a client that went

        self.server = Server((self.address, self.port), type("Bound", (Request,), {"hub": hub}))
        threading.Thread(target=self.server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def stop(self):
        self.stopped.set()
        with self.condition:
            self.condition.notify_all()
        self.server.shutdown()
        self.server.server_close()

    # -- the script --

    def plan(self, method, path, act, times=1):
        with self.condition:
            self.plans.append([method, re.compile(path), act, times])

    def rows(self, path, doc_id, error, reason, times=1):
        """The next `times` rows about such a document in answers of _bulk_docs or _bulk_get."""
        with self.condition:
            self.row_plans.append([path, re.compile(doc_id), (error, reason), times])

    def planned(self, method, path):
        with self.condition:
            for entry in self.plans:
                if entry[3] > 0 and entry[0] == method and entry[1].search(path):
                    entry[3] -= 1
                    self.met.append((method, path))
                    return entry[2]
        return None

    def planned_row(self, path, doc_id):
        for entry in self.row_plans:
            if entry[3] > 0 and entry[0] == path and entry[1].search(doc_id):
                entry[3] -= 1
                self.met.append((path, doc_id))
                return entry[2]
        return None

    def left(self):
        """How many of the planned things were not met yet."""
        with self.condition:
            return sum(entry[3] for entry in self.plans + self.row_plans)

    # -- for tests: the database as its members see it --

    def winner(self, doc_id):
        with self.condition:
            tree = self.database.trees.get(doc_id)
            if not tree or tree.nodes[tree.leaves()[0]][1]:
                return None
            return tree.document(doc_id, tree.leaves()[0])

    def requests(self, path):
        with self.condition:
            return [entry for entry in self.log if re.search(path, entry[1])]


class Request(BaseHTTPRequestHandler):
    """One connection; `hub` is set by a class derived from this one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    hub = None

    def log_message(self, *_):
        pass

    # -- answers --

    def drain(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def begin(self, status, headers=()):
        self.answered = status
        if self.lost:
            raise Aborted
        self.send_response_only(status)
        for name, value in (("Cache-Control", "must-revalidate"),
                            ("Content-Type", "application/json"),
                            ("Date", formatdate(usegmt=True)),
                            ("Server", "CouchDB/3.3.3 (Erlang OTP/24)"),
                            ("Transfer-Encoding", "chunked"),
                            ("X-Couch-Request-ID", secrets.token_hex(5)),
                            ("X-CouchDB-Body-Time", "0"), *headers):
            self.send_header(name, value)
        self.end_headers()

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(b"%X\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def end(self):
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def reply(self, status, body, headers=()):
        self.begin(status, headers)
        self.chunk(json.dumps(body, separators=(",", ":")) + "\n")
        self.end()

    def error(self, status, error, reason, headers=()):
        self.reply(status, {"error": error, "reason": reason}, headers)

    # -- who asks --

    def user(self):
        """(name, roles), or None when it was answered already."""
        words = self.headers.get("Authorization", "").split(" ", 1)
        if words[0] != "Basic":
            return "", set()
        name, _, password = base64.b64decode(words[1]).decode().partition(":")
        known = self.hub.users.get(name)
        if not known or known[0] != password:
            self.drain()
            self.error(401, "unauthorized", "Name or password is incorrect.",
                       [("WWW-Authenticate", 'Basic realm="administrator"')])
            return None
        return name, set(known[1])

    def may(self, name, roles):
        """Is it a member? Else it is told so, as couch_db:check_is_member does."""
        if "_admin" in roles or name in self.hub.members or (not name and self.hub.public):
            return True
        self.drain()
        if name:
            self.error(403, "forbidden", "You are not allowed to access this db.")
        else:
            self.error(401, "unauthorized", "You are not authorized to access this db.")
        return False

    # -- which question --

    def do_GET(self):
        self.answered, self.lost, self.cut, began = 0, False, None, time.monotonic()
        url = urllib.parse.urlsplit(self.path)
        parts = url.path.strip("/").split("/", 1)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        try:
            if int(self.headers.get("Content-Length") or 0) > self.hub.max_request:
                self.drain()
                self.error(413, "too_large", "the request entity is too large",
                           [("Connection", "close")])
                raise Aborted
            act = self.hub.planned(self.command, self.path)
            if not (act and act(self)):
                self.route(parts)
        except (Aborted, OSError):
            self.close_connection = True
        finally:
            with self.hub.condition:
                self.hub.log.append((self.command, self.path, self.answered, began))

    do_POST = do_PUT = do_DELETE = do_GET

    def route(self, parts):
        who = self.user()
        if who is None:
            return
        name, roles = who
        if parts == [""]:
            self.hub.uuids.append(self.hub.uuids.pop(0))
            self.reply(200, {"couchdb": "Welcome", "version": "3.3.3", "git_sha": "40afbcfc7",
                             "uuid": self.hub.uuids[-1], "features": [
                                 "access-ready", "partitioned", "pluggable-storage-engines",
                                 "reshard", "scheduler"],
                             "vendor": {"name": "The Apache Software Foundation"}})
        elif self.command == "PUT" and len(parts) == 1:
            self.create(roles)
        elif parts[0] != NAME or self.hub.database is None:
            self.drain()
            self.error(404, "not_found", "Database does not exist.")
        elif self.may(name, roles):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            rest = urllib.parse.unquote(parts[1]) if len(parts) > 1 else ""
            self.database(name, roles, rest, json.loads(body) if body else None)

    def create(self, roles):
        self.drain()
        if "_admin" not in roles:
            self.error(401, "unauthorized", "You are not a server admin.")
        elif self.hub.database:
            self.error(412, "file_exists",
                       "The database could not be created, the file already exists.")
        else:
            self.hub.database = Database()
            self.reply(201, {"ok": True})

    def database(self, name, roles, path, body):
        posts = {"_bulk_docs": lambda: self.bulk_docs(name, body),
                 "_bulk_get": lambda: self.bulk_get(name, body),
                 "_revs_diff": lambda: self.revs_diff(body),
                 "_ensure_full_commit": lambda: self.reply(
                     201, {"ok": True, "instance_start_time": "0"})}
        if path in ("_purge", "_compact") and "_admin" not in roles:
            self.error(401, "unauthorized", "You are not a db or server admin.")
        elif self.command == "POST" and path in posts:
            posts[path]()
        elif path.startswith("_local/"):
            self.checkpoint(path, body)
        elif self.command != "GET":
            self.error(405, "method_not_allowed", "Only GET,HEAD,POST allowed")
        elif path == "":
            self.information()
        elif path == "_changes":
            self.changes()
        elif path == "_revs_limit":
            self.reply(200, 1000)
        elif path == "_security":
            self.reply(200, {"members": {"names": sorted(self.hub.members), "roles": []},
                             "admins": {"names": [], "roles": ["_admin"]}})
        else:
            self.document(path)

    def information(self):
        with self.hub.condition:
            database = self.hub.database
            dead = [t for t in database.trees.values() if t.nodes[t.leaves()[0]][1]]
            body = {"instance_start_time": "0", "db_name": NAME,
                    "purge_seq": database.update_seq(), "update_seq": database.update_seq(),
                    "sizes": {"file": 66784, "external": 4096, "active": 8192}, "props": {},
                    "doc_del_count": len(dead), "doc_count": len(database.trees) - len(dead),
                    "disk_format_version": 8, "compact_running": False,
                    "cluster": {"q": 2, "n": 3, "w": 2, "r": 2}}
        self.reply(200, body)

    # -- documents --

    def written(self):
        return 202 if self.hub.missed else 201

    def bulk_docs(self, name, body):
        hub, refused, taken = self.hub, [], []
        if body.get("new_edits", True):
            self.error(400, "bad_request", "this hub takes replicated revisions only")
            return
        for doc in body["docs"]:
            if len(json.dumps(doc)) > hub.max_document_size:
                self.error(413, "document_too_large", doc["_id"])
                return
        with hub.condition:
            for doc in body["docs"]:
                why = hub.planned_row("_bulk_docs", doc["_id"])
                reason = hub.validate and hub.validate(doc, name)
                if reason:
                    why = ("forbidden", reason)
                if why:
                    refused.append({"id": doc["_id"], "rev": doc["_rev"], "error": why[0],
                                    "reason": why[1]})
                else:
                    taken.append(doc)
            if hub.database.put(taken):
                hub.condition.notify_all()
        self.reply(self.written(), refused)

    def revs_diff(self, body):
        out = {}
        with self.hub.condition:
            for doc_id, revs in body.items():
                tree = self.hub.database.trees.get(doc_id) or Tree()
                missing = [rev for rev in revs if parse_rev(rev) not in tree.nodes]
                older = [f"{g}-{n}" for g, n in tree.leaves()
                         if missing and g < max(parse_rev(rev)[0] for rev in missing)]
                if missing:
                    out[doc_id] = {"missing": missing,
                                   **({"possible_ancestors": older} if older else {})}
        self.reply(200, out)

    def opened(self, doc_id, rev, latest):
        """Documents at or, with latest, below a revision."""
        tree = self.hub.database.trees.get(doc_id)
        if not tree or parse_rev(rev) not in tree.nodes:
            return []
        found = tree.below(parse_rev(rev)) if latest else [parse_rev(rev)]
        return [tree.document(doc_id, one) for one in found if tree.nodes[one][2] is not None]

    def bulk_get(self, name, body):
        results, latest = [], self.query.get("latest") == "true"
        with self.hub.condition:
            for entry in body["docs"]:
                doc_id, rev = entry["id"], entry["rev"]
                self.hub.fetched.append((name, doc_id, rev))
                why = self.hub.planned_row("_bulk_get", doc_id)
                docs = [] if why else self.opened(doc_id, rev, latest)
                error = dict(zip(("error", "reason"), why or MISSING[1:]))
                results.append({"id": doc_id, "docs": [{"ok": doc} for doc in docs] or
                                [{"error": {"id": doc_id, "rev": rev, **error}}]})
        self.begin(200)
        self.chunk('{"results": [')
        for i, result in enumerate(results):
            self.chunk(("," if i else "") + json.dumps(result))
        self.chunk("]}")
        self.end()

    def document(self, doc_id):
        with self.hub.condition:
            tree = self.hub.database.trees.get(doc_id)
            wanted = self.query.get("open_revs")
            revs = tree.leaves() if tree else []
            if wanted and wanted != "all":
                rows = [[{"ok": doc} for doc in self.opened(
                    doc_id, rev, self.query.get("latest") == "true")] or [{"missing": rev}]
                    for rev in json.loads(wanted)]
                rows = [row for some in rows for row in some]
            else:
                rows = [{"ok": tree.document(doc_id, rev)} for rev in revs]
        if not rows:
            self.error(*MISSING)
        elif wanted:
            self.reply(200, rows)
        elif rows[0]["ok"].get("_deleted"):
            self.error(404, "not_found", "deleted")
        else:
            self.reply(200, rows[0]["ok"])

    def checkpoint(self, doc_id, body):
        with self.hub.condition:
            known = self.hub.database.local.get(doc_id)
            if self.command == "PUT":
                number = int(known["_rev"][2:]) + 1 if known else 1
                known = dict(body, _id=doc_id, _rev=f"0-{number}")
                self.hub.database.local[doc_id] = known
        if self.command == "PUT":
            self.reply(self.written(), {"ok": True, "id": doc_id, "rev": known["_rev"]})
        elif known:
            self.reply(200, known)
        else:
            self.error(*MISSING)

    # -- the feed --

    def changes(self):
        hub, live = self.hub, self.query.get("feed") == "longpoll"
        limit = max(1, int(self.query.get("limit", 1 << 30)))
        beat = int(self.query.get("heartbeat", 60000)) / 1000
        try:
            with hub.condition:
                rows, last, pending = hub.database.changes(self.query.get("since", "0"), limit)
        except Malformed:
            self.error(400, "bad_request", "Malformed sequence supplied in 'since' parameter.")
            return
        self.begin(200)
        self.chunk('{"results":[\n')
        if live:
            self.chunk("\n")  # waiting_for_updates
        while live and not rows and not hub.stopped.is_set():
            with hub.condition:
                hub.condition.wait(beat)
            self.chunk("\n")  # a heartbeat, or the first sign of an update
            with hub.condition:
                if hub.database is None:
                    raise Aborted
                rows, last, pending = hub.database.changes(last, limit)
        self.send_rows(rows)
        self.chunk('\n],\n"last_seq":%s,"pending":%s}\n' % (
            json.dumps(last), "null" if hub.database.null_seqs else pending))
        self.end()

    def send_rows(self, rows):
        for i, row in enumerate(rows):
            text = (",\r\n" if i else "") + json.dumps(row, separators=(",", ":"))
            if self.cut and i >= self.cut.rows:
                self.chunk(text[:len(text) // 2])
                if self.cut.clean:
                    self.chunk('\n{"code":500,"error":"timeout","reason":"The request could not be '
                               'processed in a reasonable amount of time."}\n')
                    self.end()
                raise Aborted
            self.chunk(text)
            if self.hub.slow:
                self.chunk("\n")
