"""docs/conformance*.md: every id of demands*.txt has a row, every row a test, every test and file exists."""

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCUMENTS = {"docs/conformance.md": "demands.txt",
             "docs/conformance-store.md": "demands-store.txt"}
OPEN = "## Not proven yet"


def demanded(name):
    lines = (HERE / name).read_text().splitlines()
    return [word for line in lines if not line.startswith("#") for word in line.split()]


def rows(text):
    """(line number, cells) of every table row; heads and rules left out."""
    for n, line in enumerate(text.splitlines(), 1):
        if line.startswith("|") and not re.match(r"\|(-+\||\s*id\s*\|)", line):
            yield n, [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_exists(root, file, name):
    path = root / "tests" / file
    if not path.is_file():
        return False
    text = path.read_text()
    if path.suffix == ".py":
        return re.search(rf"^\s*(def|class) {name}\(", text, re.M) is not None
    if path.suffix == ".c" and not file.startswith("unit/"):  # a program
        return re.search(rf"\b{name}\(", text) is not None
    if path.suffix == ".c":  # written, and run
        return re.search(rf"^static void {name}\(void \*\*", text, re.M) is not None and \
            len(re.findall(rf"\b{name}\b", text)) > 1
    return re.search(rf"\b{name}\b", text) is not None


def row_findings(root, document, line, cells):
    where = f"{document}:{line}"
    if len(cells) != 4:
        yield f"{where}: {cells[0]}: a row is id, demand, code, tests"
        return
    tests = re.findall(r"`([\w/.\-]+)::(\w+)`", cells[3])
    if not tests:
        yield f"{where}: {cells[0]} has no test"
    for file in re.findall(r"`([\w/.\-]+)`", cells[2]):
        if not (root / file).is_file():
            yield f"{where}: {cells[0]}: there is no {file}"
    for file, name in tests:
        if not test_exists(root, file, name):
            yield f"{where}: {cells[0]}: there is no test {file}::{name}"


def findings_in(root, document, wanted):
    path = root / document
    if not path.is_file():
        yield f"{document} does not exist"
        return
    proven, _, left = path.read_text().partition(OPEN)
    here = {}
    for line, cells in rows(proven):
        if cells[0] not in wanted:
            yield f"{document}:{line}: {cells[0]} is not in tests/lint/{DOCUMENTS[document]}"
        elif cells[0] in here:
            yield f"{document}:{line}: {cells[0]} has a row already"
        here[cells[0]] = line
        yield from row_findings(root, document, line, cells)
    still = [cells[0] for _, cells in rows(left)]
    for ident in still:
        if ident in here or ident not in wanted:
            yield f"{document}: {ident} is proven, or nobody asks for it: take it out of the last section"
    for ident in wanted:
        if ident not in here and ident not in still:
            yield f"{document}: {ident} has no row"
    if still:
        print(f"not proven yet: {' '.join(still)}")


def findings(root):
    for document, demands in DOCUMENTS.items():
        yield from findings_in(root, document, demanded(demands))
