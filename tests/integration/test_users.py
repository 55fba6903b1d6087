"""Rights: as root, front and agent run as the users of the configuration; otherwise it is said."""

import os
import socket
import subprocess
import unittest
from pathlib import Path

import lab

FLEET = None


def setUpModule():
    global FLEET
    FLEET = lab.Fleet(net=81, base=20000, http_port=5062)
    os.chmod(FLEET.directory, 0o755)
    for server in FLEET.server.values():
        if os.geteuid() == 0:
            server.extra = ("[process]\nfront_user = nobody\nagent_user = daemon\n"
                            "socket_group = games\n")
            server.targets.clear()
            subprocess.run(["chown", "daemon", str(server.data)], check=True)
            server.target()
    FLEET.start()


def tearDownModule():
    FLEET.stop()


def ids(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    uid = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    caps = next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1]
    return set(map(int, uid)), int(caps, 16)


class Users(unittest.TestCase):
    def test_rights(self):
        """Each process has the rights of its own user, the key files belong to the agent's."""
        bravo = FLEET.server["bravo"]
        if os.geteuid() != 0:
            self.assertIn("run as one user", bravo.process.log.read_text())
            return
        import pwd
        front, agent = (pwd.getpwnam(n).pw_uid for n in ("nobody", "daemon"))
        self.assertEqual(ids(bravo.pid_of("front-process")), ({front}, 0))
        self.assertEqual(ids(bravo.pid_of("agent-process")), ({agent}, 0))
        state = bravo.root / "var/lib/certmgr"
        for path in (state / "agent").glob("[!.]*"):  # not what is only being written
            self.assertEqual(path.stat().st_uid, agent, path)
            if path.suffix == ".key":
                self.assertEqual(path.stat().st_mode & 0o777, 0o600, path)
        read = subprocess.run(["cat", str(state / "agent/seal.key")], capture_output=True,
                              user=front, group=65534, extra_groups=[], check=False)
        self.assertNotEqual(read.returncode, 0, "the front's user cannot read the seal key")

    @unittest.skipIf(os.geteuid() != 0, "only root becomes somebody else")
    def test_the_group_of_the_socket(self):
        """Its members are administrators under their own name; nobody else can connect."""
        import grp
        import pwd
        member, group = pwd.getpwnam("man").pw_uid, grp.getgrnam("games").gr_gid
        sock = FLEET.manager.root / "run/certmgr/certmgr.sock"

        def connect(gid):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    os.setgroups([])
                    os.setgid(gid)
                    os.setuid(member)
                    with socket.socket(socket.AF_UNIX) as s:
                        s.connect(str(sock))
                        s.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n"
                                  b"Connection: close\r\n\r\n")
                        status = 0 if s.recv(64).startswith(b"HTTP/1.1 200") else 3
                except PermissionError:
                    status = 2
                finally:
                    os._exit(status)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        self.assertEqual(connect(group), 0, "a member is answered")
        self.assertEqual(connect(pwd.getpwnam("man").pw_gid), 2, "a stranger cannot connect")

    def test_main_path_with_these_rights(self):
        credential = FLEET.manager.json("request", "-d", "rights.users.example", "-s", "bravo")
        credential = credential["credential"]
        FLEET.manager.wait_issued(credential)
        FLEET.manager.wait_receipts(credential, ["bravo"], state="deployed")
        kyr = FLEET.server["bravo"].data / "keyfile.kyr"
        self.assertEqual(kyr.stat().st_mode & 0o777, 0o600)

    @unittest.skipIf(os.geteuid() != 0, "only root gives files away")
    def test_links_give_nobody_the_files_of_others(self):
        """The front's user may put links into its directory; a start must not hand over their ends."""
        bravo = FLEET.server["bravo"]
        bravo.stop()
        store = bravo.root / "var/lib/certmgr/store"
        links = []
        for name, make in (("soft", os.symlink), ("hard", os.link)):
            victim = FLEET.directory / f"victim-{name}"
            victim.write_text("root's own")
            make(victim, store / name)
            links.append((victim, store / name))
        plain = store / "plain"
        plain.write_text("")
        bravo.start()
        self.assertNotEqual(plain.stat().st_uid, 0, "a plain file is given to the front's user")
        for victim, link in links:
            self.assertEqual(victim.stat().st_uid, 0, link.name)
            link.unlink()
        plain.unlink()

    def test_restart_keeps_working(self):
        bravo = FLEET.server["bravo"]
        bravo.stop()
        bravo.start()
        lab.wait_for("the agent's channel", lambda: bravo.json("status")["agent_connected"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
