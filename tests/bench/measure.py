"""What processes cost: CPU time, resident memory; medians with their range."""

import os
import statistics
import threading
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(pid):
    """Seconds of CPU of a process so far, to the nanosecond, and of its ended children (hooks)."""
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return total / 1e9 + (int(fields[13]) + int(fields[14])) / TICK


def memory_of(pid, field="Rss"):
    """MB. Rss counts a page that processes share in each of them, Pss a part of it."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def session_pids(session):
    out = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == session:
                out.append(int(entry))
    return out


class Cpu:
    """CPU spent by groups of processes between begin and end."""

    def __init__(self, groups):
        self.groups = groups
        self.before = {name: sum(map(cpu_of, pids)) for name, pids in groups.items()}

    def spent(self):
        return {name: sum(map(cpu_of, pids)) - self.before[name]
                for name, pids in self.groups.items()}


class Memory(threading.Thread):
    """Peak of the sum over groups of processes, sampled; groups: a dict or a function."""

    def __init__(self, groups, pause=0.1):
        super().__init__(daemon=True)
        self.groups = groups if callable(groups) else lambda: groups
        self.pause, self.over = pause, threading.Event()
        self.rss, self.pss = {}, {}

    def look(self):
        for name, pids in self.groups().items():
            self.rss[name] = max(self.rss.get(name, 0), sum(memory_of(p) for p in pids))
            self.pss[name] = max(self.pss.get(name, 0), sum(memory_of(p, "Pss") for p in pids))

    def run(self):
        while not self.over.wait(self.pause):
            self.look()

    def stop(self):
        self.over.set()
        self.join()
        self.look()
        return self


def spread(values, form="{:.2f}"):
    """"median (least - most)" of what is there."""
    values = [v for v in values if v is not None]
    if not values:
        return "-"
    middle = form.format(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({form.format(min(values))} - {form.format(max(values))})"
