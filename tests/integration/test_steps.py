"""SIGKILL of everything at each named step of a change of power: it is finished, or asked again.

Each operation runs once unharmed, which tells its steps (base/core/step.h) on every server and in
the command. Then it runs again and again, and at each of the steps supervisor, front and agent (or
the command with its agent) are killed together. What was killed starts again, the person repeats the
same command, and the end is the same as without a kill: one manager, one trust root everywhere,
nothing half-made.

CI takes some of the steps (CERTMGR_SEED repeats the choice); CERTMGR_STEPS_ALL=1 takes every one.
"""

import json
import shutil
import unittest

import lab
import lab_steps
from lab_steps import Operation

setUpModule = lab_steps.announce


class Killing(lab_steps.Killing):
    ports = {"ui_port": 22443, "replication_port": 22444, "challenge_port": 22480}


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
            if self.members(alpha).get("beta", ("removed",))[0] != "removed":
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
            if self.members(alpha).get("beta", ("",))[0] != "active":
                invited()
                join()
            is_member()

        def removed():
            self.assertEqual(self.members(alpha)["beta"][0], "removed")
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
                if "manager" not in self.members(manager)[manager.name][1]:
                    make_standby(other, manager)
                    lab.wait_for("the promotion", lambda: manager.quiet(
                        "manager", "promote", check=False).returncode == 0, 60, 0.2)
                if "standby" in self.members(manager)[other.name][1]:
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
