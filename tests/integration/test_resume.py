"""kill -9 in the middle of an order: the same order is finished, never a second one."""

import os
import signal
import threading
import unittest

import lab
from fault_proxy import FaultProxy

FLEET = None
PROXY = None


def setUpModule():
    global FLEET, PROXY
    FLEET = lab.Fleet(net=31, base=22000, http_port=5012,
                      directory_url="https://127.0.0.1:22007/dir")
    PROXY = FaultProxy(FLEET.pebble, 22007)
    FLEET.pebble.start(FLEET.manager.address)
    PROXY.start()
    FLEET.manager.init().start()
    FLEET.server["bravo"].join(FLEET.manager).start()
    FLEET.add_account()


def tearDownModule():
    FLEET.stop()
    PROXY.stop()


class Resume(unittest.TestCase):
    def issue_with_kill(self, name, kind, after, processes=("all",)):
        manager = FLEET.manager
        before = dict(PROXY.accepted)

        killed = threading.Event()

        def kill():
            if processes == ("all",):
                manager.kill()
            else:
                for process in processes:
                    os.kill(manager.pid_of(process), signal.SIGKILL)
            killed.set()

        PROXY.seen.clear()
        PROXY.before(kind, kill, after)
        credential = manager.json("request", "-d", name, "-s", "bravo", "--keyring-file",
                                  name.split(".")[0] + ".kyr")["credential"]
        self.assertTrue(killed.wait(60), "nobody was killed")
        if processes == ("all",):
            manager.start()
        view = manager.wait_issued(credential)
        ran = {k: PROXY.accepted.get(k, 0) - before.get(k, 0) for k in PROXY.accepted}
        self.assertEqual(ran.get("newOrder"), 1, f"a second order was made: {ran}")
        self.assertEqual(ran.get("finalize"), 1, f"finalized more than once: {ran}")
        self.assertEqual(view["credential"]["san"], [name])
        # the key that was sealed first is the one in the certificate, readable by bravo alone
        sealed = FLEET.server["bravo"].document(f"credential:{credential}")["sealed_key"]
        self.assertTrue(FLEET.server["bravo"].can_open(sealed))
        self.assertFalse(manager.can_open(sealed))
        return view

    def test_killed_after_new_order(self):
        self.issue_with_kill("a1.resume.example", "authorization", after="newOrder")

    def test_killed_after_challenge_answer(self):
        self.issue_with_kill("a2.resume.example", "order", after="challenge")

    def test_killed_after_finalize(self):
        self.issue_with_kill("a3.resume.example", "order", after="finalize")

    def test_front_alone_killed_after_new_order(self):
        self.issue_with_kill("a4.resume.example", "authorization", "newOrder", ("front-process",))

    def test_agent_alone_killed_before_finalize(self):
        self.issue_with_kill("a5.resume.example", "challenge", "newOrder", ("agent-process",))


if __name__ == "__main__":
    unittest.main(verbosity=2)
