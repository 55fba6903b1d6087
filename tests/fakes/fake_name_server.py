"""The name server of a fake DNS provider: shows TXT values as late as the provider says."""

import ipaddress
import socketserver
import struct
import threading

A, NS, SOA, TXT = 1, 2, 6, 16
AUTHORITATIVE = 0x8480  # answer, AA, and RA: who asks it as a resolver gets what there is


def wire(name):
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label) + b"\0"


class NameServer(socketserver.ThreadingUDPServer):
    """Authoritative for zones over UDP; values(name) gives the TXT values that are shown by now."""

    allow_reuse_address = False
    daemon_threads = True

    def __init__(self, address, port, zones, values):
        self.address, self.zones, self.values = address, sorted(zones, key=len, reverse=True), values
        super().__init__((address, port), Question)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()

    def soa(self, zone):
        data = wire(f"ns1.{zone}") + wire(f"hostmaster.{zone}") + struct.pack("!5I", 1, 60, 60, 600, 1)
        return self.record(zone, SOA, data)

    @staticmethod
    def record(name, kind, data):
        return wire(name) + struct.pack("!HHIH", kind, 1, 1, len(data)) + data

    def answer(self, name, kind):
        """(code, answers, authority)"""
        zone = next((z for z in self.zones if f".{name}".endswith(f".{z}")), None)
        if zone is None:
            return 3, [], []
        values = self.values(name) if kind == TXT else []
        if values:
            return 0, [self.record(name, TXT, bytes((len(v),)) + v.encode()) for v in values], []
        if name == zone and kind == SOA:
            return 0, [self.soa(zone)], []
        if name == zone and kind == NS:
            return 0, [self.record(zone, NS, wire(f"ns1.{zone}"))], []
        if name == f"ns1.{zone}" and kind == A:
            return 0, [self.record(name, A, ipaddress.ip_address(self.address).packed)], []
        return 0 if name in (zone, f"ns1.{zone}") else 3, [], [self.soa(zone)]


class Question(socketserver.BaseRequestHandler):
    def handle(self):
        message, answer_to = self.request
        at, labels = 12, []
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]].decode("ascii", "replace"))
            at += 1 + message[at]
        kind = int.from_bytes(message[at + 1:at + 3], "big")
        code, answers, authority = self.server.answer(".".join(labels).lower(), kind)
        head = struct.pack("!HHHHHH", int.from_bytes(message[:2], "big"), AUTHORITATIVE | code, 1,
                           len(answers), len(authority), 0)
        answer_to.sendto(head + message[12:at + 5] + b"".join(answers + authority),
                         self.client_address)
