"""Receivers of notices on loopback: a mail relay and a webhook. Standard library only."""

import base64
import email
import email.policy
import hashlib
import hmac
import http.server
import json
import socketserver
import threading
import time


class MailRelay(socketserver.ThreadingTCPServer):
    """Takes every mail (RFC 5321); with a TLS context from the first byte; with users after login."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port, context=None, users=None):
        self.mails, self.logins = [], []
        self.context, self.users = context, users
        super().__init__(("127.0.0.1", port), MailSession)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def get_request(self):
        sock, address = super().get_request()
        if self.context:
            sock = self.context.wrap_socket(sock, server_side=True)
        return sock, address

    def subjects(self):
        return [str(mail["Subject"]) for mail in self.mails]

    def stop(self):
        self.shutdown()
        self.server_close()


class MailSession(socketserver.StreamRequestHandler):
    timeout = 20

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def line(self):
        return self.rfile.readline(4096).decode("ascii").rstrip("\r\n")

    def handle(self):
        self.say("220 relay.example ready")
        recipients, known = [], not self.server.users
        while line := self.line():
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb == "EHLO":
                self.say("250-relay.example")
                self.say("250 AUTH PLAIN" if self.server.users else "250 8BITMIME")
            elif verb == "AUTH":
                words = line.split(" ")
                if len(words) < 3:
                    self.say("334 ")
                    words.append(self.line())
                _, user, password = base64.b64decode(words[2]).decode().split("\0")
                known = (self.server.users or {}).get(user) == password
                self.server.logins.append((user, known))
                self.say("235 in" if known else "535 5.7.8 wrong user or password")
            elif verb == "MAIL" and not known:
                self.say("530 5.7.0 log in first")
            elif verb == "RCPT":
                recipients.append(line[line.index("<") + 1:line.index(">")])
                self.say("250 fine")
            elif verb == "DATA":
                self.say("354 go")
                self.take(recipients)
                self.say("250 taken")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 fine")

    def take(self, recipients):
        data = b""
        while (line := self.rfile.readline(4096)) not in (b".\r\n", b""):
            data += line[1:] if line.startswith(b".") else line
        mail = email.message_from_bytes(data, policy=email.policy.default)
        mail.recipients = list(recipients)
        mail.words = next(p for p in mail.walk() if p.get_content_type() == "text/plain").get_content()
        self.server.mails.append(mail)


class Webhook(http.server.ThreadingHTTPServer):
    """Takes POSTs whose signature is right; `status` is what it answers."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port, secret):
        self.secret, self.status = secret, 204
        self.messages, self.refused, self.posts = [], [], 0
        super().__init__(("127.0.0.1", port), WebhookPost)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def events(self, kind=None):
        """(event, kind, title) of all messages, in order."""
        return [(e["event"], e["kind"], e["title"]) for m in self.messages for e in m["events"]
                if kind in (None, e["kind"])]

    def stop(self):
        self.shutdown()
        self.server_close()


class WebhookPost(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fields = dict(part.split("=", 1) for part in self.headers["CertMgr-Signature"].split(","))
        mac = hmac.new(self.server.secret.encode(), fields["t"].encode() + b"." + body,
                       hashlib.sha256).hexdigest()
        fresh = abs(time.time() - int(fields["t"])) < 60
        self.server.posts += 1
        if not fresh or not hmac.compare_digest(mac, fields["v1"]):
            self.server.refused.append(body)
        elif self.server.status < 300:
            self.server.messages.append(json.loads(body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass
