"""Servers whose whole session is killed at a named step (base/core/step.h), and the loop around it.

A server and the commands for it have a directory of steps each: what passes there is traced, and
arm() says at which step (and the how-many-th pass) everything of that session dies.
"""

import collections
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import lab

IN_BUILD = os.environ.get("CERTMGR_STEP_BUILD", "1").upper() in ("1", "ON", "TRUE", "YES")
ALL = os.environ.get("CERTMGR_STEPS_ALL") == "1"
SEED = int(os.environ.get("CERTMGR_SEED") or time.time_ns() % 1000000)
SAMPLE = 1  # kills of each operation
# What says that the person may do the same once more.
AGAIN = "same command again"


def announce():
    """setUpModule of the tests."""
    if not IN_BUILD:
        raise unittest.SkipTest("this build has no steps (CM_SANITIZE)")
    print(f"seed {SEED}" + (", all steps" if ALL else ""), flush=True)


class Steps:
    """One directory of CERTMGR_STEPS."""

    def __init__(self, directory):
        self.dir = directory
        directory.mkdir(parents=True)
        self.trace = directory / "trace"
        self.trace.touch()
        self.env = dict(os.environ, CERTMGR_STEPS=str(directory))

    def clear(self):
        """Forgets what was passed, ordered and hit."""
        for path in self.dir.iterdir():
            if path != self.trace:
                path.unlink(missing_ok=True)  # a process may pass there just now
        self.trace.write_text("")

    def arm(self, name, times=1):
        # In one piece: a process that passes meanwhile reads the whole word or nothing.
        temporary = self.dir / ".order"
        temporary.write_text(f"session {times}")
        temporary.rename(self.dir / name)

    def hit(self, name):
        return (self.dir / f"{name}.hit").exists()

    def passed(self):
        """[(name, times)]: each pass of a step in its order, with its number among its like."""
        seen, out = collections.Counter(), []
        for name in self.trace.read_text().split():
            seen[name] += 1
            out.append((name, seen[name]))
        return out


class Server(lab.Server):
    """A server in a session of its own; each command in one, too."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.steps = Steps(self.root / "steps-server")
        self.command_steps = Steps(self.root / "steps-command")
        self.process.env = self.steps.env

    def cli(self, *args, check=True, stdin=None):
        done = subprocess.run([str(self.certmgr), "--root", str(self.root), *map(str, args)],
                              capture_output=True, text=True, check=False, input=stdin, timeout=120,
                              env=self.command_steps.env, start_new_session=True)
        if check and done.returncode != 0:
            raise lab.LabError(f"certmgr {' '.join(map(str, args))}: status {done.returncode}\n"
                               f"{done.stdout}{done.stderr}\n{self.tail()}")
        return done

    def quiet(self, *args, **kw):
        """A command that is no part of what is tested: its steps are not traced."""
        return lab.Server.cli(self, *args, **kw)


def settle(steps, quiet_s=1.0, limit_s=20):
    """Until nothing passes for a while: what an operation leads to belongs to its trace."""
    last, since, end = None, time.monotonic(), time.monotonic() + limit_s
    while time.monotonic() < end:
        sizes = [s.trace.stat().st_size for s in steps]
        if sizes != last:
            last, since = sizes, time.monotonic()
        elif time.monotonic() - since >= quiet_s:
            return
        time.sleep(0.05)


class Operation:
    """What is done (go), how it is repeated (again), and what must be true in the end (check).

    before() leads from the end of another operation to the beginning of this one."""

    def __init__(self, name, before, go, check, places):
        self.name, self.before, self.go, self.check = name, before, go, check
        self.places = places  # [(what, Steps)] of what may be killed, where it passes


class Killing(unittest.TestCase):
    """The loop: trace, choose, kill, repeat, check."""

    ports = None  # of Server

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="certmgr-steps-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.servers, self.killed, self.unreached = [], 0, 0
        self.random = random.Random(SEED)

    def server(self, name, last):
        server = Server(self.dir, name, f"127.0.202.{last}", **self.ports)
        self.addCleanup(server.stop)
        self.servers.append(server)
        return server

    def revive(self):
        """Starts what was killed."""
        for server in self.servers:
            if server.process.child is not None and not server.process.running():
                server.start()

    def steps_of(self, operation):
        """The unharmed run."""
        self.revive()
        operation.before()
        for _, steps in operation.places:
            steps.clear()
        done = operation.go()
        self.assertIn(done.returncode, (0, 7), f"{operation.name}: {done.stdout}{done.stderr}")
        self.finish(operation)
        settle([s for _, s in operation.places])
        return [(place, steps, name, times) for place, steps in operation.places
                for name, times in steps.passed() if times <= 3]

    def repeat(self, what, go):
        last = [""]

        def once():
            self.revive()
            done = go()
            last[0] = f"{done.stdout}{done.stderr}"
            return done.returncode in (0, 7)
        try:
            lab.wait_for(what, once, 90, 0.2)
        except lab.LabError as e:
            raise lab.LabError(f"{e}: {last[0]}") from e

    def finish(self, operation):
        """The same command until it succeeds; each refusal meanwhile says what to do."""
        self.repeat(f"{operation.name} to be repeated", operation.go)
        operation.check()

    def kill_at(self, operation, place, steps, name, times):
        self.revive()
        operation.before()
        for _, one in operation.places:
            one.clear()
        steps.arm(name, times)
        done = operation.go()
        end = time.monotonic() + (10 if done.returncode in (0, 7) else 30)
        while not steps.hit(name) and time.monotonic() < end:
            time.sleep(0.02)
        hit = steps.hit(name)
        steps.clear()
        self.killed += hit
        self.unreached += not hit
        if done.returncode not in (0, 7, -9):
            self.assertTrue(AGAIN in done.stdout + done.stderr,
                            f"{operation.name}, {place} killed at {name}: the person is not told "
                            f"to repeat the command:\n{done.stdout}{done.stderr}")
        lab.wait_for("what was killed to be gone", lambda: not hit or place == "command" or any(
            s.steps is steps and not s.process.running() for s in self.servers))
        self.finish(operation)

    def torture(self, *operations):
        """Each operation's unharmed run, then its kills; operations lead into each other."""
        known = [(operation, self.steps_of(operation)) for operation in operations]
        passed = {name for _, steps in known for _, _, name, _ in steps}
        if ALL:
            plans = [k[1] for k in known]
        else:
            plans = [self.random.sample(k[1], min(SAMPLE, len(k[1]))) for k in known]
        for i in range(max(map(len, plans))):
            for (operation, _), plan in zip(known, plans):
                if i >= len(plan):
                    continue
                place, steps, name, times = plan[i]
                print(f"  {operation.name}: {place} at {name} {times}", flush=True)
                with self.subTest(operation=operation.name, place=place, step=name, times=times):
                    self.kill_at(operation, place, steps, name, times)
        print(f"  {self.killed} kills, {self.unreached} steps not reached", flush=True)
        self.assertLessEqual(self.unreached, max(2, self.killed // 5))
        return passed

    # -- what is looked at --

    def roles(self, server):
        """{name: (state, roles)} and the version of the trust root, or None."""
        listing = server.quiet("server", "list", "--json", check=False)
        shown = server.quiet("trust", "show", "--json", check=False)
        if listing.returncode != 0 or shown.returncode != 0:
            return None
        rows = json.loads(listing.stdout)["servers"]
        return ({row["name"]: (row["state"], ",".join(row["roles"])) for row in rows},
                json.loads(shown.stdout)["version"])

    def members(self, server):
        """{name: (state, roles)} as soon as it can be asked: it may be starting anew."""
        return lab.wait_for(f"{server.name} to list the servers", lambda: self.roles(server), 60)[0]

    def same_everywhere(self, servers, wanted):
        """All see the roles that are wanted, in one version of the trust root."""
        def seen():
            views = [self.roles(server) for server in servers]
            return (None not in views and len({v[1] for v in views}) == 1 and
                    all(v[0].get(name) == role for v in views for name, role in wanted.items()))
        try:
            lab.wait_for("the same trust root everywhere", seen, 60, 0.1)
        except lab.LabError as e:
            raise lab.LabError(f"{e}: wanted {wanted}, seen "
                               f"{[self.roles(server) for server in servers]}") from e

    def writes(self, manager, others):
        """The manager writes, the others hear it."""
        days = self.random.randint(5, 25)
        lab.wait_for("the manager to write", lambda: manager.quiet(
            "settings", "--renew-days", days, check=False).returncode == 0, 60, 0.2)
        for server in others:
            lab.wait_for(f"{server.name} to hear it",
                         lambda s=server: self.days(s) == days, 60, 0.1)

    def days(self, server):
        done = server.quiet("settings", "--json", check=False)
        return json.loads(done.stdout).get("renew_days") if done.returncode == 0 else None

    def nothing_left(self, server):
        """No half-written file survives the start after a kill."""
        state = server.root / "var/lib/certmgr"
        left = [str(p.relative_to(state)) for p in state.rglob(".*.tmp")]
        self.assertEqual(left, [], f"{server.name}: half-written files")
