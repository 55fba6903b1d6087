"""SIGKILL at every named step of a rotation: the next lives finish it, on both sides."""

import os
import unittest

import lab
import rotation_lab as rotation

# What is killed at which step: on the server whose keys are replaced, or on its manager.
SERVER = ("rotate.begun", "rotate.tls_made", "identity.prepared", "rotate.said_keys",
          "rotate.listed", "agent.pinned", "identity.kept", "identity.half", "identity.exchanged",
          "rotate.tls_half", "rotate.said_resealed", "rotate.retired", "agent.dropping",
          "identity.destroying")
MANAGER = ("serve.rotating", "serve.signed", "serve.stored", "serve.retiring", "agent.pinned")
WITH_CREDENTIALS = {"rotate.rewrapped", "serve.resealed"}  # test_rotate.py's fleet has them
STEPS = os.environ.get("CERTMGR_ROTATE_STEPS", "").split()


def up(server):
    """Starts what was killed as a whole; single processes are the supervisor's to start."""
    if not server.process.running():
        server.start(wait=False)


@unittest.skipUnless(os.environ.get("CERTMGR_STEP_BUILD", "1") != "0", "no steps in this build")
class Kill(unittest.TestCase):
    def rotate(self, fleet, victim, step, word):
        """beta replaces its keys; victim dies at the step."""
        alpha, beta = fleet.servers
        before = rotation.keys(beta)
        folder = fleet.steps[victim.name]
        (folder / step).write_text(word)
        beta.cli("server", "rotate", check=False)  # it may be killed before it answers

        def over():
            up(alpha)
            up(beta)
            state = rotation.status(beta)
            if not state and not (folder / step).exists():
                beta.cli("server", "rotate", check=False)
            return state.get("state") == "done" and rotation.keys(beta) != before

        lab.wait_for(f"the rotation after a kill of {victim.name} ({word or 'one process'}) at "
                     f"{step}", over, 150, 0.3)
        hit = folder / f"{step}.hit"
        self.assertTrue(hit.exists(), f"{victim.name} never came to {step}")
        hit.unlink()
        after = rotation.keys(beta)
        self.assertTrue(all(before[k] != after[k] for k in before), (step, before, after))
        lab.wait_for(f"the manager to list the keys ({step})",
                     lambda: rotation.listed(alpha, "beta") == after, 60)
        lab.wait_for(f"nothing to be left of the former keys ({step})",
                     lambda: rotation.secrets_left(beta) == [] and
                     "old" not in rotation.entry(alpha, "beta"), 60)

    def every(self, net, port, victims, word):
        fleet = rotation.Fleet(self, net, port, names=("alpha", "beta"))
        for server, step in victims:
            if STEPS and step not in STEPS:
                continue
            with self.subTest(server=server, step=step, word=word):
                self.rotate(fleet, fleet.servers[server], step, word)

    def test_server_one_process(self):
        self.every(61, 21060, [(1, step) for step in SERVER], "")

    def test_server_whole(self):
        self.every(71, 21070, [(1, step) for step in SERVER], "session")

    def test_manager(self):
        self.every(81, 21090, [(0, step) for step in MANAGER], "session")
        self.assertEqual(rotation.rotation_steps() - set(SERVER) - set(MANAGER), WITH_CREDENTIALS)


if __name__ == "__main__":
    unittest.main()
