"""Rules that can be checked are checked: layers, libraries, banned calls, sizes, complexity, headers
alone, comments, exports, format, spelling, machine paths, files that documents name, demands and
the tests that prove them.

usage: lint.py RULE [--root DIR]; exit 1 with one line per finding. Each rule proves itself first on
an example that breaks it (a check that cannot fail is no check).
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import conformance
import nets

PRODUCT = ("base", "certmgr", "certstore", "keyfile", "replicator", "web-ui")
BANNED = ("strcpy strcat sprintf vsprintf gets strtok atoi atol sscanf strncpy rand srand system popen "
          "alloca localtime gmtime strerror").split()
RAW_MEMORY = "malloc calloc realloc free".split()
FILE_LINES, FUNCTION_LINES, COMPLEXITY = 600, 120, 20
TEST_FILE_LINES = 900  # tables of cases are longer
TEXTS = {".c", ".h", ".py", ".md", ".txt", ".cmake", ".css", ".json", ".mjs", ".js", ".conf", ".1", ".5",
         ".service", ".sh", ".yaml", ".yml", ""}
# Generated, fetched, or data whose words are not ours.
NOT_OURS = {"node_modules", "corpus", "data", "build", "__pycache__", ".git", ".cache",
            "package-lock.json"}


def sources(root, suffixes=(".c", ".h"), folders=PRODUCT):
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root)
            if path.suffix in suffixes and path.is_file() and "node_modules" not in name.parts:
                yield name


def table(path):
    rows = []
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            key, _, value = line.partition(":")
            if key.startswith("certmgr/") or ":" in line:
                rows.append((key.strip(), value.split()))
    return rows


def strip_code(text):
    """The code without comments and string contents, line structure kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", blank, text,
                  flags=re.S)


def includes(root, path):
    for n, line in enumerate((root / path).read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if match:
            yield n, match.group(1) == '"', match.group(2)


def layer_findings(root, rules):
    rules = sorted(rules, key=lambda row: -len(row[0]))
    for path in sources(root):
        name = str(path)
        owner, allowed = next(((k, v) for k, v in rules if name.startswith(k + "/")), (None, []))
        if owner is None:
            yield f"{name}: in no layer; add its folder to tests/lint/layers.txt"
            continue
        for n, ours, header in includes(root, path):
            if not ours:
                continue
            target = next((k for k, _ in rules if header.startswith(k + "/")), None)
            fine = (target == owner or header in allowed or target in allowed or
                    any(header.startswith(a + "/") for a in allowed if not a.endswith(".h")))
            if not fine:
                yield f"{name}:{n}: {owner} may not include {header}"


def library_findings(root, rules):
    for path in sources(root):
        for n, ours, header in includes(root, path):
            for library, places in rules:
                if ours or not header.startswith(library) or "*" in places:
                    continue
                if not any(str(path).startswith(place) for place in places):
                    yield f"{path}:{n}: {header} is seen only by {', '.join(places)}"


def banned_findings(root):
    for path in sources(root):
        words = list(BANNED)
        if not str(path).startswith("base/core/"):
            words += RAW_MEMORY
        pattern = re.compile(r"(?<![\w.>])(" + "|".join(words) + r")\s*\(")
        for n, line in enumerate(strip_code((root / path).read_text()).splitlines(), 1):
            for match in pattern.finditer(line):
                yield f"{path}:{n}: {match.group(1)}() is banned"


def texts(root):
    """Every text file that people write: product, tests, documents, build files (but not this file,
    which holds the examples that break the rules)."""
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(d for d in inner if d not in NOT_OURS and not d.startswith("build-"))
        for name in sorted(names):
            path = Path(folder) / name
            if (name not in NOT_OURS and path.suffix in TEXTS and not path.is_symlink() and
                    path.name != Path(__file__).name):
                yield path.relative_to(root)


def size_findings(root):
    for path in [*sources(root), *sources(root, folders=("tests",))]:
        lines = (root / path).read_text().splitlines()
        limit = TEST_FILE_LINES if path.parts[0] == "tests" else FILE_LINES
        if len(lines) > limit:
            yield f"{path}: {len(lines)} lines, {limit} at most"
        start = None
        for n, line in enumerate(lines, 1):
            if line == "{":
                start = n
            elif line == "}" and start is not None:
                if n - start > FUNCTION_LINES:
                    yield f"{path}:{start}: function of {n - start} lines, {FUNCTION_LINES} at most"
                start = None


def complexity_findings(root, excepted):
    """Cyclomatic complexity as pmccabe counts it (a switch counts once, not once per case)."""
    paths = [str(p) for p in sources(root, (".c",))]
    done = subprocess.run(["pmccabe", *paths], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        yield f"pmccabe: {done.stderr.strip()}"
    excepted = dict(excepted)
    for line in done.stdout.splitlines():
        value, *_, where = line.split("\t")  # "keyfile/der.c(34): take_length"
        place, _, function = where.partition(": ")
        limit = int(excepted.pop(f"{place.partition('(')[0]}/{function}", [COMPLEXITY])[0])
        if int(value) > limit:
            yield f"{place}: {function}() has complexity {value}, {limit} at most"
    for key in excepted:
        if (root / key).parent.is_file():
            yield f"tests/lint/complexity.txt: {key} does not exist any more"


def comment_findings(root):
    """Every file begins with what it is for (#pragma once may follow, never lead)."""
    for path in [*sources(root), *sources(root, folders=("tests",))]:
        text = (root / path).read_text()
        if not re.match(r"/\*(?s:.{12,}?)\*/", text):
            yield f"{path}: does not begin with a comment that says what it is for"


def declared(code):
    """Names of the functions that a header declares (not its inline ones, not types, not macros)."""
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", code, flags=re.M)
    code = re.sub(r"__attribute__\s*\(\(.*?\)\)(?=\s*;|\s)", "", code, flags=re.S)
    flat = code
    while "{" in flat:
        flat, count = re.subn(r"\{[^{}]*\}", ";", flat)
        if count == 0:
            break
    for statement in flat.split(";"):
        match = re.search(r"(\w+)\s*\(", statement)
        if match and not re.match(r"\s*(typedef|static)\b", statement) and \
                not re.match(r"\s*\w+\s*\(", statement) and "(*" not in statement[:match.end() + 1]:
            yield match.group(1)


def export_findings(root):
    """A function in a header is called from another file or from a test, or it goes."""
    users = {}
    for path in [*sources(root), *sources(root, folders=("tests",))]:
        for word in set(re.findall(r"\w+", strip_code((root / path).read_text()))):
            users.setdefault(word, set()).add(path)
    for path in sources(root, (".h",)):
        text = strip_code((root / path).read_text())
        for name in declared(text):
            used = {p for p in users[name] if p != path}
            inside = len(re.findall(rf"\b{name}\b", text)) > 1  # an inline function or macro
            if len(used) < 2 and not inside:
                yield f"{path}: {name}() is used by no other file; make it static or remove it"


def spelling_findings(root):
    ignored = Path(__file__).resolve().parent / "spelling.txt"
    paths = [str(p) for p in texts(root) if p != ignored.relative_to(ignored.parents[2])]
    done = subprocess.run(["codespell", "--ignore-words", str(ignored), *paths], cwd=root,
                          capture_output=True, text=True, check=False)
    yield from done.stdout.splitlines()
    if done.returncode not in (0, 65):
        yield f"codespell: {done.stderr.strip()}"


def path_findings(root):
    """No file knows the machine it was written on."""
    pattern = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/\w|/tmp/(?:build|ci)-")
    for path in texts(root):
        for n, line in enumerate((root / path).read_text(errors="replace").splitlines(), 1):
            if pattern.search(line):
                yield f"{path}:{n}: names a path of one machine: {line.strip()[:80]}"


def alone(root, path):
    """A header compiles by itself, twice in one unit."""
    code = f'#include "{path}"\n#include "{path}"\nint lint_unit;\n'
    done = subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Werror",
                           f"-I{root}", "-x", "c", "-"], input=code, capture_output=True, text=True,
                          check=False)
    return None if done.returncode == 0 else f"{path}: does not compile alone: {done.stderr.strip()}"


def header_findings(root):
    with ThreadPoolExecutor(2) as pool:
        paths = list(sources(root, (".h",)))
        yield from filter(None, pool.map(lambda p: alone(root, p), paths))


def format_findings(root):
    paths = [str(p) for p in sources(root)] + [str(p) for p in sources(root, folders=("tests",))]
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *paths], cwd=root,
                          capture_output=True, text=True, check=False)
    for line in done.stderr.splitlines():
        if "error:" in line:
            yield line.strip()


def shell_findings(root):
    # Not whatever lies in the folders: tests that run beside this one write their __pycache__.
    paths = [p for p in texts(root) if p.parts[0] in ("script", ".ci", "tests") and
             re.match(rb"#!.*\b(ba)?sh\b", (root / p).read_bytes()[:64])]
    done = subprocess.run(["shellcheck", *map(str, paths)], cwd=root, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        yield from done.stdout.strip().splitlines()


def document_findings(root):
    """A file that a document names exists (patterns with *, and places of the installed product,
    aside)."""
    ours = (*PRODUCT, "tests", "docs", "man", "script", "cmake", "packaging", ".ci")
    for path in texts(root):
        if path.suffix != ".md":
            continue
        for n, line in enumerate((root / path).read_text().splitlines(), 1):
            for name in re.findall(r"`([\w.\-]+(?:/[\w.\-*]*)+)`", line):
                if name.split("/")[0] in ours and not list(root.glob(name.rstrip("/"))):
                    yield f"{path}:{n}: {name} does not exist"


def cycle_findings(root):
    """Folders never include each other in a circle (CMake's static libraries would accept it)."""
    edges = {}
    for path in sources(root):
        owner = str(path.parent)
        for _, ours, header in includes(root, path):
            if ours and "/" in header and str(Path(header).parent) != owner:
                edges.setdefault(owner, set()).add(str(Path(header).parent))
    state = {}

    def visit(node, trail):
        if state.get(node) == 1:
            return trail[trail.index(node):] + [node]
        if state.get(node) == 2:
            return None
        state[node] = 1
        for child in sorted(edges.get(node, ())):
            found = visit(child, trail + [node])
            if found:
                return found
        state[node] = 2
        return None

    for node in sorted(edges):
        found = visit(node, [])
        if found:
            yield "folders include each other: " + " -> ".join(found)
            return


def rules_of(name):
    here = Path(__file__).resolve().parent
    if name == "layers":
        rows = table(here / "layers.txt")
        return lambda root: layer_findings(root, rows)
    if name == "libraries":
        rows = table(here / "libraries.txt")
        return lambda root: library_findings(root, rows)
    if name == "nets":
        rows = table(here / "nets.txt")
        return lambda root: nets.findings(root, rows)
    if name == "complexity":
        rows = table(here / "complexity.txt")
        return lambda root: complexity_findings(root, rows)
    return {"banned": banned_findings, "comments": comment_findings, "exports": export_findings,
            "spelling": spelling_findings, "paths": path_findings, "sizes": size_findings, "headers": header_findings,
            "conformance": conformance.findings, "documents": document_findings, "format": format_findings, "shell": shell_findings, "cycles": cycle_findings}[name]


# For each rule, a file that breaks it: the rule must find it.
BROKEN = {
    "layers": ("base/core/x.c", '#include "certstore/store.h"\n'),
    "libraries": ("replicator/x.c", "#include <lmdb.h>\n"),
    "banned": ("keyfile/x.c", "void f(void)\n{\n    free(0);\n}\n"),
    "sizes": ("keyfile/x.c", "int x;\n" * (FILE_LINES + 1)),
    "headers": ("keyfile/x.h", "struct a { uint32_t b; };\n"),
    "format": ("keyfile/x.c", "int   x ;\n"),
    "shell": ("script/x", "#!/bin/sh\nrm $1\n"),
    "cycles": ("keyfile/x.c", '#include "certstore/y.h"\n'),
    "complexity": ("keyfile/x.c", "int f(int a)\n{\n" +
                   "".join(f"    if (a == {i})\n        return {i};\n" for i in range(COMPLEXITY)) +
                   "    return a;\n}\n"),
    "comments": ("keyfile/x.h", "#pragma once\nint kf_x(void);\n"),
    "exports": ("keyfile/x.h", "/* What nobody calls. */\nint kf_nobody_calls_me(int a);\n"),
    "spelling": ("docs/x.md", "Teh certificate\n"),
    "conformance": ("docs/conformance.md", "| A1 | a demand | `x.c` | `unit/gone.c::gone` |\n"),
    "documents": ("docs/x.md", "See `keyfile/gone.c`\n"),
    "nets": ("tests/integration/test_x.py", "PORT = 40000\n"),
    "paths": ("docs/x.md", "Logs are in /home/someone/logs\n"),
}


def proves_itself(name, rule):
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        path, text = BROKEN[name]
        for folder in (*PRODUCT, "script", ".ci", "tests", "docs"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        if name == "cycles":
            (root / "certstore/y.h").write_text('#include "keyfile/z.h"\n')
        style = Path(__file__).resolve().parents[2] / ".clang-format"
        (root / ".clang-format").write_text(style.read_text())
        return bool(list(rule(root)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rule", choices=sorted(BROKEN))
    parser.add_argument("--root", default=Path(__file__).resolve().parents[2], type=Path)
    args = parser.parse_args()
    rule = rules_of(args.rule)
    if not proves_itself(args.rule, rule):
        print(f"lint {args.rule}: the rule did not find the example that breaks it")
        return 2
    findings = list(rule(args.root))
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
