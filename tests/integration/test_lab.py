"""The laboratory itself: whoever ends it, and however, nothing of it stays behind."""

import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import lab

# A master with a worker, as nginx is; stubborn ones do not listen to SIGTERM.
# Both pids are in place at once: a file that is only being written is not read.
MASTER = "sleep 300 & {trap}; echo $$ $! >pids.new; mv pids.new pids; wait; wait"
# SIGINT is heard even when this was started in the background of a shell, which ignores it there.
TEST = """
import signal
import sys
import lab
signal.signal(signal.SIGINT, signal.default_int_handler)
lab.Process("master", ["sh", "-c", {command!r}], {scratch!r}, cwd={scratch!r}).start()
lab.wait_for("the worker", lambda: lab.Path({scratch!r}, "pids").exists())
print("started", flush=True)
{then}
"""


class EndOfALaboratory(unittest.TestCase):
    def left(self, then, kill=None, trap=":"):
        """What is left of master and worker when a test program has ended."""
        with tempfile.TemporaryDirectory() as scratch:
            code = TEST.format(command=MASTER.format(trap=trap), scratch=scratch, then=then)
            child = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent,
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.assertEqual(child.stdout.readline(), "started\n")
            pids = [int(pid) for pid in (Path(scratch) / "pids").read_text().split()]
            self.assertEqual(len(pids), 2)
            if kill:
                child.send_signal(kill)
            child.wait(60)
            child.stdout.close()
            self.assertNotEqual(child.returncode, 0)
            try:
                lab.wait_for("their end", lambda: not any(map(lab.runs, pids)), 60)
            except lab.LabError:
                pass
            left = [pid for pid in pids if lab.runs(pid)]
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            return left

    def test_an_error(self):
        self.assertEqual(self.left("raise RuntimeError('aborted')"), [])

    def test_a_signal(self):
        self.assertEqual(self.left("lab.time.sleep(300)", signal.SIGTERM), [])
        self.assertEqual(self.left("lab.time.sleep(300)", signal.SIGINT), [])

    def test_who_does_not_listen(self):
        self.assertEqual(self.left("raise RuntimeError('aborted')", trap="trap '' TERM"), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
