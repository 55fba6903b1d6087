"""SIGKILL of everything at each named step of a change of power: it is finished, or asked again.

Each operation runs once unharmed, which tells its steps (base/core/step.h) on every server and in
the command. Then it runs again and again, and at each of the steps supervisor, front and agent (or
the command with its agent) are killed together. What was killed starts again, the person repeats the
same command, and the end is the same as without a kill: one manager, one trust root everywhere,
nothing half-made.

CI takes some of the steps (CERTMGR_SEED repeats the choice); CERTMGR_STEPS_ALL=1 takes every one.
"""

import json
import os
import random
import shutil
import tempfile
import time
import unittest
from pathlib import Path

import lab
import lab_steps

PORTS = {"ui_port": 22443, "replication_port": 22444, "challenge_port": 22480}
ALL = os.environ.get("CERTMGR_STEPS_ALL") == "1"
SEED = int(os.environ.get("CERTMGR_SEED") or time.time_ns() % 1000000)
SAMPLE = 2  # kills of each operation
# What says that the person may do the same once more.
AGAIN = "same command again"


def setUpModule():
    if not lab_steps.IN_BUILD:
        raise unittest.SkipTest("this build has no steps (CM_SANITIZE)")
    print(f"seed {SEED}" + (", all steps" if ALL else ""), flush=True)


class Operation:
    """What is done (go), how it is repeated (again), and what must be true in the end (check).

    before() leads from the end of another operation to the beginning of this one."""

    def __init__(self, name, before, go, check, places):
        self.name, self.before, self.go, self.check = name, before, go, check
        self.places = places  # [(what, Steps)] of what may be killed, where it passes


class Killing(unittest.TestCase):
    """The loop: trace, choose, kill, repeat, check."""

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="certmgr-steps-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.servers, self.killed, self.unreached = [], 0, 0
        self.random = random.Random(SEED)

    def server(self, name, last):
        server = lab_steps.Server(self.dir, name, f"127.0.202.{last}", **PORTS)
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
        lab_steps.settle([s for _, s in operation.places])
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


class Membership(Killing):
    def test_join_remove_rejoin(self):
        alpha, beta = self.server("alpha", 11), self.server("beta", 12)
        alpha.init().start()
        beta.configure()
        url = f"https://{beta.address}:{beta.replication_port}"
        token = {}

        def gone():
            beta.stop()
            beta.process.child = None
            shutil.rmtree(beta.root / "var/lib/certmgr", ignore_errors=True)
            if "beta" in self.roles(alpha)[0] and self.roles(alpha)[0]["beta"][0] != "removed":
                alpha.quiet("server", "remove", "beta")

        def invite():
            done = alpha.cli("server", "add", "beta", "--role", "standby", "--url", url, "--json",
                             check=False)
            if done.returncode == 0:
                token["text"] = json.loads(done.stdout)["token"]
            return done

        def invited():
            gone()
            lab.wait_for("an invitation", lambda: invite().returncode == 0, 60)

        def join():
            done = beta.cli("join", "-", stdin=token["text"] + "\n", check=False)
            if done.returncode != 0 and "belongs to a fleet already" in done.stderr:
                done.returncode = 0
            return done

        def is_member():
            if not beta.process.running():
                beta.start()
            self.same_everywhere([alpha, beta], {"alpha": ("active", "manager,server"),
                                                 "beta": ("active", "standby,server")})
            self.writes(alpha, [beta])
            self.nothing_left(alpha)
            self.nothing_left(beta)

        def member():
            if self.roles(alpha)[0].get("beta", ("",))[0] != "active":
                invited()
                join()
            is_member()

        def removed():
            self.assertEqual(self.roles(alpha)[0]["beta"][0], "removed")
            self.writes(alpha, [])
            # Nobody comes back with what is left of an old invitation.
            old = json.loads((alpha.root / "var/lib/certmgr/agent/invitations.json").read_text())
            self.assertEqual(old, {})

        at_alpha = ("alpha", alpha.steps)
        passed = self.torture(
            Operation("invite", gone, invite, lambda: None, [at_alpha]),
            Operation("join", invited, join, is_member,
                      [at_alpha, ("command", beta.command_steps)]),
            Operation("remove", member, lambda: alpha.cli("server", "remove", "beta", check=False),
                      removed, [at_alpha]))
        self.assertLessEqual({"trust.json.before", "trust.json.after", "invitations.json.before",
                              "seal.key.before", "identity.json.after", "join.ask", "join.answered", "bootstrap.kept", "admit.asked",
                              "admit.signed", "admit.answer", "trust.put", "trust.committed",
                              "trust.adopted"}, passed)


class Power(Killing):
    def setUp(self):
        super().setUp()
        self.alpha, self.beta = self.server("alpha", 21), self.server("beta", 22)
        self.alpha.init().start()
        self.beta.join(self.alpha).start()

    def url(self, server):
        return f"https://{server.address}:{server.replication_port}"

    def both(self, manager, other, role):
        self.same_everywhere([manager, other], {manager.name: ("active", "manager,server"),
                                                other.name: ("active", role)})

    def test_promote(self):
        """There and back, so each of the two is killed in either part."""
        def standby(manager, other):
            done = manager.cli("server", "role", other.name, "standby", "--url", self.url(other),
                               check=False)
            return done

        def is_server(manager, other):
            def lead():
                now = self.roles(manager)[0]
                if "manager" not in now[manager.name][1]:
                    make_standby(other, manager)
                    manager.quiet("manager", "promote")
                if "standby" in self.roles(manager)[0][other.name][1]:
                    lab.wait_for("a plain server", lambda: manager.quiet(
                        "server", "role", other.name, "server", check=False).returncode == 0)
                self.both(manager, other, "server")
            return lead

        def make_standby(manager, other):
            lab.wait_for("a standby", lambda: manager.quiet(
                "server", "role", other.name, "standby", "--url", self.url(other),
                check=False).returncode == 0, 60, 0.2)
            self.both(manager, other, "standby,server")

        def is_standby(manager, other):
            def lead():
                is_server(manager, other)()
                make_standby(manager, other)
            return lead

        def promoted(manager, other):
            def check():
                self.both(manager, other, "server")
                self.writes(manager, [other])
                self.nothing_left(manager)
                self.nothing_left(other)
            return check

        alpha, beta = self.alpha, self.beta
        self.writes(alpha, [beta])  # something is there to be signed again
        places = [("alpha", alpha.steps), ("beta", beta.steps)]
        passed = self.torture(
            Operation("role", is_server(alpha, beta), lambda: standby(alpha, beta),
                      lambda: self.both(alpha, beta, "standby,server"), places),
            Operation("promote", is_standby(alpha, beta),
                      lambda: beta.cli("manager", "promote", check=False),
                      promoted(beta, alpha), places))
        self.assertLessEqual({"trust.json.after", "trust.put", "trust.committed", "trust.adopted",
                              "trust.adopt", "role.change", "succession.begin", "succession.end",
                              "succession.publish"}, passed)

    def test_two_signers(self):
        """With threshold 2 a change is proposed, carried over, signed, and comes back."""
        alpha, beta = self.alpha, self.beta
        file, address = self.dir / "proposal.json", [None]
        lab.wait_for("beta to be there", lambda: self.roles(beta) is not None)

        def shown(server):
            done = server.quiet("trust", "show", "--json", check=False)
            return json.loads(done.stdout) if done.returncode == 0 else None

        def proposal(server):
            return (shown(server) or {}).get("proposal")

        def change(wanted, words):
            """The person's three steps; what has happened already is not done again."""
            def go():
                if wanted():
                    return alpha.quiet("trust", "show")
                if proposal(alpha) is None:
                    done = alpha.cli(*words(), check=False)
                    if done.returncode != 7:
                        return done
                done = alpha.cli("trust", "propose", file, check=False)
                return done if done.returncode != 0 else beta.cli("trust", "sign", file,
                                                                  check=False)
            return go

        def threshold_is(count):
            return lambda: (shown(alpha) or {}).get("threshold") == count

        def has_address():
            listing = alpha.quiet("server", "list", "--json", check=False)
            return listing.returncode == 0 and any(
                row.get("ui_url") == address[0] for row in json.loads(listing.stdout)["servers"])

        def signers(count):
            def check():
                lab.wait_for("the threshold everywhere", lambda: all(
                    (shown(s) or {}).get("threshold") == count for s in (alpha, beta)), 60, 0.1)
                self.same_everywhere([alpha, beta], {})
                self.assertIsNone(proposal(alpha))
                self.writes(alpha, [beta])
            return check

        two = change(threshold_is(2), lambda: ("trust", "threshold", "2", "--signer", "beta"))
        one = change(threshold_is(1), lambda: ("trust", "threshold", "1"))
        move = change(has_address, lambda: ("server", "role", "beta", "standby", "--url",
                                            self.url(beta), "--ui-url", address[0]))

        def until(go, check):
            def lead():
                self.repeat("the state before", go)
                check()
            return lead

        def other_address():
            """Two sign, and what is asked next is new."""
            until(two, signers(2))()
            address[0] = f"https://{beta.address}:{self.random.randint(1000, 9999)}"

        def has_moved():
            lab.wait_for("the new address", has_address, 60)
            self.same_everywhere([alpha, beta], {"beta": ("active", "standby,server")})
            self.assertIsNone(proposal(alpha))

        places = [("alpha", alpha.steps), ("beta", beta.steps)]
        passed = self.torture(
            Operation("threshold", until(one, signers(1)), two, signers(2), places),
            Operation("role, two signers", other_address, move, has_moved, places))
        self.assertLessEqual({"proposal.kept", "trust.taken", "trust.adopt", "trust.ask",
                              "trust.told"}, passed)


if __name__ == "__main__":
    unittest.main(verbosity=2)
