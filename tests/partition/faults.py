"""What goes wrong in a schedule. Every fault begins, lasts until the healing, and is undone by it."""

import random
import signal
import threading

HOUR, YEAR = 3600, 365 * 86400


class Fault:
    def __init__(self, fleet, rng, lasts):
        self.fleet, self.net, self.rng, self.lasts = fleet, fleet.net, rng, lasts
        self.names = list(fleet.node)
        self.choose()

    def choose(self):
        """Draws its lots; before anything begins, so that a seed gives the same schedule."""

    def begin(self):
        raise NotImplementedError

    def heal(self):
        raise NotImplementedError

    servers = ()  # who must not be hit by another fault of the kind


class Split(Fault):
    """Two or three groups that do not hear each other."""

    def choose(self):
        count = self.rng.choice((2, 2, 3))
        while True:
            self.side = {name: self.rng.randrange(count) for name in self.names}
            if len(set(self.side.values())) == count:
                break
        self.pairs = [(a, b) for a in self.names for b in self.names
                      if self.side[a] != self.side[b]]

    def begin(self):
        self.net.cut(self.pairs)

    def heal(self):
        self.net.cut(self.pairs, -1)

    def __str__(self):
        groups = {}
        for name, side in self.side.items():
            groups.setdefault(side, []).append(name)
        return "split " + " | ".join("+".join(group) for group in groups.values())


class OneWay(Fault):
    """The manager does not hear a server, or a server the manager; answers go the other way."""

    def choose(self):
        other = self.rng.choice(self.names[1:])
        self.pairs = [("alpha", other) if self.rng.random() < 0.5 else (other, "alpha")]

    def begin(self):
        self.net.cut(self.pairs)

    def heal(self):
        self.net.cut(self.pairs, -1)

    def __str__(self):
        return f"one way: {self.pairs[0][1]} does not hear {self.pairs[0][0]}"


class Flap(Fault):
    """A link that is up and down for 1 to 5 s each."""

    def choose(self):
        self.name = self.rng.choice(self.names)
        self.lots = random.Random(self.rng.random())
        self.over = threading.Event()

    def begin(self):
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        up = True
        while not self.over.is_set():
            up = not up
            self.net.link(self.name, up)
            self.over.wait(self.lots.uniform(1, 5))

    def heal(self):
        self.over.set()
        self.thread.join()
        self.net.link(self.name, True)

    def __str__(self):
        return f"flapping link of {self.name}"


class Slow(Fault):
    """New connections of a server to the manager go through a proxy that delays and drips; its front
    is killed so that there are new ones."""

    def choose(self):
        self.name = self.rng.choice(self.names[1:])
        self.delay = self.rng.choice((0.2, 0.5, 1.0))
        self.rate = self.rng.choice((4000, 16000, 64000))

    @property
    def servers(self):
        return (("slow", self.name),)

    def begin(self):
        self.net.slow(self.name, "alpha", self.delay, self.rate)
        self.fleet.node[self.name].kill_front()

    def heal(self):
        self.net.fast(self.name)

    def __str__(self):
        return f"slow link of {self.name}: {self.delay} s late, {self.rate} bytes/s"


class Narrow(Fault):
    """A thin line."""

    def choose(self):
        self.name = self.rng.choice(self.names)
        self.kbit = self.rng.choice((64, 256))

    @property
    def servers(self):
        return (("narrow", self.name),)

    def begin(self):
        self.net.narrow(self.name, self.kbit)

    def heal(self):
        self.net.narrow(self.name, 0)

    def __str__(self):
        return f"thin line of {self.name}: {self.kbit} kbit/s"


class Stop(Fault):
    """SIGSTOP of a whole server for at most 30 s."""

    def choose(self):
        self.name = self.rng.choice(self.names)
        self.seconds = min(self.lasts, self.rng.uniform(3, 30))

    @property
    def servers(self):
        return (("process", self.name),)

    def begin(self):
        self.node = self.fleet.node[self.name]
        self.node.signal_all(signal.SIGSTOP)
        self.timer = threading.Timer(self.seconds, self.node.signal_all, (signal.SIGCONT,))
        self.timer.daemon = True
        self.timer.start()

    def heal(self):
        self.timer.cancel()
        self.node.signal_all(signal.SIGCONT)

    def __str__(self):
        return f"{self.name} stopped for {self.seconds:.0f} s"


class Kill(Fault):
    """SIGKILL of the front now and then, or once of the whole server, which starts again."""

    def choose(self):
        self.name = self.rng.choice(self.names)
        self.whole = self.rng.random() < 0.5
        self.lots = random.Random(self.rng.random())
        self.over = threading.Event()

    @property
    def servers(self):
        return (("process", self.name),)

    def begin(self):
        self.node = self.fleet.node[self.name]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        if self.whole:
            self.node.kill()
            self.over.wait(self.lots.uniform(0, self.lasts))
            self.node.start(wait=False)
            return
        while not self.over.wait(self.lots.uniform(0.5, 3)):
            self.node.kill_front()

    def heal(self):
        self.over.set()
        self.thread.join()

    def __str__(self):
        return f"SIGKILL of {self.name}" + ("" if self.whole else "'s front, again and again")


class Skew(Fault):
    """A clock that stands wrong by an hour or by ten years."""

    def choose(self):
        self.name = self.rng.choice(self.names)
        self.seconds = self.rng.choice((HOUR, -HOUR, 10 * YEAR, -10 * YEAR))

    @property
    def servers(self):
        return (("clock", ""),)  # one server at a time

    def begin(self):
        self.fleet.node[self.name].skew(self.seconds)

    def heal(self):
        self.fleet.node[self.name].skew(0)

    def __str__(self):
        return f"clock of {self.name} wrong by {self.seconds / HOUR:+.0f} h"


class Full(Fault):
    """No room on a disk."""

    def choose(self):
        self.name = self.rng.choice(self.names)

    @property
    def servers(self):
        return (("disk", self.name),)

    def begin(self):
        self.fleet.node[self.name].fill()

    def heal(self):
        self.fleet.node[self.name].empty()

    def __str__(self):
        return f"disk of {self.name} full"


KINDS = (Split, Split, OneWay, Flap, Slow, Narrow, Stop, Kill, Skew, Skew, Full)


def draw(fleet, rng, lasts, kinds=KINDS):
    """One to three faults for a schedule."""
    chosen, taken = [], set()
    for _ in range(rng.choice((1, 2, 2, 3))):
        fault = rng.choice(kinds)(fleet, rng, lasts)
        if not taken & set(fault.servers):
            taken |= set(fault.servers)
            chosen.append(fault)
    return chosen
