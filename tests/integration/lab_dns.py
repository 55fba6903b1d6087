"""Real name servers (BIND's named) for the laboratory: zones that take RFC 2136 updates with TSIG.

A primary answers for its zones, sends what it does not know to a forwarder (so it can be the
`resolver` of certmgr and Pebble's -dnsserver), and tells its secondaries about changes. All servers
of a zone listen on the same port of different loopback addresses: the lab setting `dns_port`.
"""

import base64
import hashlib
import socket
import threading
from pathlib import Path

from lab import LabError, Process, run, wait_for


def _name_at(message, at):
    """(name, what comes after it); pointers are followed (RFC 1035 4.1.4)."""
    labels, after = [], None
    while message[at]:
        if message[at] >= 0xc0:
            after = after or at + 2
            at = int.from_bytes(message[at:at + 2], "big") & 0x3fff
        else:
            labels.append(message[at + 1:at + 1 + message[at]].decode())
            at += 1 + message[at]
    return ".".join(labels), after or at + 1


def changes_of(message):
    """[(class, name, text)] of the TXT records that an UPDATE (opcode 5) sets ("IN") or takes away
    ("NONE"), in its order; of other messages none (RFC 2136 2)."""
    out = []
    if message[2] >> 3 & 15 != 5:
        return out
    at = _name_at(message, 12)[1] + 4
    for _ in range(sum(int.from_bytes(message[n:n + 2], "big") for n in (6, 8))):
        name, at = _name_at(message, at)
        kind, klass = (int.from_bytes(message[n:n + 2], "big") for n in (at, at + 2))
        data = message[at + 10:at + 10 + int.from_bytes(message[at + 8:at + 10], "big")]
        at += 10 + len(data)
        if kind == 16 and klass in (1, 254):
            out.append(("IN" if klass == 1 else "NONE", name, data[1:].decode()))
    return out


class Relay:
    """Passes DNS at address:port (UDP and TCP) to 127.0.0.1:to, one question at a time.

    fate(message) decides what becomes of a question: None, "unreached" (dropped) or "lost" (passed
    on, the answer dropped).  alter(answer, udp) gives what is answered."""

    def __init__(self, address, port, to):
        self.to, self.stopped = ("127.0.0.1", to), False
        self.fate = lambda message: None
        self.alter = lambda answer, udp: answer
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for s in (self.udp, self.tcp):
            s.bind((address, port))
            s.settimeout(0.2)
        self.tcp.listen(16)
        self.threads = [threading.Thread(target=self._datagrams, daemon=True),
                        threading.Thread(target=self._connections, daemon=True)]
        for thread in self.threads:
            thread.start()

    def _datagrams(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.connect(self.to)
            back.settimeout(2)
            while not self.stopped:
                try:
                    question, client = self.udp.recvfrom(65535)
                    fate = self.fate(question)
                    if fate == "unreached":
                        continue
                    back.send(question)
                    answer = back.recv(65535)
                    while answer[:2] != question[:2]:  # late, of a question before
                        answer = back.recv(65535)
                    if fate != "lost":
                        self.udp.sendto(self.alter(answer, True), client)
                except OSError:
                    continue

    @staticmethod
    def _message(stream):
        size = int.from_bytes(stream.read(2), "big")
        return stream.read(size) if size else b""

    def _connections(self):
        while not self.stopped:
            try:
                front, _ = self.tcp.accept()
                front.settimeout(2)
                with front, front.makefile("rb") as questions, \
                        socket.create_connection(self.to, timeout=2) as back, \
                        back.makefile("rb") as answers:
                    while question := self._message(questions):
                        fate = self.fate(question)
                        if fate == "unreached":
                            break
                        back.sendall(len(question).to_bytes(2, "big") + question)
                        answer = self._message(answers)
                        if fate == "lost":
                            break
                        answer = self.alter(answer, False)
                        front.sendall(len(answer).to_bytes(2, "big") + answer)
            except OSError:
                continue

    def stop(self):
        self.stopped = True
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()


class Named:
    """One named in a directory of its own; stopped by pid.

    Primary:    Named(dir, "127.0.0.1", 5400, zones=["example.test"]).start()
    Secondary:  Named(dir, "127.0.0.41", 5400, primary=that_one, name="secondary").start(), and the
                primary is made with secondaries=["127.0.0.41"], so that NS and NOTIFY name it.

    named binds only addresses that an interface has. Any but 127.0.0.1 are therefore answered by a
    relay in this process, for a named on 127.0.0.1 at the port after (5401; n-th secondary 5401+n).
    """

    def __init__(self, directory, address, port, zones=(), secondaries=(), primary=None,
                 name="named", key_name="certmgr", algorithm="hmac-sha256", forwarder=None,
                 notify=True, refresh=3600, records="", other_keys=(), denied=()):
        self.root = Path(directory) / name
        self.name, self.address, self.port = name, address, port
        self.primary, self.secondaries = primary, list(secondaries)
        self.zones = list(primary.zones if primary else zones)
        self.key_name, self.algorithm = key_name, algorithm
        self.secret = self.make_secret(key_name)
        self.keys = [(key_name, algorithm, self.secret)]
        self.keys += [(other, kind, self.make_secret(other)) for other, kind in other_keys]
        self.forwarder, self.notify, self.refresh = forwarder, notify, refresh
        self.records = records  # more lines of every zone
        self.denied = denied  # names that the first key may not change, with a dot at the end
        self.process = self.relay = None
        self.own_port = port
        if primary:
            self.own_port = primary.own_port + 1 + primary.secondaries.index(address)
        elif address != "127.0.0.1":
            self.own_port = port + 1

    @staticmethod
    def make_secret(name):
        """The TSIG secret of a key, base64: the same for the same name, so tests can repeat."""
        return base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()

    @property
    def server(self):
        """"address:port", as the settings `resolver` and `server` want it."""
        return f"{self.address}:{self.port}"

    def _zone_text(self, zone):
        servers = [self.address, *self.secondaries]
        lines = ["$TTL 5", f"@ SOA ns1.{zone}. hostmaster.{zone}. 1 {self.refresh} 1 3600 1"]
        for n, address in enumerate(servers, 1):
            lines += [f"@ NS ns{n}.{zone}.", f"ns{n} A {address}"]
        return "\n".join(lines) + "\n" + self.records

    def _zone_config(self, n, zone):
        file = self.root / f"zone{n}.db"
        if self.primary:
            source = f"127.0.0.1 port {self.primary.own_port}"
            return (f'zone "{zone}" {{ type secondary; file "{file}"; '
                    f"primaries {{ {source}; }}; min-refresh-time 1; min-retry-time 1; }};\n")
        file.write_text(self._zone_text(zone))
        told = "".join(f"127.0.0.1 port {self.own_port + 1 + n}; "
                       for n in range(len(self.secondaries)))
        keys = "".join(f'key "{name}"; ' for name, _, _ in self.keys)
        allowed = f"allow-update {{ {keys}}};"
        if self.denied:
            deny = "".join(f"deny {self.key_name} name {name} ANY; " for name in self.denied)
            allowed = f"update-policy {{ {deny}grant {self.key_name} zonesub ANY; }};"
        notify = f"notify explicit; also-notify {{ {told}}}; notify-delay 0; " \
            if told and self.notify else "notify no; "
        return (f'zone "{zone}" {{ type primary; file "{file}"; {allowed} '
                f"allow-transfer {{ any; }}; {notify}}};\n")

    def _config(self):
        d = self.root
        text = "".join(f'key "{name}" {{ algorithm {kind}; secret "{secret}"; }};\n'
                       for name, kind, secret in self.keys)
        forward = "recursion no;"
        if self.forwarder:
            host, port = self.forwarder.rsplit(":", 1)
            forward = (f"recursion yes; allow-recursion {{ any; }}; forward only; "
                       f"forwarders {{ {host} port {port}; }};")
        text += f"""options {{
    directory "{d}"; pid-file "{d}/named.pid"; session-keyfile "{d}/session.key";
    managed-keys-directory "{d}"; lock-file none; dnssec-validation no; empty-zones-enable no;
    listen-on port {self.own_port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    startup-notify-rate 1000; notify-rate 1000;
    serial-query-rate 1000; allow-query {{ any; }}; {forward}
}};
controls {{ }};
"""
        return text + "".join(self._zone_config(n, z) for n, z in enumerate(self.zones))

    def start(self):
        self.root.mkdir(parents=True, exist_ok=True)
        config = self.root / "named.conf"
        config.write_text(self._config())
        self.process = Process(self.name, ["named", "-g", "-n", "1", "-c", config],
                               self.root).start()
        if self.address != "127.0.0.1":
            self.relay = Relay(self.address, self.port, self.own_port)
        wait_for(f"{self.name} to answer", self._up)
        return self

    def _up(self):
        if not self.process.running():
            raise LabError(f"{self.name} ended at once:\n{self.process.tail(15)}")
        return all(self.serial(zone) is not None for zone in self.zones)

    def stop(self):
        if self.process:
            self.process.stop()
        if self.relay:
            self.relay.stop()
            self.relay = None

    def dig(self, name, kind="TXT", *options):
        """The data of the records this server has at a name, sorted; quotes of TXT removed. Nothing
        when it does not answer, however often it is asked."""
        try:
            out = run(["dig", f"@{self.address}", "-p", str(self.port), "+short", "+time=2",
                       "+tries=5", *options, name, kind])
        except LabError:
            return []
        return sorted(line.strip().strip('"') for line in out.splitlines()
                      if line and not line.startswith(";"))

    def serial(self, zone):
        """The zone's serial at this server, or None when it does not answer for it."""
        found = self.dig(zone, "SOA", "+norecurse", "+tries=1")
        return int(found[0].split()[2]) if found and len(found[0].split()) == 7 else None

    def notify_of(self, zone):
        """Tells this secondary, as its primary would, that a zone has changed (RFC 1996)."""
        name = b"".join(bytes((len(part),)) + part.encode() for part in zone.split("."))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to:
            to.settimeout(5)
            to.connect(("127.0.0.1", self.own_port))
            for _ in range(12):
                to.send(bytes.fromhex("4e4f 2400 0001 0000 0000 0000") + name + b"\0\0\6\0\1")
                try:
                    if to.recv(512)[3] & 15 == 0:
                        return
                except TimeoutError:
                    pass
        raise LabError(f"{self.name} does not take the notice of {zone}")

    def updates(self):
        """(messages, changes of records) that its log tells of: certmgr takes a port for each."""
        lines = (self.root / f"{self.name}.log").read_text(errors="replace").splitlines()
        changes = [line for line in lines if "adding an RR" in line or "deleting an RR" in line]
        return len({line.split("/key ")[0].split()[-1] for line in changes}), len(changes)

    def update(self, *lines):
        """nsupdate with the first key: "add name 60 TXT text", "delete name TXT"."""
        file = self.root / "update.txt"
        file.write_text(f"server {self.address} {self.port}\n" +
                        "".join(f"update {line}\n" for line in lines) + "send\n")
        run(["nsupdate", "-y", f"{self.algorithm}:{self.key_name}:{self.secret}", file])
