"""What one answer to a challenge costs: our listener beside nginx with a file of the same size."""

import selectors
import socket
import time

import ours
from measure import Cpu
from ours import lab

REQUESTS = 30000
CONNECTIONS = 16


def load(address, port, path, host, count=REQUESTS, connections=CONNECTIONS):
    """GETs over kept connections, one in flight on each; returns requests/s."""
    request = (f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\n\r\n").encode()
    selector = selectors.DefaultSelector()
    expected, sent, done = None, 0, 0
    begun = time.monotonic()
    for _ in range(connections):
        sock = socket.create_connection((address, port), timeout=5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(request)
        sent += 1
        selector.register(sock, selectors.EVENT_READ)
    while done < count:
        for key, _ in selector.select(5):
            data = key.fileobj.recv(65536)
            if expected is None and data.startswith(b"HTTP/1.1 200"):
                expected = len(data)  # small answers come in one piece
            if len(data) != expected:
                raise lab.LabError(f"{address}:{port} answered {data[:200]!r}")
            done += 1
            if sent < count:
                key.fileobj.sendall(request)
                sent += 1
    wall = time.monotonic() - begun
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    return count / wall


def live_token(fleet, host):
    """An order that stays at its self-check, because its host points where nobody answers: its
    challenge is published and live."""
    fleet.pebble.address(host, f"127.0.0.{250}")
    credential = fleet.submit_all([[host]])[0]

    def published():
        try:
            tokens = fleet.server["server-1"].document(f"challenge:{credential}")["tokens"]
        except OSError:
            return None
        return tokens[0] if tokens else None
    return lab.wait_for("a published challenge", published, 30)


def run(bench, net, base, http_port):
    section = "one answer to a challenge (16 kept connections)"
    fleet = ours.Fleet(net, base, http_port, certmgr=bench.args.certmgr)
    try:
        fleet.start()
        token = live_token(fleet, "held.bench.example")
        path = f"/.well-known/acme-challenge/{token['token']}"
        front = {"front": [fleet.manager.pid_of("front-process")]}
        load(fleet.manager.address, http_port, path, token["host"], 2000)
        cpu = Cpu(front)
        rate = load(fleet.manager.address, http_port, path, token["host"])
        bench.note(section, "CertMgr", us=1e6 * cpu.spent()["front"] / REQUESTS, per_s=rate)
    finally:
        fleet.stop()
    webroot = bench.webroot()
    try:
        (webroot.root / path[1:]).write_text(token["key_authorization"])
        load(webroot.address, http_port, path, token["host"], 2000)
        cpu = Cpu({"nginx": webroot.workers()})
        rate = load(webroot.address, http_port, path, token["host"])
        bench.note(section, "nginx, static file", us=1e6 * cpu.spent()["nginx"] / REQUESTS,
                   per_s=rate)
    finally:
        webroot.stop()
