"""Do two tests that may run side by side use the same addresses or ports?

Each file's claims are read from its text: nets 127.0.N. (N > 0), addresses 127.0.N.M (of 127.0.0.N
those with N > 9, with the servers behind `net=`), ports that are assigned to names with PORT or BASE in them or given as
`…port=` or `base=`, Pebble's behind a base (base, + 1, + 53, + 55), and 127.0.0.1:port.  The text
does not tell which address a port belongs to: each is one file's alone.  A port that a laboratory
names is named by each test that imports it: two of those collide.  Exceptions: nets.txt.
"""

import ast
import re
from pathlib import Path

FOLDERS = ("integration", "partition", "bench")
LABORATORY = ("lab.py", "lab_dns.py", "lab_nginx.py")  # defaults for those who claim them
FLEET = 8           # servers behind net=
PEBBLE = (0, 1, 53, 55)
FIRST_CLIENT_PORT = 32768  # the system gives those to clients (ip_local_port_range)
NETS = re.compile(r"\b(127\.0\.[1-9]\d*)(?!\.?\d)")
ADDRESS = re.compile(r"\b(127\.0\.(?:[1-9]\d*\.\d+|0\.\d\d+))\b(?!/)")
SHARED_PORT = re.compile(r"127\.0\.0\.1:(\d{4,5})\b")


def number(node):
    return node.value if isinstance(node, ast.Constant) and type(node.value) is int else None


def targets(node):
    """(name, value) of an assignment, also of several at once."""
    for target in node.targets:
        if isinstance(target, ast.Name):
            yield target.id, node.value
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from ((n.id, v) for n, v in zip(target.elts, node.value.elts)
                        if isinstance(n, ast.Name))


def claims(text):
    """The nets, addresses and ports that a file names: a set of texts."""
    tree, found = ast.parse(text), set()
    thirds = set()  # names that are the third octet of an address
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for before, behind in zip(node.values, node.values[1:]):
                if isinstance(before, ast.Constant) and str(before.value).endswith("127.0.") and \
                        isinstance(getattr(behind, "value", None), ast.Name):
                    thirds.add(behind.value.id)
    pairs = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            pairs += targets(node)
        elif isinstance(node, ast.Call):
            pairs += ((word.arg, word.value) for word in node.keywords if word.arg)
        elif isinstance(node, ast.Dict):
            pairs += ((key.value, value) for key, value in zip(node.keys, node.values)
                      if isinstance(key, ast.Constant) and isinstance(key.value, str))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(NETS.findall(node.value)) | set(ADDRESS.findall(node.value))
            found |= {f"port {n}" for n in SHARED_PORT.findall(node.value)}
    for name, value in pairs:
        n, lower = number(value), name.lower()
        if n is None:
            continue
        if lower == "net":
            found |= {f"127.0.{n}"} if name in thirds else \
                {f"127.0.0.{n + i}" for i in range(FLEET)}
        elif lower == "base":
            found |= {f"port {n + i}" for i in PEBBLE}
        elif lower.endswith("port") and n >= 1024:
            found.add(f"port {n}")
    return found


def imported_by(tests, module):
    """The tests that import a laboratory's module."""
    pattern = re.compile(rf"^(?:import|from) {module}\b", re.M)
    return [path for path, text in tests if pattern.search(text)]


def findings(root, shared):
    """shared: rows (claim, reason) of what several files may name (nets.txt)."""
    owner = {}
    allowed = {claim for claim, _ in shared}
    for folder in FOLDERS:
        paths = sorted((Path(root) / "tests" / folder).glob("*.py"))
        tests = [(path, path.read_text()) for path in paths if path.name.startswith("test_")]
        for path in paths:
            name = path.relative_to(root)
            if path.name in LABORATORY:
                continue
            users = imported_by(tests, path.stem)
            if len(users) > 1:
                for claim in sorted(claims(path.read_text()) - allowed):
                    if claim.startswith("port"):
                        yield f"{name}: {claim} is used by each of " + \
                            ", ".join(user.name for user in users)
            for claim in sorted(claims(path.read_text()) - allowed):
                for other, its in owner.items():
                    if other == claim or other.startswith(f"{claim}.") or \
                            claim.startswith(f"{other}."):
                        yield f"{name}: {claim} is also used by {its}"
                if claim.startswith("port") and int(claim[5:]) >= FIRST_CLIENT_PORT and \
                        folder != "bench":
                    yield f"{name}: {claim}: the system gives it to clients"
            owner.update({claim: name for claim in claims(path.read_text()) - allowed})
