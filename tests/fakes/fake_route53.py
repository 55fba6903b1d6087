"""Route 53, as far as a TXT record needs it: checks every signature, keeps sets, syncs late."""

import hashlib
import hmac
import threading
import xml.etree.ElementTree as ET
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NS = "{https://route53.amazonaws.com/doc/2013-04-01/}"
HEAD = '<?xml version="1.0"?>\n'


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class FakeRoute53:
    def __init__(self, address, port):
        self.sets = {}  # name -> [ttl, values]
        self.polls_until_sync, self.polls, self.throttle, self.log = 2, 0, 0, []
        self.routing = set()  # names with a routing policy
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, text = fake.handle(self.command, self.path, self.headers, body)
                data = (HEAD + text).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = handle_any

        self.server = ThreadingHTTPServer((address, port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    @staticmethod
    def error(status, code, message):
        return status, (f"<ErrorResponse><Error><Code>{code}</Code><Message>{escape(message)}"
                        "</Message></Error></ErrorResponse>")

    @staticmethod
    def signed(method, path, headers, body):
        parts = urlsplit(path)
        date = headers["X-Amz-Date"]
        scope = f"{date[:8]}/us-east-1/route53/aws4_request"
        canonical = "\n".join([method, parts.path, parts.query, "host:" + headers["Host"],
                               "x-amz-date:" + date, "", "host;x-amz-date",
                               hashlib.sha256(body).hexdigest()])
        text = "\n".join(["AWS4-HMAC-SHA256", date, scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + SECRET).encode()
        for part in scope.split("/"):
            key = digest(key, part)
        return (f"AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope}, SignedHeaders=host;x-amz-date, "
                f"Signature={digest(key, text).hex()}")

    def handle(self, method, path, headers, body):
        self.log.append((method, path, body.decode()))
        if headers.get("Authorization") != self.signed(method, path, headers, body):
            return self.error(403, "SignatureDoesNotMatch", "signatures differ")
        if self.throttle:
            self.throttle -= 1
            return self.error(400, "Throttling", "Rate exceeded")
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query))
        if parts.path.endswith("/hostedzonesbyname"):
            zones = "".join(f"<HostedZone><Id>/hostedzone/{i}</Id><Name>{n}.</Name><Config>"
                            f"<PrivateZone>{p}</PrivateZone></Config></HostedZone>"
                            for i, n, p in (("ZPRIVATE", "example.com", "true"),
                                            ("ZPUBLIC1", "example.com", "false")))
            return 200, f"<R><HostedZones>{zones}</HostedZones><DNSName>{query['dnsname']}</DNSName></R>"
        if "/change/" in parts.path:
            self.polls += 1
            return 200, self.change("INSYNC" if self.polls >= self.polls_until_sync else "PENDING")
        if "/ZPUBLIC1/" not in parts.path:
            return self.error(404, "NoSuchHostedZone", "no such zone")
        return self.list(query) if method == "GET" else self.write(body)

    @staticmethod
    def change(status):
        return (f"<R><ChangeInfo><Id>/change/C1</Id><Status>{status}</Status></ChangeInfo></R>")

    def list(self, query):
        found = self.sets.get(query["name"])
        if found is None:
            return 200, "<R><ResourceRecordSets/></R>"
        values = "".join(f"<ResourceRecord><Value>{escape(v)}</Value></ResourceRecord>"
                         for v in found[1])
        policy = "<SetIdentifier>a</SetIdentifier>" if query["name"] in self.routing else ""
        return 200, (f"<R><ResourceRecordSets><ResourceRecordSet><Name>{query['name']}</Name>"
                     f"<Type>TXT</Type>{policy}<TTL>{found[0]}</TTL><ResourceRecords>{values}"
                     "</ResourceRecords></ResourceRecordSet></ResourceRecordSets></R>")

    def write(self, body):
        change = ET.fromstring(body).find(f"{NS}ChangeBatch/{NS}Changes/{NS}Change")
        one = change.find(NS + "ResourceRecordSet")
        name, ttl = one.find(NS + "Name").text, int(one.find(NS + "TTL").text)
        values = [v.text for v in one.iter(NS + "Value")]
        self.polls = 0
        if change.find(NS + "Action").text == "DELETE":
            if self.sets.get(name) != [ttl, values]:
                return self.error(400, "InvalidChangeBatch", "the set is another one")
            del self.sets[name]
        else:
            self.sets[name] = [ttl, values]
        return 200, self.change("PENDING")
