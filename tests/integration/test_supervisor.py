"""The supervisor: children come back, ports may be taken, one server per state directory."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

import lab

PIDFD_GETFD = 438  # of Linux, on every architecture
CHANNEL = 3  # CHANNEL_FD

libc = ctypes.CDLL(None, use_errno=True)
DIRECTORY = None
SERVER = None


def setUpModule():
    global DIRECTORY, SERVER
    DIRECTORY = Path(tempfile.mkdtemp(prefix="certmgr-supervisor-"))
    SERVER = lab.Server(DIRECTORY, "alpha", "127.0.0.95").init().start()


def tearDownModule():
    SERVER.stop()
    shutil.rmtree(DIRECTORY)


def gone(pid):
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def listener(server, name):
    rows = server.json("status")["listeners"]
    return next(row for row in rows if row["name"] == name)


class Supervisor(unittest.TestCase):
    def kill_child(self, process):
        old = SERVER.pid_of(process)
        other = {"front-process": "agent-process", "agent-process": "front-process"}[process]
        beside = SERVER.pid_of(other)
        os.kill(old, signal.SIGKILL)
        lab.wait_for(f"another {process}", lambda: SERVER.pid_of(process) not in (None, old), 30)
        lab.wait_for("the agent's channel", lambda: SERVER.cli(
            "status", "--json", check=False).returncode == 0 and
            SERVER.json("status")["agent_connected"], 30)
        self.assertEqual(SERVER.pid_of(other), beside, "the other process is left alone")
        self.assertEqual(listener(SERVER, "ui")["state"], "open")
        # the agent answers: an invitation is signed there
        self.assertIn("token", SERVER.json("server", "add", "bravo"))

    def test_the_agent_comes_back(self):
        self.kill_child("agent-process")

    def test_the_front_comes_back(self):
        self.kill_child("front-process")

    def test_children_end_with_a_killed_supervisor(self):
        children = [pid for pid, _ in SERVER.children()]
        self.assertEqual(len(children), 2)
        SERVER.process.child.kill()
        SERVER.process.child.wait()
        lab.wait_for("the children to end", lambda: all(map(gone, children)), 30)
        SERVER.start()
        for name in ("ui", "replication", "challenge", "api"):
            lab.wait_for(f"listener {name}",
                         lambda: listener(SERVER, name)["state"] == "open", 30)

    def send_as_front(self, data):
        """A packet to the supervisor through the front's own end of their channel."""
        copy = libc.syscall(PIDFD_GETFD, os.pidfd_open(SERVER.pid_of("front-process")), CHANNEL, 0)
        self.assertGreaterEqual(copy, 0, "root may take a copy of another process's descriptor")
        with socket.socket(fileno=copy) as channel:
            channel.send(data)

    @unittest.skipIf(os.geteuid() != 0, "needs root: it speaks in the front's name")
    def test_what_a_strange_front_says_is_refused(self):
        """The supervisor stays, and the agent; the front is replaced, for ours says no such thing."""
        for packet, said in ((b'{"op":"open","path":"/etc/shadow"}', "the front sent an unknown packet"),
                             (b'{"op":"hook","id":-1}', "the front sent an unknown packet"),
                             (b"no JSON at all", "ended by signal 9")):
            old, agent = SERVER.pid_of("front-process"), SERVER.pid_of("agent-process")
            told = SERVER.process.log.read_text().count(said)
            self.send_as_front(packet)
            lab.wait_for("another front",
                         lambda: SERVER.pid_of("front-process") not in (None, old), 30)
            self.assertGreater(SERVER.process.log.read_text().count(said), told, packet)
            self.assertIsNone(SERVER.process.child.poll(), "the supervisor goes on")
            self.assertEqual(SERVER.pid_of("agent-process"), agent)
            lab.wait_for("the agent's channel", lambda: SERVER.cli(
                "status", "--json", check=False).returncode == 0 and
                SERVER.json("status")["agent_connected"], 30)

    @unittest.skipIf(os.geteuid() != 0, "needs root: it speaks in the front's name")
    def test_a_hung_agent_is_ended(self):
        """As the front reports it after a minute of silence; what waits is answered by the next."""
        old, front = SERVER.pid_of("agent-process"), SERVER.pid_of("front-process")
        os.kill(old, signal.SIGSTOP)
        done = []
        waiting = threading.Thread(target=lambda: done.append(SERVER.json("server", "add", "delta")))
        waiting.start()
        lab.wait_for("another agent", lambda: SERVER.pid_of("agent-process") not in (None, old) or
                     self.send_as_front(b'{"op":"agent.hung","silent_s":60}'), 30)
        young = SERVER.pid_of("agent-process")
        waiting.join(60)
        self.assertIn("token", done[0])
        self.send_as_front(b'{"op":"agent.hung","silent_s":60}')  # about the one before
        self.assertIn("token", SERVER.json("server", "add", "echo"))
        self.assertEqual(SERVER.pid_of("agent-process"), young)
        self.assertEqual(SERVER.pid_of("front-process"), front)
        self.assertIn("it is ended", SERVER.process.log.read_text())

    def test_a_second_server_on_the_same_state_is_refused(self):
        second = subprocess.run([str(SERVER.certmgr), "--root", str(SERVER.root), "serve"],
                                capture_output=True, text=True, check=False, timeout=30)
        self.assertEqual(second.returncode, 1)
        self.assertIn("runs already", second.stderr)
        self.assertEqual(SERVER.json("status")["server"], "alpha", "the first still answers")

    def test_a_server_of_no_fleet_says_what_to_do(self):
        fresh = lab.Server(DIRECTORY, "fresh", "127.0.0.96").configure()
        done = subprocess.run([str(fresh.certmgr), "serve", "--root", str(fresh.root)],
                              capture_output=True, text=True, check=False, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("belongs to no fleet yet", done.stderr)
        self.assertIn("certmgr init", done.stderr)

    @unittest.skipIf(os.geteuid() != 0, "another user is needed")
    def test_the_state_of_another_user_is_told_so(self):
        os.chmod(DIRECTORY, 0o755)
        done = subprocess.run([str(lab.CERTMGR), "serve", "--root", str(SERVER.root)], user=65534,
                              group=65534, extra_groups=[], capture_output=True, text=True,
                              timeout=20, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("belongs to another user", done.stderr)
        self.assertNotIn("no fleet", done.stderr)

    def test_a_taken_port_turns_one_listener_yellow(self):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.97", 5002))
            taken.listen()
            server = lab.Server(DIRECTORY, "delta", "127.0.0.97").init().start()
            try:
                row = listener(server, "challenge")
                self.assertEqual(row["state"], "failed")
                self.assertIn("another program uses this address", row["error"])
                self.assertEqual(listener(server, "ui")["state"], "open")
                taken.close()
                lab.wait_for("the port to be taken over",
                             lambda: listener(server, "challenge")["state"] == "open", 30)
                self.assertNotIn("error", listener(server, "challenge"))
                self.assertTrue(lab.port_open("127.0.0.97", 5002))
            finally:
                server.stop()

    def test_stop_is_orderly(self):
        server = lab.Server(DIRECTORY, "echo", "127.0.0.98").init().start()
        children = [pid for pid, _ in server.children()]
        server.process.child.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.child.wait(30), 0)
        self.assertTrue(all(map(gone, children)))
        self.assertFalse((server.root / "run/certmgr/certmgr.sock").exists())
        self.assertFalse(lab.port_open("127.0.0.98", 8443))
        server.start()
        server.stop()

    def test_a_relative_root_is_enough(self):
        server = lab.Server(DIRECTORY, "golf", "127.0.0.99").init()
        server.process = lab.Process("relative", [server.certmgr, "--root", "golf", "serve"],
                                     server.root, cwd=DIRECTORY)
        server.start()
        try:
            done = subprocess.run([str(server.certmgr), "--root", "golf", "server", "list"],
                                  capture_output=True, text=True, check=False, cwd=DIRECTORY,
                                  timeout=30)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("golf", done.stdout)
        finally:
            server.stop()

    def test_the_front_may_open_many_files(self):
        limits = Path(f"/proc/{SERVER.pid_of('front-process')}/limits").read_text()
        row = next(line for line in limits.splitlines() if line.startswith("Max open files"))
        soft, hard = row.split()[3:5]
        self.assertEqual(soft, hard)


if __name__ == "__main__":
    unittest.main(verbosity=2)
