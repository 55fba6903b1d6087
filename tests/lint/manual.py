"""The manual page has each option of each command in the words of its --help, and no other.

The words are in certmgr/cli/cli_help.c; tests/unit/cli/test_help.c sees to it that they are all there.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = r'"((?:[^"\\]|\\.)*)"'
ROW = re.compile(r"\{" + TEXT + r",\s*" + TEXT + r",\s*(?:NULL|" + TEXT + r"),\s*((?:" +
                 TEXT.replace("(", "(?:", 1) + r"\s*)+)\}")
COMMON = {"--json", "--root"}


def table():
    """{command: {option: "--option VALUE" and its text}}"""
    source = (ROOT / "certmgr/cli/cli_help.c").read_text()
    found = {}
    for commands, option, takes, words in ROW.findall(source[source.index("} rows[] = {"):]):
        text = "".join(re.findall(TEXT, words)).replace('\\"', '"')
        for command in commands.split("|"):
            found.setdefault(command, {})[option] = (f"{option} {takes}".strip(), text)
    return found


def plain(text):
    return re.sub(r"\\f[BIR]", "", text).replace("\\ ", " ").replace("\\-", "-").replace("\\e", "\\")


def heading(line):
    macro, _, rest = line.partition(" ")
    if macro not in (".B", ".BI", ".BR"):
        return plain(line)
    words = [a or b for a, b in re.findall(r'"([^"]*)"|(\S+)', rest.replace("\\ ", "\x01"))]
    return plain((" " if macro == ".B" else "").join(words).replace("\x01", " "))


def sections():
    """[(heading, [(option line, text)], whole text)] of COMMANDS"""
    lines = (ROOT / "man/certmgr.1").read_text().split("\n")
    lines = lines[lines.index(".SH COMMANDS") + 1:lines.index(".SH EXIT STATUS")]
    deep, out = 0, []
    for i, line in enumerate(lines):
        deep += (line == ".RS") - (line == ".RE")
        if line == ".TP" and not deep:
            out.append([heading(lines[i + 1]), [], ""])
        elif line == ".TP":
            out[-1][1].append((re.sub(r"^-\w, ", "", plain(lines[i + 1])), plain(lines[i + 2])))
        out[-1][2] += plain(line) + "\n"
    return out


def main():
    wrong, words, parts = [], table(), sections()
    used = "".join(f.read_text() for f in (ROOT / "certmgr/cli").glob("cmd_*.c"))
    at = {}
    for command in words:
        names = re.compile(r"(?:^|, )" + re.escape(command) + r"(?:$|[ ,\[(])")
        at[command] = next((part for part in parts if names.search(part[0])), None)
    for command, options in words.items():
        if at[command] is None:
            wrong.append(f"certmgr.1: no command {command}")
            continue
        told = list(at[command][1])
        for other in re.findall(r"options of ([a-z ]+?)(?: that|\.|\))", at[command][2].replace("\n", " ")):
            told += at[other][1] if at.get(other) else []
        for option, row in options.items():
            if row not in told:
                wrong.append(f"certmgr.1: {command} lacks: {row[0]}: {row[1]}")
            if f'"{option}"' not in used:
                wrong.append(f"cli_help.c: no command has {option}")
    known = {option for options in words.values() for option in options} | COMMON
    for name, told, text in parts:
        mine = {o for c, options in words.items() if at[c] and at[c][0] == name for o in options}
        for line, _ in told:
            if line.split()[0] not in mine:
                wrong.append(f"certmgr.1: {name}: --help does not know {line}")
        wrong += [f"certmgr.1: {name}: no command has {o}"
                  for o in sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - known)]
    print("\n".join(wrong))
    return 1 if wrong or len(words) < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
