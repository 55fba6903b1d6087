"""A network of its own: one namespace per server, joined by a bridge in another. Nothing leads out.

Cuts are nftables sets of sources whose packets a server drops, so a cut in one direction is one
entry. Needs root and `ip`, `nft`.
"""

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

CLONE_NEWNET = 0x40000000
RULES = """
table inet partition {{
    set cut {{ type ipv4_addr; }}
    chain incoming {{ type filter hook input priority 0; ip saddr @cut drop; }}
}}
table ip slow {{
    set target {{ type ipv4_addr; }}
    chain outgoing {{
        type nat hook output priority -100;
        ip daddr @target tcp dport {port} meta mark != 7 redirect to :{proxy};
    }}
}}
"""


class NoNamespaces(Exception):
    """This machine or user cannot make network namespaces."""


def sh(*args, text=None):
    done = subprocess.run([str(a) for a in args], input=text, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, args))}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Net:
    """names: the servers; each gets the address net.1, net.2 … in a namespace of its own."""

    def __init__(self, names, net="10.99.77", replication_port=8444, proxy_port=9444):
        self.tag = f"cmp{os.getpid()}"
        self.hub = f"{self.tag}-hub"
        self.names = list(names)
        self.address = {name: f"{net}.{i + 1}" for i, name in enumerate(self.names)}
        self.space = {name: f"{self.tag}-{name}" for name in self.names}
        self.port, self.proxy_port = replication_port, proxy_port
        self.proxies = {}
        self.blocked = {name: {} for name in self.names}  # receiver -> {sender: how many cuts}
        self.lock = threading.Lock()
        self.made = []

    # -- life --

    def create(self):
        if os.geteuid() != 0:
            raise NoNamespaces("network namespaces are made by root only")
        try:
            for space in [self.hub, *self.space.values()]:
                sh("ip", "netns", "add", space)
                self.made.append(space)
            sh("ip", "-n", self.hub, "-batch", "-",
               text="link add bridge type bridge\nlink set bridge up\n")
            for i, name in enumerate(self.names):
                self._join(i, name)
        except OSError as error:
            self.remove()
            raise NoNamespaces(str(error)) from None
        return self

    def _join(self, i, name):
        space = self.space[name]
        sh("ip", "-n", self.hub, "-batch", "-",
           text=f"link add port{i} type veth peer name eth0 netns {space}\n"
                f"link set port{i} master bridge\nlink set port{i} up\n")
        sh("ip", "-n", space, "-batch", "-",
           text=f"link set lo up\naddr add {self.address[name]}/24 dev eth0\nlink set eth0 up\n")
        self._nft(name, RULES.format(port=self.port, proxy=self.proxy_port))

    def remove(self):
        for name in list(self.proxies):
            self.fast(name)
        for space in self.made:
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
        self.made = []

    def enter(self, name):
        """This process (and what it starts) lives in that server's namespace from now on. Before
        any thread begins."""
        fd = os.open(f"/run/netns/{self.space[name]}", os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)

    def inside(self, name):
        """The words before a command that is to run on that server."""
        return ["ip", "netns", "exec", self.space[name]]

    def _nft(self, name, text):
        sh(*self.inside(name), "nft", "-f", "-", text=text)

    # -- what goes wrong --

    def _apply(self, receiver):
        cut = ", ".join(self.address[s] for s, n in self.blocked[receiver].items() if n > 0)
        self._nft(receiver, "flush set inet partition cut\n" +
                  (f"add element inet partition cut {{ {cut} }}\n" if cut else ""))

    def cut(self, pairs, change=1):
        """pairs of (sender, receiver); change -1 takes the same cut away again."""
        with self.lock:
            for sender, receiver in pairs:
                count = self.blocked[receiver]
                count[sender] = count.get(sender, 0) + change
            for receiver in {receiver for _, receiver in pairs}:
                self._apply(receiver)

    def link(self, name, up):
        sh("ip", "-n", self.space[name], "link", "set", "eth0", "up" if up else "down")

    def narrow(self, name, kbit):
        """A thin line out of this server; 0 = as it was."""
        tc = ["tc", "-n", self.space[name], "qdisc"]
        if kbit:
            sh(*tc, "add", "dev", "eth0", "root", "tbf", "rate", f"{kbit}kbit", "burst", "4k",
               "latency", "400ms")
        else:
            sh(*tc, "del", "dev", "eth0", "root")

    def slow(self, name, target, delay, rate):
        """New connections from this server to the target's replication port are slow."""
        proxy = Path(__file__).with_name("slow_proxy.py")
        self.proxies[name] = subprocess.Popen(
            [*self.inside(name), sys.executable, str(proxy), str(self.proxy_port),
             self.address[target], str(self.port), str(delay), str(rate)])
        self._nft(name, f"add element ip slow target {{ {self.address[target]} }}")

    def fast(self, name):
        self._nft(name, "flush set ip slow target")
        proxy = self.proxies.pop(name)
        proxy.kill()
        proxy.wait()
