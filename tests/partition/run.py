"""Partition tests: five real servers in network namespaces, random faults, writers meanwhile.

    run.py --sample                    what CI runs: three minutes
    run.py --schedules 200 --seed N    the release bar; --lasts 20-120 seconds of faults each

CERTMGR_SEED=N repeats a sample. Needs root; see README.md.
"""

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path

from faults import KINDS, draw
from fleet import NAMES, Fleet, Unanswered, lab
from net import NoNamespaces
from writers import Journal, Writer

# A machine that others keep busy says with CERTMGR_PATIENCE how many times slower it is; what must hold stays.
PATIENCE = float(os.environ.get("CERTMGR_PATIENCE") or 1)
HEALED_S = 30.0 * PATIENCE  # from the healing to equal replicas
ALARM_S = 60.0 * PATIENCE   # from a cut to the alarm
SAMPLE_S = 140.0            # a sample begins no schedule later than this after its start
PAUSE = 0.25
OLDER = 150        # credentials of earlier schedules that are asked for each time


class Broken(Exception):
    """A promise was not kept."""


def say(text):
    print(text, flush=True)


# ---- are the replicas equal? ---------------------------------------------------------------------


def differences(states):
    """What keeps five states from being the same, in words; empty = nothing. A server holds what
    is marked down as the manager does, and the manager what the server wrote as the server does."""
    manager, out = states["alpha"], []
    for name in NAMES[1:]:
        mine = {key: row for key, row in states[name].items() if key[1] in (None, name)}
        theirs = {key: row for key, row in manager.items() if key[1] in (None, name)}
        for key in sorted(set(mine) | set(theirs), key=str):
            if mine.get(key) != theirs.get(key):
                here, there = mine.get(key), theirs.get(key)
                out.append(f"{name}: {key[0]}: {here and here[:2]} there, {there and there[:2]} at "
                           "the manager")
    return out


def look(fleet):
    """Differences and servers that are not caught up; [] = all well."""
    try:
        out = [f"{name}: replication is not live" for name in NAMES[1:]
               if not fleet.node[name].live()]
        return out or differences({name: fleet.node[name].state() for name in NAMES})
    except Unanswered as error:
        return [str(error)]


def credential_differs(fleet, journal, credential):
    status, _, view = fleet.manager.call("GET", f"/credentials/{credential}")
    body = (view or {}).get("credential") or {}
    if journal.removed.get(credential):
        back = status == 200 and "status" in body
        return f"credential {credential}, removed, is there: {body['status']}" if back else None
    if credential in journal.removed:
        return None
    if status != 200 or "status" not in body:
        return f"credential {credential} ({journal.hosts[credential]}) is lost: {status}"
    if body.get("host_names") != [journal.hosts[credential]]:
        return f"credential {credential} has other names: {body.get('host_names')}"
    wanted = journal.wanted.get(credential)
    if wanted and body.get("renew_days") not in wanted:
        return (f"credential {credential}: renew_days is {body.get('renew_days')}, acknowledged was "
                f"{sorted(wanted)}; error: {body.get('error')}")
    return None


def account_differences(fleet, journal):
    status, _, listed = fleet.manager.call("GET", "/dns-accounts?limit=1000")
    if status != 200:
        return [f"the DNS accounts cannot be listed: {status}"]
    there = {row["name"] for row in listed["dns_accounts"]}
    return [f"DNS account {name} is {'lost' if state else 'back'}"
            for name, state in journal.accounts.items()
            if state is not None and state != (name in there)]


class Settling:
    """Waits after a healing until the replicas are equal and everything promised is there. The
    manager speaks for all then. Of older credentials a part is asked for, each time another one:
    the answers must not take longer than the fleet."""

    def __init__(self, fleet, journal, healed, everything=False):
        self.fleet, self.journal, self.healed = fleet, journal, healed
        old = list(journal.hosts)[:-OLDER]
        old = old if everything else random.sample(old, min(OLDER, len(old)))
        self.open = [*list(journal.hosts)[-OLDER:], *old]

    def look(self):
        """What is still wrong, in words."""
        try:
            wrong = look(self.fleet)
            if wrong:
                return wrong
            left = []
            for credential in self.open:
                difference = credential_differs(self.fleet, self.journal, credential)
                if difference:
                    left.append(credential)
                    wrong.append(difference)
            self.open = left
            return wrong or account_differences(self.fleet, self.journal)
        except Unanswered as error:
            return [str(error)]

    def wait(self):
        """Seconds from the healing to the first look at which nothing was wrong."""
        told, before = 0.0, []
        while True:
            now = time.monotonic() - self.healed
            wrong = self.look()
            if not wrong and now <= HEALED_S:
                return now
            if now > HEALED_S:
                raise Broken(f"{now:.0f} s after the healing:\n  " +
                             "\n  ".join((wrong or before)[:20]))
            if now > told + 5:
                told = now
                say(f"  {now:.0f} s after the healing: {wrong[0]}")
            before = wrong
            time.sleep(PAUSE)


# ---- schedules -----------------------------------------------------------------------------------


class Run:
    def __init__(self, fleet, seed, kinds):
        self.fleet, self.seed, self.kinds = fleet, seed, kinds
        self.journal = Journal()
        self.issued = []
        self.times = []

    def work(self, rng, seconds, faults):
        """Faults begin, people write, everything is healed: the moment of the healing."""
        self.journal.new_schedule()
        writers = [Writer(self.fleet, name, self.journal, rng.random()) for name in NAMES]
        begun = []
        try:
            for writer in writers:
                writer.start()
            for fault in faults:
                time.sleep(rng.uniform(0, 0.2 * seconds / len(faults)))
                begun.append(fault)
                fault.begin()
            time.sleep(0.8 * seconds)
        finally:
            for writer in writers:
                writer.over.set()
            for fault in reversed(begun):
                fault.heal()
            healed = time.monotonic()
            for writer in writers:
                writer.join()
        problems = [f"{w.node.name}: {w.problem}" for w in writers if w.problem]
        if problems:
            raise Broken("writers: " + "; ".join(problems))
        return healed

    def schedule(self, number, lasts):
        rng = random.Random(f"{self.seed}/{number}")
        seconds = rng.uniform(*lasts)
        faults = draw(self.fleet, rng, seconds, self.kinds)
        say(f"schedule {number}, {seconds:.0f} s: " + "; ".join(map(str, faults)))
        took = Settling(self.fleet, self.journal, self.work(rng, seconds, faults)).wait()
        self.times.append(took)
        say(f"  equal {took:.1f} s after the healing; {len(self.journal.hosts)} credentials, "
            f"{len(self.journal.accounts)} DNS accounts, {self.journal.unanswered} unanswered")

    # A real certificate and the alarms: once in a run, apart from the lots.

    def issue(self):
        """One certificate of a real CA, to be deployed on all five."""
        self.issued.append(self.fleet.manager.json(
            "request", "-d", f"real{len(self.issued)}.partition.example", "--account", "pebble",
            *[word for name in NAMES for word in ("-s", name)],
            "--keyring-file", f"real{len(self.issued)}.kyr")["credential"])

    def alarms(self):
        """A server that is cut off: both sides say so, and take it back afterwards; what was issued
        meanwhile reaches it."""
        rng = random.Random(f"{self.seed}/alarms")
        name = rng.choice(NAMES[1:])
        pairs = [(name, "alpha"), ("alpha", name)]
        pairs = rng.choice((pairs, pairs, pairs[:1]))
        say(f"alarms: {name} is cut off ({'both ways' if len(pairs) == 2 else 'not heard'})")
        node, cut = self.fleet.node[name], time.monotonic()
        self.fleet.net.cut(pairs)
        self.issue()
        try:
            lab.wait_for(f"the manager to miss {name}", lambda: name in self.fleet.silent(),
                         ALARM_S, PAUSE)
            lab.wait_for(f"{name} to miss the manager", lambda: not node.live(), ALARM_S, PAUSE)
        finally:
            self.fleet.net.cut(pairs, -1)
        healed = time.monotonic()
        say(f"  told {healed - cut:.0f} s after the cut")
        others = self.fleet.silent() - {name}
        if others:
            raise Broken(f"told of servers that were there: {others}")
        took = Settling(self.fleet, self.journal, healed).wait()
        lab.wait_for("the end of the alarm", lambda: not self.fleet.silent(),
                     HEALED_S - (time.monotonic() - healed), PAUSE)
        say(f"  equal after {took:.1f} s, alarm over after {time.monotonic() - healed:.1f} s")

    def deployed(self):
        for credential in self.issued:
            self.fleet.manager.wait_issued(credential, 60)
            self.fleet.manager.wait_receipts(credential, NAMES, "deployed", 60)

    def end(self):
        """Nothing open, stores sound, sanitizers silent."""
        self.deployed()
        # The manager tries its orders again and again: one look may meet a change on its way.
        Settling(self.fleet, self.journal, time.monotonic(), everything=True).wait()
        if not self.fleet.node["echo"].cli("store", "stat", "--hash").stdout:
            raise Broken("store stat --hash shows nothing")
        self.fleet.stop()
        for node in self.fleet.node.values():
            node.cli("store", "check")
        faults = self.fleet.faults_in_logs()
        if faults:
            raise Broken("\n".join(faults[:20]))


class Progress:
    """How many schedules of which seed were good; over several runs when there is a file."""

    def __init__(self, path, count):
        self.path, self.seed, self.count = Path(path) if path else None, None, count
        if self.path and self.path.exists():
            kept = json.loads(self.path.read_text())
            self.seed, self.count = kept["seed"], kept["done"]
            say(f"{self.count} schedules of seed {self.seed} were done before")

    def keep(self, seed, count):
        self.seed, self.count = seed, count
        if self.path:
            fresh = self.path.with_suffix(".new")
            fresh.write_text(json.dumps({"seed": seed, "done": count}))
            fresh.rename(self.path)


def sample(run, begun):
    run.issue()
    run.alarms()
    number = 0
    while time.monotonic() - begun < SAMPLE_S:
        number += 1
        run.schedule(number, (5, 9))
    return number


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", action="store_true", help="as many schedules as fit into CI")
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--first", type=int, default=1, help="number of the first schedule")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--lasts", default="10-60", help="seconds of faults, from-to")
    parser.add_argument("--only", help="kinds of faults, as Skew,Full (faults.py); default: all")
    parser.add_argument("--progress", help="file that remembers seed and schedules done: the same "
                        "command goes on behind the last good one")
    parser.add_argument("--keep", help="directory for what the servers have in the end")
    args = parser.parse_args()
    if os.environ.get("CERTMGR_NO_NETNS") == "1":
        say("NOT RUN: CERTMGR_NO_NETNS=1 says that there are no network namespaces here")
        return 0
    done = Progress(args.progress, args.first - 1)
    if done.count >= args.schedules and args.progress:
        say(f"{done.count} schedules are done (seed {done.seed}); remove {args.progress} for more")
        return 0
    seed = args.seed or done.seed or int(os.environ.get("CERTMGR_SEED") or random.SystemRandom().getrandbits(31))
    say(f"seed {seed} (again: CERTMGR_SEED={seed} or --seed {seed})")
    begun = time.monotonic()
    fleet = Fleet()
    kinds = [kind for kind in KINDS if not args.only or kind.__name__ in args.only.split(",")]
    run = Run(fleet, seed, kinds)
    try:
        fleet.start()
        lab.wait_for("the fleet to be equal", lambda: not look(fleet), 30)
        say(f"five servers are up after {time.monotonic() - begun:.0f} s")
        if args.sample:
            count = sample(run, begun)
        else:
            lasts = tuple(float(word) for word in args.lasts.split("-"))
            run.issue()
            run.alarms()
            last = args.schedules if args.progress else args.first + args.schedules - 1
            count = last - done.count
            for number in range(done.count + 1, last + 1):
                run.schedule(number, lasts)
                done.keep(seed, number)
                say(f"  {number} of {last} schedules")
        run.end()
    except NoNamespaces as error:
        say(f"FAILED: the partition test makes network namespaces, and cannot: {error}\n"
            "Run it as root where ip and nft work, or say CERTMGR_NO_NETNS=1 to leave it out.")
        return 1
    except (Broken, Unanswered, lab.LabError, OSError) as error:
        say(f"FAILED (seed {seed}): {error}")
        for node in fleet.node.values():
            say(f"--- {node.name}\n{node.tail(15)}")
        return 1
    finally:
        if args.keep:
            say(f"kept in {fleet.keep(args.keep)}")
        fleet.remove()
    times = sorted(run.times)
    say(f"{count} schedules, equal {times[len(times) // 2]:.1f} s after the healing (median), "
        f"{times[-1]:.1f} s at most; {len(run.journal.hosts)} credentials acknowledged, writes: "
        f"{run.journal.written}; {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
