"""Our side of the benchmark: a fleet of real servers and requests in bulk."""

import http.client
import json
import os
import re
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import lab  # noqa: E402

SUBMITTERS = 16  # connections that hand in requests at the same time
CA_ENV = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0"}


class UnixConnection(http.client.HTTPConnection):
    """The API over the manager's Unix socket: what the command line uses."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        self.request(method, "/api/v1" + path, data, {"Content-Type": "application/json"})
        reply = self.getresponse()
        text = reply.read()
        if reply.status >= 300:
            raise lab.LabError(f"{method} {path}: {reply.status} {text.decode()}")
        return json.loads(text) if text else None


def time_of(text):
    """Seconds of an RFC 3339 time as the documents have it."""
    import calendar
    whole, rest = text.rstrip("Z").split(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + int(rest[:3]) / 1000


def requests_seen(pebble):
    """ACME requests that Pebble has logged."""
    log = (pebble.directory / "pebble.log").read_text(errors="replace")
    return len(re.findall(r"(?:GET|POST|HEAD) /", log))


class Fleet(lab.Fleet):
    """As the laboratory's, with any number of holders. Without nginx there are no hooks: what is
    measured ends with the keyring file."""

    def __init__(self, net, base, http_port, holders=2, nginx=False, self_check=True, env=None,
                 directory_url=None, certmgr=None, named=None):
        self.names = ("alpha",) + tuple(f"server-{i}" for i in range(1, holders + 1))
        self.self_check = self_check
        self.open = 0  # orders at a time, as seen
        super().__init__(net=net, base=base, http_port=http_port, certmgr=certmgr,
                         directory_url=directory_url, pebble_env=dict(CA_ENV, **(env or {})))
        self.named = named  # of DNS-01: started, its zone takes updates
        if named:
            self.dns_server = named.server
            for server in self.server.values():
                server.extra = f"[network]\ndns_port = {named.port}\n"
        for name in self.holders():  # they would be other machines
            process = self.server[name].process
            process.args = ["chrt", "--idle", "0"] + process.args
        if not nginx:
            self.nginx = {}
            for server in self.server.values():
                server.targets = {}
                server.target()

    def start(self):
        super().start()
        if self.named:
            secret = self.directory / "tsig"
            secret.write_text(self.named.secret + "\n")
            self.manager.cli("dns", "add", "bind", "--kind", "rfc2136", "-d", self.named.zones[0],
                             "--option", f"server={self.named.server}", "--option",
                             f"key_name={self.named.key_name}", "--option", "ttl=1",
                             "--secret-file", f"tsig_secret={secret}")
        if not self.self_check:
            super().add_account("pebble", "--no-self-check")
        return self

    def holders(self):
        return list(self.names[1:])

    def api(self):
        return UnixConnection(self.manager.root / "run/certmgr/certmgr.sock")

    def pids(self):
        """{"manager": [...], "servers": [...], "ca": [...]}"""
        each = {name: [s.process.child.pid] + [pid for pid, _ in s.children()]
                for name, s in self.server.items()}
        return {"manager": each["alpha"],
                "servers": [pid for name in self.holders() for pid in each[name]
                            if self.server[name].process.running()],
                "ca": [p.child.pid for p in self.pebble.processes]}

    def stop_holders(self):
        """The servers stay in the trust root, so keys are sealed for them; they fetch later."""
        for name in self.holders():
            self.server[name].stop()

    def warm(self):
        """Account registered, connections open: outside the clock, as with the peers."""
        self.manager.wait_issued(self.submit_all([["warm.bench.example"]])[0])
        self.wait_files(1)
        time.sleep(0.3)

    def submit_all(self, orders):
        """One credential per list of names; returns their ids in order."""
        credentials = [None] * len(orders)
        errors = []

        def work(first):
            connection = self.api()
            try:
                for i in range(first, len(orders), SUBMITTERS):
                    credentials[i] = connection.call("POST", "/requests", {
                        "host_names": orders[i], "provider": "acme", "account": "pebble",
                        "key_type": "P-256", "servers": self.holders(),
                        "keyring_file": orders[i][0].split(".", 1)[0] + ".kyr"})["credential"]
            except Exception as error:  # noqa: BLE001  raised again by the caller
                errors.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=work, args=(i,))
                   for i in range(min(SUBMITTERS, len(orders)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return credentials

    def wait_idle(self, timeout):
        """Until no order is open and none waits: one cheap question, seldom."""
        connection = self.api()
        end = time.monotonic() + timeout
        idle = 0
        while idle < 3:
            if time.monotonic() > end:
                raise lab.LabError(f"orders are not done after {timeout} s\n{self.manager.tail()}")
            task = connection.call("GET", "/status")["task"]
            self.open = max(self.open, task["jobs"])
            idle = 0 if task["jobs"] + task["waiting"] else idle + 1
            time.sleep(0.05)
        connection.close()

    def wait_files(self, count, timeout=120):
        """Until every holder has count keyring files."""
        def there():
            return all(sum(e.name.endswith(".kyr") for e in os.scandir(self.server[name].data))
                       >= count for name in self.holders())
        lab.wait_for(f"{count} keyring files on each server", there, timeout, 0.02)

    def views(self, credentials):
        """What the manager says of each; all must be issued."""
        connection = self.api()
        views = [connection.call("GET", f"/credentials/{c}") for c in credentials]
        connection.close()
        for view in views:
            if view["credential"]["status"] != "issued":
                raise lab.LabError(json.dumps(view["credential"], indent=1))
        return views
