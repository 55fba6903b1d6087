"""SIGKILL at every named step of a rotation: the next lives finish it, on both sides."""

import os
import shutil
import unittest

import lab
import rotation_lab as rotation

# What is killed at which step: on the server whose keys are replaced, or on its manager.
SERVER = ("rotate.begun", "rotate.tls_made", "identity.prepared", "rotate.said_keys",
          "rotate.listed", "agent.pinned", "identity.kept", "identity.half", "identity.exchanged",
          "rotate.tls_half", "rotate.said_resealed", "rotate.retired", "agent.dropping",
          "identity.destroying")
MANAGER = ("serve.rotating", "serve.signed", "serve.stored", "serve.looked", "serve.retiring",
           "agent.pinned")
SEALED = ((1, "rotate.rewrapped", ""), (1, "rotate.rewrapped", "session"),
          (0, "serve.resealed", "session"))  # they need something that is sealed
# All processes at once, where more than one of them holds a part of what is going on.
WHOLE = ("rotate.listed", "identity.half", "rotate.tls_half", "agent.dropping")
# A manager's own keys: where it once went wrong and where most is under way; CERTMGR_ROTATE_STEPS
# names others.
OF_THE_MANAGER = ("identity.half", "serve.stored", "succession.publish")
STEPS = os.environ.get("CERTMGR_ROTATE_STEPS", "").split()


def up(server):
    """Starts what was killed as a whole; single processes are the supervisor's to start."""
    if not server.process.running():
        server.start(wait=False)


@unittest.skipUnless(os.environ.get("CERTMGR_STEP_BUILD", "1") != "0", "no steps in this build")
class Kill(unittest.TestCase):
    def rotate(self, fleet, victim, step, word, who="beta"):
        """`who` replaces its keys; victim dies at the step."""
        alpha, beta = fleet.servers
        one = alpha if who == "alpha" else beta
        before = rotation.keys(one)
        folder = fleet.steps[victim.name]
        (folder / step).write_text(word)
        one.cli("server", "rotate", check=False)  # it may be killed before it answers

        def over():
            up(alpha)
            up(beta)
            state = rotation.status(one)
            same = rotation.keys(one) == before
            # Killed before it was kept: what is known is still the rotation before, or nothing.
            if same and state.get("state", "done") == "done" and not (folder / step).exists():
                one.cli("server", "rotate", check=False)
            return state.get("state") == "done" and not same

        lab.wait_for(f"the rotation after a kill of {victim.name} ({word or 'one process'}) at "
                     f"{step}", over, 150, 0.3)
        hit = folder / f"{step}.hit"
        self.assertTrue(hit.exists(), f"{victim.name} never came to {step}")
        hit.unlink()
        after = rotation.keys(one)
        self.assertTrue(all(before[k] != after[k] for k in before), (step, before, after))
        lab.wait_for(f"the manager to list the keys ({step})",
                     lambda: rotation.listed(alpha, who) == after, 60)
        lab.wait_for(f"nothing to be left of the former keys ({step})",
                     lambda: rotation.secrets_left(one) == [] and
                     "old" not in rotation.entry(alpha, who), 60)

    def every(self, net, port, victims, word):
        fleet = rotation.Fleet(self, net, port, names=("alpha", "beta"))
        victims = [one for one in victims if not STEPS or one[1] in STEPS]
        for i, (server, step) in enumerate(victims):
            if not word and i % 4 == 3:  # a supervisor waits longer after each kill in a row
                fleet.servers[server].stop()
                fleet.servers[server].start()
            with self.subTest(server=server, step=step, word=word):
                self.rotate(fleet, fleet.servers[server], step, word)

    def test_server_one_process(self):
        self.every(61, 21060, [(1, step) for step in SERVER], "")

    def test_server_whole(self):
        steps = STEPS or WHOLE
        self.every(71, 21070, [(1, step) for step in SERVER if step in steps], "session")

    def test_manager(self):
        self.every(81, 21090, [(0, step) for step in MANAGER], "session")
        self.assertEqual(rotation.rotation_steps() - set(SERVER) - set(MANAGER),
                         {step for _, step, _ in SEALED})

    def with_account(self, net, port):
        ca = rotation.certificate_authority(http_port=21280, base=21300)
        self.addCleanup(shutil.rmtree, ca.directory)
        self.addCleanup(ca.stop)
        fleet = rotation.Fleet(self, net, port, ca, names=("alpha", "beta"))
        fleet.account()
        return fleet

    def test_sealed(self):
        fleet = self.with_account(101, 21120)
        beta = fleet.beta
        made = fleet.credential("one.kill.example", "beta")
        for server, step, word in SEALED:
            if STEPS and step not in STEPS:
                continue
            with self.subTest(server=server, step=step, word=word):
                self.rotate(fleet, fleet.servers[server], step, word)
                for doc in (f"keyfile:{made}", f"credential:{made}"):
                    lab.wait_for(f"{doc} to be opened after {step}", lambda doc=doc: beta.can_open(
                        beta.document(doc)["sealed_key"]), 60)

    def test_of_the_manager(self):
        fleet = self.with_account(111, 21130)
        alpha = fleet.alpha
        # Its secrets are sealed again by the pass over the managers' documents (succession.c).
        every = {*SERVER, *MANAGER, "succession.publish"}
        for step in sorted(every.intersection(STEPS) if STEPS else OF_THE_MANAGER):
            with self.subTest(step=step):
                self.rotate(fleet, alpha, step, "session", "alpha")
                self.assertTrue(alpha.can_open(alpha.document("account:pebble")["sealed_key"]))


if __name__ == "__main__":
    unittest.main()
