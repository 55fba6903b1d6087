"""An OCSP responder (RFC 6960) of the fake CA that hears of certificates late, as JPRS's does.

    responder = Responder(directory, port, issuer).start()
    case.ocsp = responder.url              # leaves name it
    responder.late = 2.0                   # seconds from the first question about a certificate on
                                           # which it is "unknown"; None = for ever
    responder.revoked.add(serial)          # upper-case hexadecimal, as openssl writes it
    responder.fault = "unauthorized"       # or "tryLater", "broken", "huge", "error": instead of an
                                           # answer
    responder.slow = 0.5                   # seconds before each reply
    responder.asked                        # [(seconds since start, serial, answer)…]

The openssl tool makes the answers. Standard library only.
"""

import http.server
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path


# OCSPResponse of a status and nothing else (RFC 6960 4.2.1), and what is none.
FAULTS = {"unauthorized": (200, b"\x30\x03\x0a\x01\x06"), "tryLater": (200, b"\x30\x03\x0a\x01\x03"),
          "broken": (200, b"\x30\x82\x01\x00\x0a\x01"), "huge": (200, b"\x30" * (1 << 20)),
          "error": (503, b"<html>busy</html>")}


class Responder:
    def __init__(self, directory, port, issuer):
        self.directory, self.port, self.issuer = Path(directory), port, issuer
        self.directory.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{port}/"
        self.late, self.slow, self.fault = 0.0, 0.0, None
        self.revoked, self.first, self.asked = set(), {}, []
        self.began = time.monotonic()
        self.lock = threading.Lock()
        self.server = None

    def state_of(self, serial):
        now = time.monotonic()
        first = self.first.setdefault(serial, now)
        if serial in self.revoked:
            return "revoked"
        return "unknown" if self.late is None or now - first < self.late else "good"

    def index(self, serial, state):
        """One line of openssl's CA data base; a certificate that is not in it is unknown."""
        if state == "unknown":
            return ""
        flag, when = ("R", "250101000000Z,keyCompromise") if state == "revoked" else ("V", "")
        return f"{flag}\t491231235959Z\t{when}\t{serial}\tunknown\t/CN=leaf\n"

    def answer(self, question):
        with self.lock, tempfile.TemporaryDirectory(dir=self.directory) as scratch:
            d = Path(scratch)
            (d / "question").write_bytes(question)
            text = subprocess.run(["openssl", "ocsp", "-reqin", d / "question", "-req_text",
                                   "-noverify"], capture_output=True, text=True,
                                  check=False).stdout
            found = re.search(r"Serial Number: ([0-9A-Fa-f]+)", text)
            serial = found.group(1).upper() if found else ""
            state = self.state_of(serial)
            self.asked.append((time.monotonic() - self.began, serial, state))
            (d / "index").write_text(self.index(serial, state))
            subprocess.run(["openssl", "ocsp", "-index", d / "index", "-CA",
                            self.issuer.intermediate, "-rsigner", self.issuer.intermediate, "-rkey",
                            self.issuer.directory / "int.key", "-reqin", d / "question",
                            "-respout", d / "answer", "-nmin", "60"], capture_output=True,
                           check=True)
            return (d / "answer").read_bytes()

    def reply(self, question):
        fault = self.fault  # it may be taken away meanwhile
        if fault:
            with self.lock:
                self.asked.append((time.monotonic() - self.began, "", fault))
            return FAULTS[fault]
        return 200, self.answer(question)

    def start(self):
        responder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                question = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                time.sleep(responder.slow)
                status, body = responder.reply(question)
                self.send_response(status)
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
