"""From issued on the manager to served by nginx on every server, and where the time goes."""

import os

import ours
from ours import lab

ROUNDS = 5  # renewals, each reloading the nginx of every server


def moments(fleet, view):
    """Of each holder, in seconds after the manager had issued: the new files are in place, served
    (the server's own look at the wire), and known to the manager."""
    issued = ours.time_of(view["credential"]["issued_at"])
    out = []
    for receipt in view["receipts"]:
        link = fleet.server[receipt["server"]].data / ".certmgr/keyfile/current"
        told = [ours.time_of(step["at"]) for step in view["steps"]
                if step.get("server") == receipt["server"]]
        out.append((os.lstat(link).st_mtime - issued, ours.time_of(receipt["at"]) - issued,
                    max(told, default=issued) - issued))
    return out


def wait_served(fleet, credential, before):
    """The view once every holder serves another certificate than `before`."""
    def served():
        view = fleet.manager.show(credential)
        fingerprint = view["credential"].get("fingerprint")
        good = [r for r in view["receipts"]
                if r["state"] == "served" and r.get("fingerprint") == fingerprint]
        return view if fingerprint != before and len(good) == len(fleet.holders()) else None
    return lab.wait_for("all servers to serve", served, 120, 0.5)


def run(bench, holders, net, base, http_port):
    section = "issued on the manager to served by nginx, seconds"
    fleet = ours.Fleet(net, base, http_port, holders=holders, nginx=True,
                       certmgr=bench.args.certmgr)
    try:
        fleet.start()
        who = [word for name in fleet.holders() for word in ("-s", name)]
        credential = fleet.manager.json("request", "-d", "curve.bench.example", *who,
                                        "--keyring-file", "keyfile.kyr")["credential"]
        view = wait_served(fleet, credential, None)  # starts every nginx: outside the clock
        for _ in range(ROUNDS):
            before = view["credential"]["fingerprint"]
            fleet.manager.cli("renew", credential)
            view = wait_served(fleet, credential, before)
            each = list(zip(*moments(fleet, view)))
            bench.note(section, f"{holders} servers", first_in_place=min(each[0]),
                       last_in_place=max(each[0]), last_served=max(each[1]),
                       last_reported=max(each[2]))
    finally:
        fleet.stop()
