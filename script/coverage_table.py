"""Lines and branches covered, a row per folder; usage: coverage_table.py gcovr.json"""

import json
import sys
from pathlib import Path


def main():
    folders = {}
    for file in json.loads(Path(sys.argv[1]).read_text())["files"]:
        row = folders.setdefault(str(Path(file["file"]).parent), [0, 0, 0, 0])
        for line in file["lines"]:
            if line.get("gcovr/noncode") or line.get("gcovr/excluded"):
                continue
            row[0] += line["count"] > 0
            row[1] += 1
            row[2] += sum(branch["count"] > 0 for branch in line.get("branches", []))
            row[3] += len(line.get("branches", []))
    total = [sum(column) for column in zip(*folders.values())]
    print(f"{'folder':<22} {'lines':>8} {'covered':>8} {'branches':>9} {'covered':>8}")
    for name, row in [*sorted(folders.items()), ("all", total)]:
        lines, branches = (100 * row[i] / max(row[i + 1], 1) for i in (0, 2))
        print(f"{name:<22} {row[1]:>8} {lines:>7.1f}% {row[3]:>9} {branches:>7.1f}%")


if __name__ == "__main__":
    main()
