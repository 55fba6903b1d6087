#!/usr/bin/env python3
"""The benchmark of store and replication: two of ours over mutual TLS with signed documents, beside
npm pouchdb-express-router. See README.md. No verdict: it measures, people judge."""

import argparse
import base64
import http.client
import json
import multiprocessing
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
from measure import Memory, cpu_of, spread  # noqa: E402

ADDRESS = "127.0.27.1"
PORT = 29100
DOCS = 10000
BATCH = 500
FEEDS = 1000
FLEETS = (100, 1000, 3000)  # servers whose feeds are parked when news comes
NEWS = 10
CLIENTS = (1, 4)  # that post at the same time, each one request after the other
IDLE_S = 10
LATENCY_DOCS = 100
LATENCY_EVERY_MS = 60
GROWTH = (1000, 10000, 100000)
PEERS = (1, 10, 50)
PEER_DOCS = 1000
PATIENCE_S = 300  # of a machine that has much else to do
INTEROP = ROOT / "tests/interop/node_modules/pouchdb-express-router"


class Server:
    """A server process that says when it listens; ended with the block."""

    def __init__(self, command, **env):
        self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **env})
        self.said = self.process.stdout.readline()
        if not self.said:
            raise RuntimeError(f"{command[0]} does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    def cpu(self):
        return cpu_of(self.process.pid)


class Bench:
    def __init__(self, args):
        self.args = args
        self.directory = Path(tempfile.mkdtemp(prefix="certmgr-repl-bench-"))
        self.rows, self.fleets = [], {}

    # -- rows, as run.py has them --

    def note(self, section, who, **values):
        row = next((r for r in self.rows if r[:2] == (section, who)), None)
        if not row:
            row = (section, who, {})
            self.rows.append(row)
        for column, value in values.items():
            row[2].setdefault(column, []).append(value)
        shown = ", ".join(f"{k} {v:.2f}" for k, v in values.items() if v is not None)
        print(f"  {section} · {who}: {shown}", flush=True)

    def table(self):
        out, section = [], None
        for row in self.rows:
            if row[0] != section:
                section = row[0]
                there = {c for other in self.rows if other[0] == section for c in other[2]}
                columns = [c for c in TITLES if c in there]
                out += ["", f"### {section}", "",
                        "| | " + " | ".join(TITLES[c][0] for c in columns) + " |",
                        "|---" * (len(columns) + 1) + "|"]
            cells = [spread(row[2].get(c, []), TITLES[c][1]) for c in columns]
            out.append(f"| {row[1]} | " + " | ".join(cells) + " |")
        return "\n".join(out)

    # -- who runs --

    def tool(self, *arguments):
        out = subprocess.run([str(self.args.repl_bench), *map(str, arguments)], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
        return [json.loads(line) for line in out.splitlines()]

    def fleet(self, count):
        """A fleet whose manager has so many documents; made once."""
        if count not in self.fleets:
            directory = self.directory / f"fleet-{count}"
            self.tool("fill", directory, count)
            self.fleets[count] = directory
        return self.fleets[count]

    def serve(self, directory, *more):
        return Server([self.args.repl_bench, "serve", directory, f"{ADDRESS}:{PORT}", *more])

    def pull(self, directory, url, count, *more):
        """One pull into a fresh store, removed afterwards; with MORE the store stays."""
        target = directory / "target"
        if not more:
            shutil.rmtree(target, ignore_errors=True)
        return self.tool("pull", directory, "target", url, count, *more)[-1]

    # -- sections --

    def pull_and_rerun(self, section, who, directory, server, url, count):
        before = server.cpu()
        out = self.pull(directory, url, count)
        if out["documents"] < count:
            raise RuntimeError(f"{who}: {out['documents']} of {count} documents")
        self.note(section, who, wall=out["wall"] / 1000, rate=count / out["wall"] * 1000,
                  target_us=1000 * out["cpu"] / count, source_us=1e6 * (server.cpu() - before) / count,
                  again=out["again"])

    def section_pull(self):
        section = f"{DOCS} signed documents of 4 KB pulled by ours"
        directory = self.fleet(DOCS)
        with self.serve(directory) as server:
            self.pull_and_rerun(section, "from ours, mutual TLS", directory, server,
                                f"https://{ADDRESS}:{PORT}/certstore", DOCS)
        if self.args.no_peers or not INTEROP.exists():
            return
        with self.router() as server:
            self.load_router(directory)
            self.pull_and_rerun(section, "from npm pouchdb-express-router, plain HTTP", directory,
                                server, f"http://{ADDRESS}:{PORT}/certstore", DOCS)

    def router(self):
        directory = self.directory / "router"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        return Server(["node", HERE / "express_router.mjs", ADDRESS, PORT, directory],
                      NODE_ENV="production")

    def load_router(self, directory):
        connection = http.client.HTTPConnection(ADDRESS, PORT, timeout=PATIENCE_S)
        post(connection, "PUT", "/certstore", b"")
        for line in self.bodies(directory, DOCS):
            post(connection, "POST", "/certstore/_bulk_docs", line)
        connection.close()

    def bodies(self, directory, count):
        path = directory / "bodies"
        self.tool("bodies", directory, count, path)
        return path.read_bytes().splitlines()

    def section_latency(self):
        section = "one document to a caught-up peer, put to durable"
        directory = self.directory / "fleet-latency"
        shutil.rmtree(directory, ignore_errors=True)
        self.tool("fill", directory, PEER_DOCS)
        with self.serve(directory):
            self.pull(directory, f"https://{ADDRESS}:{PORT}/certstore", PEER_DOCS)
        with self.serve(directory, LATENCY_DOCS, LATENCY_EVERY_MS) as server:
            out = self.pull(directory, f"https://{ADDRESS}:{PORT}/certstore", PEER_DOCS,
                            LATENCY_DOCS)
            put = json.loads(server.process.stdout.readline())
        took = sorted(there - here for here, there in zip(put, out["times"]))
        self.note(section, "ours, mutual TLS, both ends synced to disk", p50=took[len(took) // 2],
                  p90=took[len(took) * 9 // 10], most=took[-1])

    def section_feeds(self):
        section = f"{FEEDS} parked feeds over mutual TLS"
        directory = self.fleet(PEER_DOCS)
        with self.serve(directory) as server:
            memory = anonymous_kb(server.process.pid)
            feeds = park(directory, FEEDS)
            time.sleep(1)
            cpu = server.cpu()
            time.sleep(IDLE_S)
            idle = server.cpu() - cpu
            resident = Memory({"server": [server.process.pid]})
            resident.look()
            self.note(section, "ours", idle_ms=1000 * idle / IDLE_S, rss=resident.rss["server"],
                      each_kb=(anonymous_kb(server.process.pid) - memory) / FEEDS)
            for feed in feeds:
                feed.close()

    def section_news(self):
        """What a manager spends when a document changes and every server of its fleet fetches it."""
        section = "one new document to a fleet: each server's feed answers, it fetches, it parks again"
        for count in self.args.fleets:
            directory = self.directory / "fleet-news"
            shutil.rmtree(directory, ignore_errors=True)
            self.tool("fill", directory, 1)
            docs = json.loads(self.bodies(directory, BATCH)[0])["docs"]
            with self.serve(directory) as server:
                feeds = park(directory, count)
                writer = http.client.HTTPSConnection(ADDRESS, PORT, timeout=PATIENCE_S,
                                                     context=client_tls(directory, "source"))
                cpu, begun = server.cpu(), time.monotonic()
                for doc in docs[:NEWS]:
                    spread_news(writer, feeds, doc)
                wall, cpu = time.monotonic() - begun, server.cpu() - cpu
                memory = Memory({"server": [server.process.pid]})
                memory.look()
                self.note(section, f"{count} servers", reach=1000 * wall / NEWS,
                          news_us=1e6 * cpu / NEWS / count, rss=memory.rss["server"])
                for feed in feeds:
                    feed.close()

    def section_bulk(self):
        section = f"_bulk_docs of {BATCH} documents of 4 KB"
        alone = self.verify_alone(section)
        for clients in CLIENTS:
            rate = self.post_signed(section, clients)
            after = self.verify_alone(section)
            # A shared host is faster or slower for minutes: what it verified just before and after.
            self.note(section, signed_row(clients), share=100 * rate / ((alone + after) / 2))
            alone = after
        bodies = plain_bodies(DOCS)
        lab = self.directory / "lab"
        shutil.rmtree(lab, ignore_errors=True)
        command = [self.args.lab, "--listen", f"{ADDRESS}:{PORT}", "--dir", lab]
        with Server(command) as server:
            connection = http.client.HTTPConnection(ADDRESS, PORT, timeout=PATIENCE_S)
            post(connection, "PUT", "/db", b"")
            self.post_all(section, "ours, unsigned (certstore-lab)", server, connection, bodies, "db")
        if self.args.no_peers or not INTEROP.exists():
            return
        with self.router() as server:
            connection = http.client.HTTPConnection(ADDRESS, PORT, timeout=PATIENCE_S)
            post(connection, "PUT", "/db", b"")
            self.post_all(section, "npm pouchdb-express-router, unsigned", server, connection,
                          bodies, "db")

    def verify_alone(self, section):
        """What all processors together verify in a second: no signed document comes faster."""
        command = ["openssl", "speed", "-seconds", "1", "-multi", str(os.cpu_count()), "ecdsap256"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rate = float(text.splitlines()[-1].split()[-1])
        self.note(section, "P-256 verifications alone (openssl speed)", rate=rate)
        return rate

    def post_signed(self, section, clients):
        directory = self.directory / "fleet-bulk"
        shutil.rmtree(directory, ignore_errors=True)
        self.tool("fill", directory, 1)
        bodies = self.bodies(directory, DOCS)
        with self.serve(directory) as server:
            gate = multiprocessing.Barrier(clients + 1)
            running = [multiprocessing.Process(target=posting_client,
                                               args=(directory, bodies[i::clients], gate))
                       for i in range(clients)]
            for client in running:
                client.start()
            gate.wait(PATIENCE_S)
            cpu, begun = server.cpu(), time.monotonic()
            gate.wait(PATIENCE_S)
            wall, memory = time.monotonic() - begun, Memory({"server": [server.process.pid]})
            for client in running:
                client.join(PATIENCE_S)
            memory.look()
            if any(client.exitcode != 0 for client in running):
                raise RuntimeError("a client failed")
            self.note(section, signed_row(clients), wall=wall, rate=DOCS / wall,
                      source_us=1e6 * (server.cpu() - cpu) / DOCS, rss=memory.rss["server"])
            return DOCS / wall

    def post_all(self, section, who, server, connection, bodies, db):
        cpu, begun = server.cpu(), time.monotonic()
        for body in bodies:
            refuse_nothing(post(connection, "POST", f"/{db}/_bulk_docs", body))
        wall = time.monotonic() - begun
        connection.close()
        self.note(section, who, wall=wall, rate=DOCS / wall,
                  source_us=1e6 * (server.cpu() - cpu) / DOCS)

    def section_scale(self):
        section = "growth of the store: first sync of a new server, then its views"
        for count in self.args.documents:
            directory = self.fleet(count)
            with self.serve(directory) as server:
                before = server.cpu()
                out = self.pull(directory, f"https://{ADDRESS}:{PORT}/certstore", count)
                source = server.cpu() - before
            view = self.tool("scale", directory, "target")[-1]
            self.note(section, f"{count} credentials", wall=out["wall"] / 1000,
                      rate=count / out["wall"] * 1000, target_us=1000 * out["cpu"] / count,
                      source_us=1e6 * source / count, again=out["again"], open=view["open"],
                      page=view["page"], page_p90=view["page_p90"],
                      opened_mb=view["opened_kb"] / 1024, paged_mb=view["paged_kb"] / 1024)
            shutil.rmtree(directory / "target")

    def section_peers(self):
        section = f"growth of the fleet: servers that pull {PEER_DOCS} documents at the same time"
        directory = self.directory / "fleet-peers"
        shutil.rmtree(directory, ignore_errors=True)
        self.tool("fill", directory, PEER_DOCS)
        for count in self.args.peers:
            with self.serve(directory) as server:
                before = server.cpu()
                command = [str(self.args.repl_bench), "pull", str(directory)]
                url = f"https://{ADDRESS}:{PORT}/certstore"
                running = [subprocess.Popen([*command, f"peer-{i}", url, str(PEER_DOCS)],
                                            stdout=subprocess.PIPE, text=True)
                           for i in range(count)]
                out = [json.loads(p.communicate()[0].splitlines()[-1]) for p in running]
                source = server.cpu() - before
            total = count * PEER_DOCS
            # One clock for all: from when the first began until the last has everything.
            last = (max(o["from"] + o["wall"] for o in out) - min(o["from"] for o in out)) / 1000
            self.note(section, f"{count} servers", wall=last, rate=total / last,
                      target_us=1000 * sum(o["cpu"] for o in out) / total,
                      source_us=1e6 * source / total)
            for i in range(count):
                shutil.rmtree(directory / f"peer-{i}")



# -- helpers --

def post(connection, method, path, body):
    connection.request(method, path, body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    text = reply.read()
    if reply.status >= 300:
        raise RuntimeError(f"{method} {path}: {reply.status} {text[:200]!r}")
    return json.loads(text)


def signed_row(clients):
    who = "one client" if clients == 1 else f"{clients} clients at once"
    return f"ours, signed, mutual TLS, {who}"


def refuse_nothing(rows):
    if any("error" in row for row in rows):
        raise RuntimeError(f"refused: {[r for r in rows if 'error' in r][:3]}")


def posting_client(directory, bodies, gate):
    """A process of its own: what it costs is not the server's, nor how long it takes to end."""
    connection = http.client.HTTPSConnection(ADDRESS, PORT, timeout=PATIENCE_S,
                                             context=client_tls(directory, "source"))
    connection.connect()
    gate.wait(PATIENCE_S)
    for body in bodies:
        refuse_nothing(post(connection, "POST", "/certstore/_bulk_docs", body))
    gate.wait(PATIENCE_S)


def plain_bodies(count):
    out = []
    for at in range(0, count, BATCH):
        docs = [{"_id": f"doc{i:08}", "_rev": f"1-{i:032x}", "n": i,
                 "data": base64.b64encode(os.urandom(2970)).decode()}
                for i in range(at, at + BATCH)]
        out.append(json.dumps({"new_edits": False, "docs": docs}).encode())
    return out


def client_tls(directory, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(directory / f"{name}-tls.crt", directory / f"{name}-tls.key")
    return context


def anonymous_kb(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1])
    return 0


PARK = (b"GET /certstore/_changes?feed=longpoll&since=now&heartbeat=60000 HTTP/1.1\r\n"
        b"Host: bench\r\n\r\n")


def park(directory, count):
    """So many long polls with a heartbeat a minute, each on its own connection."""
    context = client_tls(directory, "target")
    feeds = []
    for _ in range(count):
        feeds.append(context.wrap_socket(socket.create_connection((ADDRESS, PORT), PATIENCE_S)))
        feeds[-1].sendall(PARK)
    wait_parked(feeds)
    return feeds


def wait_parked(feeds):
    for sock in feeds:  # the head of the answer: it is parked
        if not read_until(sock, b"\r\n\r\n", anywhere=True).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("a feed is not parked")


def read_until(sock, end, anywhere=False):
    """What comes until it ends like this (or has this in it)."""
    out = b""
    while not (end in out if anywhere else out.endswith(end)):
        piece = sock.recv(65536)
        if not piece:
            raise RuntimeError("the server has closed a connection")
        out += piece
    return out


def spread_news(writer, feeds, doc):
    """Puts the document; every parked feed gets its row, fetches it and is parked again."""
    body = json.dumps({"docs": [{"id": doc["_id"], "rev": doc["_rev"]}]}).encode()
    fetch = (b"POST /certstore/_bulk_get?revs=true&latest=true HTTP/1.1\r\nHost: bench\r\n"
             b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)) + body
    post(writer, "POST", "/certstore/_bulk_docs",
         json.dumps({"new_edits": False, "docs": [doc]}).encode())
    for feed in feeds:
        if doc["_id"].encode() not in read_until(feed, b"\r\n0\r\n\r\n"):
            raise RuntimeError("a feed ended without the news")
    for feed in feeds:
        feed.sendall(fetch)
    for feed in feeds:
        head, _, rest = read_until(feed, b"]}\n").partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200") or b'"signature"' not in rest:
            raise RuntimeError("a server did not get the document")
        feed.sendall(PARK)
    wait_parked(feeds)


# What may stand in a row, in this order: its title and form.
TITLES = {"wall": ("wall s", "{:.3f}"), "rate": ("documents/s", "{:.0f}"),
          "share": ("% of the verifications alone", "{:.0f}"),
          "target_us": ("CPU us/document, target", "{:.0f}"),
          "source_us": ("CPU us/document, source or server", "{:.0f}"),
          "again": ("again ms", "{:.1f}"), "p50": ("p50 ms", "{:.1f}"), "p90": ("p90 ms", "{:.1f}"),
          "most": ("most ms", "{:.1f}"), "reach": ("ms until all have it", "{:.0f}"),
          "news_us": ("CPU us/server and document", "{:.0f}"), "idle_ms": ("CPU ms/s while idle", "{:.2f}"),
          "rss": ("Rss MB", "{:.1f}"), "each_kb": ("KB a feed", "{:.1f}"),
          "open": ("open ms", "{:.2f}"), "page": ("page of 50 ms", "{:.2f}"),
          "page_p90": ("p90", "{:.2f}"), "opened_mb": ("own memory MB, open", "{:.1f}"),
          "paged_mb": ("after 200 pages", "{:.1f}")}
SECTIONS = ("pull", "latency", "feeds", "bulk", "scale", "peers", "news")


def machine():
    model = next((line.split(":", 1)[1].strip() for line in
                  Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
                 "?")
    return f"{os.cpu_count()} processors ({model}), load {os.getloadavg()[0]:.1f}"


def main():
    def numbers(text):
        return [int(n) for n in text.split(",")]
    built = ROOT / "build/release/tests"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--repl-bench", type=Path, default=built / "bench/repl-bench")
    parser.add_argument("--lab", type=Path, default=built / "lab/certstore-lab")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--documents", type=numbers, default=GROWTH)
    parser.add_argument("--peers", type=numbers, default=PEERS)
    parser.add_argument("--fleets", type=numbers, default=FLEETS)
    parser.add_argument("--no-peers", action="store_true", help="without npm's")
    parser.add_argument("--json", type=Path, help="all single figures, for later comparison")
    args = parser.parse_args()
    unknown = [s for s in args.sections if s not in SECTIONS]
    if unknown:
        parser.error(f"unknown section: {unknown[0]}")
    bench = Bench(args)
    print(machine())
    try:
        for repetition in range(args.repeat):
            print(f"repetition {repetition + 1} of {args.repeat}", flush=True)
            for section in args.sections or SECTIONS:
                getattr(bench, f"section_{section}")()
    finally:
        shutil.rmtree(bench.directory, ignore_errors=True)
        print(bench.table())
        print(machine())
        if args.json:
            args.json.write_text(json.dumps(bench.rows, indent=1))


if __name__ == "__main__":
    main()
