"""Runs the browser scenarios against one real fleet: form to Issued and around it, in Chromium."""

import os
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import lab  # noqa: E402


class InBrowser(unittest.TestCase):
    def test_scenarios(self):
        fleet = lab.Fleet(net="127.0.208", base=28600, http_port=28680)
        shots = os.environ.get("SCREENSHOTS", "")
        try:
            fleet.start()
            fleet.add_account("direct", "--no-self-check")
            fleet.manager.cli("settings", "--account", "pebble")
            fleet.pebble.address("unreachable.example.test", "127.0.208.9")  # nobody answers there
            base = f"https://{fleet.manager.address}:{fleet.manager.ui_port}"
            bravo = fleet.server["bravo"]
            standby = f"https://{bravo.address}:{bravo.ui_port}"
            fleet.manager.cli("server", "role", "bravo", "standby", "--ui-url", standby, "--url",
                              f"https://{bravo.address}:{bravo.replication_port}")
            lab.wait_for("bravo to learn it",
                         lambda: "standby" in bravo.cli("server", "list", check=False).stdout)
            pids = [str(server.pid_of(process)) for server, process in
                    ((fleet.manager, "front-process"), (fleet.manager, "agent-process"),
                     (fleet.server["charlie"], "front-process"))]
            pids.append(str(fleet.pebble.processes[-1].child.pid))
            # What it says goes to our own output, so that an end by time limit tells how far it came.
            done = subprocess.run(["node", "all.mjs", base, fleet.manager.setup_link, *pids,
                                   standby, bravo.json("setup-link")["url"], shots],
                                  cwd=Path(__file__).parent, timeout=540, check=False)
            self.assertEqual(done.returncode, 0, fleet.manager.tail())
        finally:
            fleet.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
