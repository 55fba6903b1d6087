"""Servers whose whole session is killed at a named step (base/core/step.h).

A server and the commands for it have a directory of steps each: what passes there is traced, and
arm() says at which step (and the how-many-th pass) everything of that session dies.
"""

import collections
import os
import subprocess
import time

import lab

IN_BUILD = os.environ.get("CERTMGR_STEP_BUILD", "1").upper() in ("1", "ON", "TRUE", "YES")


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
                path.unlink()
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
        self.process.args = ["setsid", *self.process.args]
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
