"""People at work on all servers while the fleet is cut apart, and the journal of what was promised.

A write counts as acknowledged when the server that took it has answered 2xx; then it must be there
in the end. One that was not answered may be there or not.
"""

import random
import threading

from fleet import NAMES, Unanswered

PAUSE = (0.1, 0.6)  # seconds between two writes at one server


class Journal:
    def __init__(self):
        self.lock = threading.Lock()
        self.hosts = {}        # credential -> host name, acknowledged
        self.steady = []       # of these: paused, so that nobody but us changes them
        self.wanted = {}       # credential -> renew_days that may be there in the end
        self.removed = {}      # credential -> True, or None where nobody answered
        self.touched = set()   # changed in this schedule: one change at a time
        self.accounts = {}     # DNS account -> True (there), False (deleted), None (unknown)
        self.written = {name: 0 for name in NAMES}
        self.unanswered = 0
        self.number = 0

    def next(self):
        with self.lock:
            self.number += 1
            return self.number

    def new_schedule(self):
        with self.lock:
            self.touched.clear()


class Writer(threading.Thread):
    """Somebody at one server."""

    def __init__(self, fleet, name, journal, seed):
        super().__init__(daemon=True)
        self.fleet, self.node, self.journal = fleet, fleet.node[name], journal
        self.lots = random.Random(seed)
        self.over = threading.Event()
        self.problem = None

    def run(self):
        acts = [self.issue] * 4 + [self.change] * 3 + [self.retry, self.remove]
        if self.node.name == "alpha":
            acts += [self.add_account] * 2 + [self.delete_account] * 2
        while not self.over.wait(self.lots.uniform(*PAUSE)):
            try:
                if self.lots.choice(acts)():
                    self.journal.written[self.node.name] += 1
            except Unanswered:
                self.journal.unanswered += 1
            except Exception as error:  # pylint: disable=broad-except
                self.problem = repr(error)
                return

    def issue(self):
        number = self.journal.next()
        host = f"c{number}.partition.example"
        steady = self.lots.random() < 0.7
        body = {"host_names": [host], "account": "dead", "paused": steady, "renew_days": 20,
                "servers": self.lots.sample(NAMES, self.lots.randint(1, 3)),
                "keyring_file": f"k{number}.kyr"}
        status, _, answer = self.node.call("POST", "/requests", body)
        if status != 202:
            return False
        with self.journal.lock:
            self.journal.hosts[answer["credential"]] = host
            if steady:
                self.journal.wanted[answer["credential"]] = {20}
                self.journal.steady.append(answer["credential"])
        return True

    def _pick(self):
        """A paused credential that nobody has changed in this schedule."""
        with self.journal.lock:
            free = [c for c in self.journal.steady
                    if c not in self.journal.touched and c not in self.journal.removed]
            if not free:
                return None
            chosen = self.lots.choice(free)
            self.journal.touched.add(chosen)
            return chosen

    def _here(self, credential):
        """Has it come to this server?"""
        status, _, view = self.node.call("GET", f"/credentials/{credential}")
        return status == 200 and view.get("credential", {}).get("status") is not None

    def remove(self):
        credential = self._pick()
        if not credential or not self._here(credential):
            return False
        self.journal.removed[credential] = None
        status, _, _ = self.node.call("DELETE", f"/credentials/{credential}")
        if status < 300:
            self.journal.removed[credential] = True
        else:
            del self.journal.removed[credential]
        return status < 300

    def change(self):
        credential = self._pick()
        if not credential or not self._here(credential):
            return False
        days = self.lots.randint(10, 60)
        wanted = self.journal.wanted[credential]
        before = set(wanted)
        wanted.add(days)  # while the answer is out, either may be there
        status, _, _ = self.node.call("PATCH", f"/credentials/{credential}", {"renew_days": days})
        self.journal.wanted[credential] = {days} if status == 202 else before
        return status == 202

    def retry(self):
        with self.journal.lock:
            known = list(self.journal.hosts)
        if not known:
            return False
        status, _, _ = self.node.call("POST", f"/credentials/{self.lots.choice(known)}/retry", {})
        return status < 300

    def add_account(self):
        name = f"d{self.journal.next()}"
        self.journal.accounts[name] = None
        status, _, _ = self.node.call("PUT", f"/dns-accounts/{name}",
                                      {"kind": "manual", "domains": [f"{name}.example"]})
        self.journal.accounts[name] = True if status < 300 else None
        return status < 300

    def delete_account(self):
        there = [name for name, state in self.journal.accounts.items() if state]
        if not there:
            return False
        name = self.lots.choice(there)
        status, headers, _ = self.node.call("GET", f"/dns-accounts/{name}")
        if status != 200:
            return False
        self.journal.accounts[name] = None
        status, _, _ = self.node.call("DELETE", f"/dns-accounts/{name}",
                                      headers={"If-Match": headers["ETag"]})
        self.journal.accounts[name] = False if status < 300 else None
        return status < 300
