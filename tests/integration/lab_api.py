"""The two ways to the REST API: over TLS as a browser's session, and the Unix socket of the server."""

import http.client
import json
import socket
import urllib.request


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers = status, headers
        self.media = (headers.get("Content-Type") or "").split(";")[0]
        self.json = json.loads(body) if self.media.endswith("json") else None


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def send_tls(browser, method, path, body, headers):
    request = urllib.request.Request(browser.base + path, body, headers, method=method)
    page = browser._open(request)
    return Reply(page.status, page.headers, page.text)


def send_unix(server, method, path, body, headers):
    connection = UnixConnection(server.root / "run/certmgr/certmgr.sock")
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    result = Reply(reply.status, reply.headers, reply.read())
    connection.close()
    return result
