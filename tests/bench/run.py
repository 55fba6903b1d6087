#!/usr/bin/env python3
"""The benchmark: CertMgr, its peers and a bare driver side by side, one table at the end.

See README.md. Bounded in count and time, loopback only, nothing is left behind. No verdict: it
measures, people judge.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import challenge  # noqa: E402
import curve  # noqa: E402
import dns  # noqa: E402
import ours  # noqa: E402
import peers  # noqa: E402
from measure import Cpu, Memory, spread  # noqa: E402
from ours import lab  # noqa: E402

BASE = 61000  # above the ports that the system gives to clients; Pebble takes base … base + 55
PROXY_PORT = 61090
HTTP_PORT = 5180
NET = 121  # 127.0.0.NET …: our servers; the webroot of the others is one below
CELL_TIMEOUT = 300
BESIDE = "CertMgr, two servers deploying beside it"


class Bench:
    def __init__(self, args):
        self.args = args
        self.directory = Path(tempfile.mkdtemp(prefix="certmgr-bench-"))
        self.directory.chmod(0o755)
        self.rows = []  # (section, who, {column: [values]})
        self.bare = peers.build_bare(self.directory)

    # -- rows --

    def note(self, section, who, **values):
        for row in self.rows:
            if row[0] == section and row[1] == who:
                break
        else:
            row = (section, who, {})
            self.rows.append(row)
        for column, value in values.items():
            row[2].setdefault(column, []).append(value)
        shown = ", ".join(f"{k} {v:.2f}" for k, v in values.items() if v is not None)
        print(f"  {section} · {who}: {shown}", flush=True)

    # -- who runs --

    def pebble(self, env=None):
        directory = self.directory / "ca"
        shutil.rmtree(directory, ignore_errors=True)
        return lab.Pebble(directory, HTTP_PORT, BASE, dict(ours.CA_ENV, **(env or {}))
                          ).start(f"127.0.0.{NET - 1}")

    def webroot(self):
        directory = self.directory / "webroot"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        directory.chmod(0o755)
        return peers.Webroot(directory, f"127.0.0.{NET - 1}", HTTP_PORT).start()

    def run_ours(self, section, orders, who="CertMgr", deploy=False, self_check=True, env=None,
                 delay=0, named=None):
        """deploy: the two other servers run beside the manager; else they have been stopped."""
        proxy, url = None, None
        if delay:
            proxy, url = self.proxy(delay), f"https://127.0.0.1:{PROXY_PORT}/dir"
        fleet = ours.Fleet(NET, BASE, HTTP_PORT, self_check=self_check, env=env, directory_url=url,
                           certmgr=self.args.certmgr, named=named)
        try:
            fleet.start()
            fleet.warm()
            if not deploy:
                fleet.stop_holders()
            groups = fleet.pids()
            seen = ours.requests_seen(fleet.pebble)
            asked = named.counts() if named else (0, 0)
            memory = Memory({k: groups[k] for k in ("manager", "servers")})
            memory.start()
            cpu = Cpu(groups)
            begun = time.time()
            credentials = fleet.submit_all(orders)
            fleet.wait_idle(CELL_TIMEOUT)
            if named:
                named.wait_clean()  # values go after their order's end
            manager = cpu.spent()["manager"]
            deployed = None
            if deploy:
                fleet.wait_files(len(orders) + 1)
                deployed = time.time() - begun
            spent = cpu.spent()
            memory.stop()
            count = len(orders)
            requests = ours.requests_seen(fleet.pebble) - seen
            issued = [ours.time_of(v["credential"]["issued_at"]) for v in fleet.views(credentials)]
            wall = max(issued) - begun
            self.note(section, who, count=count, wall=wall, rate=count / wall, deployed=deployed,
                      manager_ms=1000 * manager / count,
                      cpu_ms=1000 * (spent["manager"] + spent["servers"]) / count,
                      requests=requests / count, manager_rss=memory.rss["manager"],
                      manager_pss=memory.pss["manager"], rss=sum(memory.rss.values()),
                      pss=sum(memory.pss.values()), ca_ms=1000 * spent["ca"] / count)
            if named:
                self.note_dns(section, who, named, asked, count)
            if section == "growth":
                self.note(section, who, open=fleet.open)
        finally:
            fleet.stop()
            if proxy:
                proxy.stop()

    def proxy(self, delay):
        process = lab.Process("proxy", [sys.executable, HERE / "proxy.py", PROXY_PORT, BASE, delay],
                              self.directory).start()
        lab.wait_for("the proxy", lambda: lab.port_open("127.0.0.1", PROXY_PORT))
        return process

    def run_bare(self, section, count, in_flight, names=1, env=None, delay=0):
        pebble, webroot = self.pebble(env), self.webroot()
        proxy = self.proxy(delay) if delay else None
        try:
            url = f"https://127.0.0.1:{PROXY_PORT}/dir" if delay else None
            out = peers.bare(self.bare, pebble, webroot, count, in_flight, names, url)
            self.note(section, f"bare driver, {in_flight} in flight", count=count, wall=out["wall"],
                      rate=count / out["wall"], cpu_ms=1000 * out["cpu"] / count,
                      requests=out["requests"] / count, rss=out["rss"])
        finally:
            for process in (pebble, webroot, proxy):
                if process:
                    process.stop()

    def note_dns(self, section, who, named, before, count):
        """Messages that named got for each certificate, Pebble's own look-ups among them."""
        queries, updates = (now - then for now, then in zip(named.counts(), before))
        self.note(section, who, queries=queries / count, updates=updates / count,
                  left=named.left())

    def named(self):
        directory = self.directory / "named"
        shutil.rmtree(directory, ignore_errors=True)
        return dns.Counted(self.directory, f"127.0.0.1:{BASE + 53}").start()

    def run_dns(self, section, orders, who="CertMgr"):
        named = self.named()
        try:
            self.run_ours(section, orders, who, named=named)
        finally:
            named.stop()

    def run_dns_peer(self, section, name, count):
        named = self.named()
        directory = self.directory / "ca"
        shutil.rmtree(directory, ignore_errors=True)
        pebble = lab.Pebble(directory, HTTP_PORT, BASE, dict(ours.CA_ENV))
        try:
            pebble.start(f"127.0.0.{NET - 1}", dns_server=named.server)
            peer = dns.make(name, self.directory, pebble, named)
            asked = named.counts()
            out = peer.run(1, count, peer.lanes)
            who = f"{name}, {peer.lanes} at a time"
            if out["issued"] < count:
                print(f"  {name}: only {out['issued']} of {count} certificates")
            issued = max(out["issued"], 1)
            self.note(section, who, count=out["issued"], wall=out["wall"],
                      rate=out["issued"] / out["wall"], cpu_ms=1000 * out["cpu"] / issued,
                      rss=out["rss"], pss=out["pss"])
            self.note_dns(section, who, named, asked, issued)
        finally:
            pebble.stop()
            named.stop()

    def run_peer(self, section, name, count):
        pebble, webroot = self.pebble(), self.webroot()
        try:
            peer = peers.make(name, self.directory, pebble, webroot)
            seen = ours.requests_seen(pebble)
            out = peer.run(1, count, peer.lanes)
            if out["issued"] < count:
                print(f"  {name}: only {out['issued']} of {count} certificates")
            issued = max(out["issued"], 1)
            self.note(section, f"{name}, {peer.lanes} at a time", count=out["issued"],
                      wall=out["wall"], rate=out["issued"] / out["wall"],
                      cpu_ms=1000 * out["cpu"] / issued,
                      requests=(ours.requests_seen(pebble) - seen) / issued, rss=out["rss"],
                      pss=out["pss"])
        finally:
            pebble.stop()
            webroot.stop()

    # -- sections --

    def single(self):
        section = "100 certificates, one name each"
        self.run_bare(section, 100, 8)
        self.run_ours(section, names(100))
        self.run_ours(section, names(100), "CertMgr, no self-check", self_check=False)
        self.run_ours(section, names(100), BESIDE, deploy=True)
        if not self.args.no_peers:
            for name in peers.available():
                self.run_peer(section, name, 100)

    def thousand(self):
        section = "1,000 certificates, one name each"
        self.run_bare(section, 1000, 8)
        self.run_ours(section, names(1000))
        self.run_ours(section, names(1000), BESIDE, deploy=True)

    def san30(self):
        order = [[f"san{i}.bench.example" for i in range(30)]]
        for percent in (0, 5):
            section = f"one certificate, 30 names, {percent} % bad nonces"
            env = {"PEBBLE_WFE_NONCEREJECT": str(percent)}
            self.run_bare(section, 1, 1, 30, env)
            self.run_ours(section, order, env=env)

    def delay(self):
        section = "100 certificates, every reply held 50 ms"
        self.run_bare(section, 100, 100, delay=50)
        self.run_ours(section, names(100), delay=50)

    def dns(self):
        for count in self.args.counts:
            section = f"{count:,} certificates by DNS-01, one name each"
            self.run_dns(section, names(count, dns.ZONE))
            self.run_dns(section, names(count), "CertMgr, HTTP-01 on the same machine")
            for name in dns.available() if count == 100 and not self.args.no_peers else []:
                self.run_dns_peer(section, name, count)

    def growth(self):
        """How cost grows with certificates and with names."""
        for count, size in ((10, 1), (100, 1), (1000, 1), (10, 10), (10, 30)):
            who = f"{count:,} certificates of {size} name{'s' if size > 1 else ''}"
            self.run_ours("growth", grid(count, size), who)
            self.run_dns("growth", grid(count, size, dns.ZONE), who + ", DNS-01")

    def challenge(self):
        challenge.run(self, NET, BASE, HTTP_PORT)

    def curve(self):
        for holders in self.args.servers:
            curve.run(self, holders, NET, BASE, HTTP_PORT)

    # -- the table --

    def table(self):
        out = []
        section = None
        for row in self.rows:
            if row[0] != section:
                section = row[0]
                there = {c for other in self.rows if other[0] == section for c in other[2]}
                columns = [c for c in TITLES if c in there]
                out += ["", f"### {section}", "", "| | " + " | ".join(map(TITLES.get, columns)) + " |",
                        "|---" * (len(columns) + 1) + "|"]
            cells = [spread(row[2].get(c, []), form_of(c)) for c in columns]
            out.append(f"| {row[1]} | " + " | ".join(cells) + " |")
        return "\n".join(out)


# What may stand in a row, in this order.
TITLES = {"wall": "wall s", "rate": "certificates/s", "deployed": "files on all servers s",
          "manager_ms": "CPU ms each, manager",
          "cpu_ms": "CPU ms each, all", "ca_ms": "CPU ms each, CA", "requests": "requests each",
          "queries": "DNS queries each", "updates": "DNS updates each",
          "left": "TXT values left", "open": "orders open at most",
          "manager_rss": "Rss MB, manager", "manager_pss": "Pss MB, manager",
          "rss": "Rss MB, all", "pss": "Pss MB, all", "us": "server CPU us/request",
          "per_s": "requests/s", "first_in_place": "first server has the files",
          "last_in_place": "last has them", "last_served": "last serves",
          "last_reported": "manager knows"}


def form_of(column):
    return {"wall": "{:.3f}", "rss": "{:.0f}", "pss": "{:.0f}", "manager_rss": "{:.0f}",
            "manager_pss": "{:.0f}", "left": "{:.0f}", "open": "{:.0f}", "rate": "{:.0f}", "per_s": "{:.0f}"}.get(column, "{:.2f}")


def names(count, domain="bench.example"):
    return [[f"n{i}.{domain}"] for i in range(count)]


def grid(count, size, domain="bench.example"):
    return [[f"g{i}-{k}.{domain}" for k in range(size)] for i in range(count)]


SECTIONS = ("single", "thousand", "san30", "delay", "challenge", "dns", "growth", "curve")


def machine():
    model = next((line.split(":", 1)[1].strip() for line in
                  Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
                 "?")
    load = ", ".join(f"{v:.1f}" for v in os.getloadavg())
    return f"{os.cpu_count()} processors ({model}), load {load}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION",
                        help=f"of {', '.join(SECTIONS)}; none: all but curve")
    parser.add_argument("--certmgr", default=lab.CERTMGR, type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--servers", type=lambda t: list(map(int, t.split(","))), default=[2, 10],
                        help="servers of the curve, such as 2,10,50")
    parser.add_argument("--counts", type=lambda t: list(map(int, t.split(","))),
                        default=[100, 1000], help="certificates of the section dns")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--json", type=Path, help="all single figures, for later comparison")
    args = parser.parse_args()
    unknown = [s for s in args.sections if s not in SECTIONS]
    if unknown:
        parser.error(f"unknown section: {unknown[0]}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends what was started, too
    bench = Bench(args)
    print(machine())
    try:
        for repetition in range(args.repeat):
            print(f"repetition {repetition + 1} of {args.repeat}", flush=True)
            for section in args.sections or SECTIONS[:-1]:
                getattr(bench, section)()
    finally:
        print(bench.table())
        print(f"\n{machine()}")
        if args.json:
            args.json.write_text(json.dumps(bench.rows, indent=1) + "\n")
        shutil.rmtree(bench.directory, ignore_errors=True)


if __name__ == "__main__":
    main()
