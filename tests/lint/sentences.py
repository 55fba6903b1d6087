#!/usr/bin/env python3
"""
Every sentence that the engine writes for people has its Japanese in web-ui/sentences.def.

The sentences are taken from the sources: what the calls and tables named below are given, with the
holes of printf and of sentences.def made the same.  usage: sentences.py [ROOT]; exit 1 with what is
missing.
"""
import pathlib
import re
import sys

HOLE = "\0"
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
ERRORS = ["cm_fail", "cm_fail_errno", "cm_wrap", "cm_err_cause", "cm_err_hint"]
# folder or file: calls whose texts are read
CALLS = {
    "certmgr/engine": ["eng_step", "pf_row", "note_folded", "cm_err_hint", "eng_check_error",
                       "check_choice"],
    "certmgr/acme": ["acme_log", "cm_err_hint", "cm_fail", "cm_wrap", "cm_err_cause"],
    "certmgr/agent_link.c": ["snprintf"],
    "certmgr/notify/message.c": ["cm_asprintf", "said", "line", "time_line", "cm_json_set_str"],
    "certmgr/notify/rules.c": ["cm_asprintf", "cm_json_set_str", "snprintf"],
    "certmgr/notify/rules_fleet.c": ["cm_asprintf", "cm_json_set_str"],
    "certmgr/fleet/exchange.c": ["fleet_alarm_raise", "cm_asprintf"],
    "certmgr/fleet/rotate_serve.c": ["fleet_alarm_raise", "cm_asprintf"],
    "certmgr/agent_alarm.c": ["fleet_alarm_raise", "cm_asprintf"],
    "certmgr/hub_cert.c": ["fleet_alarm_raise", "cm_asprintf"],
    "certmgr/engine/former_alarm.c": ["cm_asprintf"],
    "certmgr/engine/guard.c": ["cm_asprintf", "cm_json_set_str"],
    "certmgr/challenge": ["cm_err_hint"],
    "certmgr/challenge/fetch.c": ["cm_fail"],
    "certmgr/challenge/redirect.c": ["cm_fail"],
    "certmgr/challenge/selfcheck.c": ["cm_fail"],
    "certmgr/dns": ERRORS,
    "certmgr/engine/account.c": ["cm_fail"],
    "certmgr/engine/account_fields.c": ["cm_fail"],
    "certmgr/engine/choose.c": ["cm_fail", "cm_err_cause"],
    "certmgr/engine/deploy.c": ["cm_fail"],
    "certmgr/engine/dep_run.c": ["cm_fail", "cm_wrap", "cm_err_cause"],
    "certmgr/engine/dep_wire.c": ["cm_fail", "fail_look"],
    "certmgr/engine/dns_test.c": ["tell"],
    "certmgr/engine/dns_op.c": ["cm_wrap", "cm_asprintf"],
    "certmgr/engine/dns_turn.c": ["cm_fail", "cm_wrap"],
    "certmgr/engine/dns_work.c": ["cm_fail"],
    "certmgr/engine/engine.c": ["cm_asprintf", "cm_strdup"],
    "certmgr/engine/check_files.c": ["cm_asprintf"],
    "certmgr/engine/check_names.c": ["cm_asprintf"],
    "certmgr/engine/health.c": ["cm_asprintf"],
    "certmgr/engine/holder.c": ["cm_fail"],
    "certmgr/engine/job_budget.c": ["cm_fail"],
    "certmgr/engine/job_dns.c": ["cm_fail", "cm_wrap"],
    "certmgr/engine/job_fail.c": ["snprintf", "cm_wrap"],
    "certmgr/engine/job_finish.c": ["cm_wrap"],
    "certmgr/engine/job_key.c": ["cm_fail", "cm_wrap"],
    "certmgr/engine/job_trial.c": ["cm_wrap"],
    "certmgr/engine/manual.c": ["cm_fail"],
    "certmgr/engine/plan.c": ["make"],
    "certmgr/engine/revoke.c": ["succeed", "cm_fail"],
    "certmgr/engine/service_account.c": ["cm_fail"],
    "certmgr/engine/service_dns.c": ["cm_fail"],
    "certmgr/engine/service_recipe.c": ["cm_fail"],
    "certmgr/engine/staging.c": ["cm_fail"],
    "keyfile": ERRORS,
    "certstore": ERRORS,
    "replicator": [*ERRORS, "rp_job_fail_status"],
    "base/net/hostname.c": ["cm_fail"],
    "base/net/dns.c": ["cm_fail", "cm_err_hint"],
    "base/net/dns_text.c": ["cm_fail", "cm_err_hint"],
}
# errors that a terminal or the log shows, and no page: the agent's start, backup and restore
UNSEEN = {"keyfile/agent.c", "keyfile/backup.c", "keyfile/lockdown.c", "keyfile/recovery.c"}
# files whose every text with a blank is one
TABLES = ["certmgr/engine/told.c:known", "certmgr/engine/intake_answer.c:actions",
          "certmgr/acme/problem_table.c:", "certmgr/acme/order.c:acme_steps",
          "base/net/http_failure.c:reasons"]
# words that a sentence of the table has inside, where the source puts them in
PIECES = ["another request", "root certificate not found", "cut off", "showed no certificate",
          "does not complete a TLS handshake", "cannot be reached", "does not answer in time",
          "not seen", "the CA", "adding the", "taking away the"]
OUTCOME = {
    "certmgr/engine/intake_answer.c": re.compile(r"outcome = [^;]*;"),
    "certmgr/engine/life.c": re.compile(r'(?:outcome = [^;]*|return "Nothing [^;]*);'),
    "base/net/hostname.c": re.compile(r"return [^;]*;"),
}


def strings(code):
    """The literals of this piece of C; neighbours are one."""
    code = re.sub(r'"\s*PRI[diux]\d+\s*"', "d", code)
    code = re.sub(r'"\s*PRI[diux]\d+', 'd"', code)
    return [m.group(1) for m in STRING.finditer(re.sub(r'(?<!\\)"\s+"', "", code))]


def plain(text):
    """One form for printf and sentences.def: every hole, or several that touch, is one mark."""
    text = text.replace('\\"', '"').replace("\\n", "\n")
    text = re.sub(r"%\.1[69]sZ", HOLE, text)  # a time, cut
    text = re.sub(r"%[-+#0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|ll|[hlzjt])?[diouxscf]", HOLE, text)
    text = re.sub(r"\{[1-8][a-z]?\}", HOLE, text)
    return re.sub(f"{HOLE}[…{HOLE}]*", HOLE, text.replace("%%", "%"))


def calls(code, name):
    """The arguments of each call."""
    for match in re.finditer(rf"\b{name}\(", code):
        depth, at, quoted = 1, match.end(), False
        while depth and at < len(code):
            char = code[at]
            if quoted and char == "\\":
                at += 1
            elif char == '"':
                quoted = not quoted
            elif not quoted:
                depth += (char == "(") - (char == ")")
            at += 1
        yield code[match.end():at - 1]


def is_sentence(text):
    """Two words at least; a lone name (a key of JSON, a status) says nothing by itself."""
    return re.search(r"[A-Za-z]{2,}[^A-Za-z]* [^A-Za-z]*[A-Za-z]{2,}", text) is not None


def wanted(root):
    for place, names in CALLS.items():
        path = root / place
        files = sorted(path.glob("*.c")) if path.is_dir() else [path]
        for file in files:
            if str(file.relative_to(root)) in UNSEEN:
                continue
            code = file.read_text("utf-8")
            found = [t for name in names for call in calls(code, name) for t in strings(call)]
            yield from ((file, text) for text in found)
    for table in TABLES:
        name, _, variable = table.partition(":")
        code = (root / name).read_text("utf-8")
        if variable:
            code = re.search(rf"{variable}\[[^]]*\] = \{{(.*?)\n\}};", code, re.S).group(1)
        code = "\n".join(line for line in code.splitlines() if not line.startswith("#include"))
        code = re.sub(r"/\*.*?\*/", "", code, flags=re.S)
        yield from ((root / name, text) for text in strings(code))
    for name, pattern in OUTCOME.items():
        for piece in pattern.findall((root / name).read_text("utf-8")):
            yield from ((root / name, text) for text in strings(piece))


def table(root):
    code = (root / "web-ui/sentences.def").read_text("utf-8")
    return [plain(strings(line)[0]) for line in code.splitlines() if line.startswith("SAY(")]


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2])
    known = table(root)
    whole, count, missing = set(known), 0, []
    for file, text in wanted(root):
        form = plain(text)
        if not is_sentence(form):
            continue
        count += 1
        field = re.match(rf"(?:[a-z_]+|{HOLE}): ", form)
        if field and form[field.end():] in whole:
            continue  # web_errors_of() takes the name of the field away
        # A piece of a sentence ("; its reason: ") is said where the sentence is.
        piece = form.strip(" .:;,()" + HOLE)
        part = (piece != form or piece in PIECES) and any(piece in other for other in known)
        if form not in whole and not part:
            missing.append(f"{file.relative_to(root)}: no Japanese in web-ui/sentences.def: {text}")
    print("\n".join(dict.fromkeys(missing)) or f"{count} sentences, {len(known)} templates")
    twice = sorted({k.replace(HOLE, "{}") for k in known if known.count(k) > 1 and is_sentence(k)})
    if twice:
        missing.append("twice")
        print("web-ui/sentences.def: twice: " + "; ".join(twice))
    if count < 300:
        missing.append("few")
        print(f"only {count} sentences were found: are the calls still called so?")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
