"""Good recipes that together use every member of the language, and what they become when a member is
dropped, retyped or added: the schema for editors and the lint of the program judge all of them."""

import copy
import json
import re
import sys
from pathlib import Path

try:
    import jsonschema
except ModuleNotFoundError:  # another python than Debian's; the package holds no machine code
    sys.path.append("/usr/lib/python3/dist-packages")
    import jsonschema

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "packaging/dns/recipe.schema.json").read_text())
HEAD = {"schema": 1, "id": "sample", "title": "Sample", "revision": 1, "base": "https://a.example/v1",
        "hosts": ["a.example", "b.example"],
        "credentials": [{"name": "user"}, {"name": "key", "title": "Key", "secret": True, "required": False,
                                           "help": "of the account", "pattern": "[A-Za-z0-9]{2,9}x?"}],
        "options": [{"name": "ttl", "title": "TTL", "help": "seconds", "default": 60, "min": 1, "max": 99},
                    {"name": "own", "pattern": "https.*", "required": False, "base": True},
                    {"name": "zone", "zone": "name"}]}
ADD = {"post": "/add", "form": {"v": "{{value}}"}}
BOTH = {"add": ADD, "delete": {"del": "/{{name.fqdn}}"}}
RULE = {"status": [404, 410], "pointer": "/a~1b", "in": [1, "x"]}
WHOLE = {**HEAD, "$schema": "recipe.schema.json", "docs": "https://a.example:8443/docs?x=%20", "unverified": True,
         "auth": {"kind": "headers", "set": {"X-Key": "{{cred.key}}", "X-Json": {"u": "{{cred.user}}"}},
                  "query": {"u": "{{cred.user}}"}, "body": {"k": 1}},
         "names": {"zone": "dot", "record": "relative", "apex": ""},
         "txt": {"mode": "sep", "quoted": True, "max": 255},
         "ok": [{"pointer": "/ok", "equals": True}, {"pointer": "", "begins": "OK"}],
         "already": {"pointer": "/code", "exists": False}, "gone": RULE, "conflict": {"status": [412]},
         "error": {"text": ["/message", "/errors/0"], "code": "/code"},
         "paging": {"query": "page", "start": 1, "last": "/pages", "max": 3}, "reply": "json",
         "limits": {"parallel": 1, "min_interval_ms": 10, "timeout_s": 20, "retry": [429, 503],
                    "retry_after": True, "serial": True},
         "propagation": {"method": "fixed", "wait_s": 5, "interval_s": 1, "limit_s": 9},
         "steps": BOTH}
SEP = {**HEAD, "txt": {"mode": "sep"},
       "steps": {
           "zone": {"iterate": "list", "get": "/zones", "query": {"n": "{{zone.candidate}}"}, "items": "",
                    "name": "/n", "where": {"/type": "TXT"}, "gone": RULE, "save": {"id": "/id"},
                    "paging": {"next": "/next"}, "reply": "json", "error": {"text": "/m"}},
           "find": {"get": "https://b.example/{{zone.id}}", "headers": {"X-A": "{{name.fqdn|nodot}}"},
                    "items": "/r", "inner": "/i", "value": "/v", "id": "/id", "save": {"tag": "/t"},
                    "gone": RULE, "where": {"/n": "{{ name.relative | dot|lower }}"}},
           "add": {"put": "/{{zone.id}}/{{ record.tag }}", "json": {"v": ["{{value|quote}}", 15, None]},
                   "already": RULE, "ok": {"status": [201]}, "save": {"record.id": "/id"}},
           "delete": {"patch": "/d/{{record.id}}", "gone": [RULE], "save": {"change": "/c"}},
           "commit": {"post": "/commit", "save": {"job": "/j"}},
           "wait": {"get": "/jobs/{{record.job}}", "until": {"pointer": "/s", "equals": "done"},
                    "interval_s": 1, "limit_s": 30}}}
SET = {**HEAD, "auth": {"kind": "login", "login": {"post": "/in", "json": {"u": "{{cred.user}}"},
                                                   "save": {"token": "/t"}, "error": {"text": "/m"}},
                        "logout": {"del": "/out"}, "set": {"X-T": "{{login.token}}"},
                        "query": {"t": "{{login.token}}"}, "body": {"t": "{{login.token}}"},
                        "lifetime": "/life", "lifetime_s": 60},
       "txt": {"mode": "set", "item": {"text": "{{value}}"}, "read_back": False, "delete": True},
       "steps": {"zone": {"iterate": "soa"}, "find": {"get": "/r"},
                 "put": {"put": "/r", "json": {"v": "{{values}}"}, "conflict": RULE, "gone": RULE,
                         "save": {"etag": "/e"}},
                 "clear": {"del": "/r", "gone": RULE, "save": {"etag": "/e"}}}}
PAIRS = [{"request": {"method": "POST", "url": "https://a.example/v1/add", "form": "v=x", "headers": {}},
          "reply": {"status": 200, "headers": {"X-A": "b", "X-N": 1}, "json": {"id": 1}}},
         {"request": {"method": "DELETE", "url": "*"}, "reply": {"status": 200, "text": "OK"}}]
TEST = {"name": "add", "action": "add", "fqdn": "_acme-challenge.a.example", "value": "x",
        "credentials": {"user": "u"}, "options": {"zone": "a.example"}, "soa": "a.example", "expect": {}}
TESTED = {**HEAD, "txt": {"mode": "single", "delete": False}, "steps": {"add": ADD},
          "tests": [{**TEST, "exchange": PAIRS[:1]},
                    {**TEST, "record": {"a": "b"}, "exchange": PAIRS, "fails": "ends before"}]}
TESTED["tests"][1]["exchange"] = [{"request": {**PAIRS[0]["request"], "json": {"v": 1}},
                                   "reply": {"status": 400, "text": "no"}}]
TESTED["tests"][1]["fails"] = "400"
AUTHS = [{"kind": "basic", "user": "{{cred.user}}", "password": "{{cred.key|base64}}"},
         {"kind": "query", "set": {"k": "{{cred.key}}"}}, {"kind": "body", "set": {"k": True}},
         {"kind": "jwt-bearer", "url": "https://b.example/t", "issuer": "i", "subject": "s", "audience": "a",
          "scope": "x", "key": "{{cred.key}}"},
         {"kind": "oauth2-client", "url": "/t", "client_id": "i", "client_secret": "{{cred.key}}",
          "scope": "x", "audience": "a"}]
SMALL = {**HEAD, "txt": {"mode": "single"}, "steps": BOTH}
GOOD = [WHOLE, SEP, SET, TESTED] + [{**SMALL, "auth": auth} for auth in AUTHS]
FULL = {**WHOLE, "steps": SEP["steps"]}

VALUES = [None, True, 1000001, 1.5, "{{value}}", "/x", ["/x"], {}, {"x": "/y"}]
TEXTS = ["", "x y", "x\n", "x" * 2048, "x" * 2049, "{{", "/x?y", "https://b.example/a"]  # in the place of another text
# A member, and values that only it could mind.
EDGES = [
    ("/id", ["a" * 40, "a" * 41, "A", "a_b", "-"]), ("/base", ["https://c.example/", "/v1", "https://a.example"]),
    ("/docs", ["http://a.example", "https://u@a.example/", "https://a..b/", "https://a/%zz", "HTTPS://[::1]/#x"]),
    ("/schema", [0, 2]), ("/revision", [-1, 1.0, 0, 1000000]), ("/hosts", [[], ["A.example"], [""], ["a"] * 33]),
    ("/credentials/0/name", ["a" * 31, "a" * 32, "0a", "_a", "A"]), ("/credentials", [[{"name": "a"}] * 2, [{"name": "a"}] * 33]),
    ("/credentials/1/pattern", ["a" * 64, "a" * 65, "(a)", "[^a]", "[]", "a{1,2}", "a{,2}", "a|b", "\\d", "\\.",
                                "a**", "[a-z]+[0-9]?", "a{2", "a{99999}", "a{3,2}", "x" * 201]),
    ("/txt/item", [1.5, [1.5], {"a": 1.5}]), ("/gone", [{"pointer": "/a", "equals": v} for v in (1.5, [{"a": 1.5}])]),
    ("/reply", ["text", "xml"]), ("/names/zone", ["plain", "fqdn"]), ("/names/record", ["fqdn", "dot", "plain"]),
    ("/txt/mode", ["set", "single", "sep set", "none"]), ("/txt/delete", [False]),
    ("/txt/item", ["{{value|rot13}}", ["{{value}}"], {"a": {"b": "{{x"}}]),
    ("/propagation/method", ["authoritative", "recursive", "dns"]),
    ("/limits/retry", [[99], [599], [600], [429] * 32, [429] * 33]),
    ("/gone", [[RULE] * 33, {"pointer": "/a"}, {"pointer": "/~2"}, {"pointer": "a"}, {"status": [1]},
               {"status": [404], "equals": 1}, {"pointer": "/a", "in": "x"}, {"pointer": "/a", "begins": 1},
               {"pointer": "/a", "exists": 1}, {"pointer": "/a", "exists": True, "equals": 1}, {"equals": 1},
               {"pointer": "/" + "a" * 255}, {"pointer": "/" + "a" * 256}, [[RULE]]]),
    ("/error/text", [["/a"] * 32, ["/a"] * 33]),
    ("/steps/add/put", ["/{{zone.id}", "/a b", "/{a b", "/{{ zone.id }} x", "/{{zone.id}}/../x", "/./", "/a..b/x",
                        "/%41", "http://a.example/", "https://{{zone.id}}/", "x", "/{{zone.id|dot|lower}}", "/{{zone}}",
                        "/{{opt.ttl}}{{{opt.ttl}}}", "/{{" + "a" * 32 + ".b}}", "/a|b", "/a\n", "/{{zone.id}}\n"]),
    ("/steps/add/get", ["/x"]), ("/steps/find/json", [1]), ("/steps/find/form", [{}]), ("/steps/add/form", [{}]),
    ("/steps/commit/json", [{}, [], "x"]), ("/steps/commit/form", [{"a" * 64: 1}, {"a" * 65: 1}]),
    ("/steps/zone/iterate", ["suffix", "soa", "none", "all"]),
    ("/steps/find/query", [{str(i): i for i in range(32)}, {str(i): i for i in range(33)}]),
    ("/steps/find/headers", [{"Host": "x"}, {"TE": "x"}, {"Hosts": "x"}, {"X A": "x"}, {"X": "a\nb"}, {"X\n": "a"},
                             {"": "x"}, {f"X-{i}": "x" for i in range(16)}, {f"X-{i}": "x" for i in range(17)}]),
    ("/steps/find/save", [{"record.x": "/y"}, {"record.": "/y"}, {"zone.x": "/y"}, {"X": "/y"}, {"x\n": "/y"}]),
    ("/auth/kind", ["body", "none"]), ("/steps/other", [{"get": "/x"}]),
]
# What only the lint judges; docs/dns-providers.md says so.
ONLY_LINT = {
    "placeholders": r"\{\{.*\}\} is not known here$",
    "hosts": r"names a host that is not in hosts$",
    "names": r"the name is used twice$",
    "fractions": r"^JSON: fractions and exponents are not allowed",  # 1.0, which is whole for a schema
    "repetitions": r"pattern must be literals",
    "recordings": r": test [^:]*: /tests/\d+(: |/exchange(/\d+/request/[\w/-]+)?: (recorded|holds) )",
}


FREE = ("json", "item", "in", "expect", "X-Json")


def validator():
    return jsonschema.Draft7Validator(SCHEMA)


def _places(value, seen, path=()):
    """Every member and item, but what free JSON holds, and what two places share only in the first."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(inner, (dict, list)) and key not in FREE and id(inner) not in seen:
            seen.add(id(inner))
            yield from _places(inner, seen, (*path, key))


def _changed(recipe, path, change):
    """A copy whose parts beside the path are the recipe's own."""
    if not path:
        return change(recipe)
    out = copy.copy(recipe)
    out[path[0]] = _changed(recipe[path[0]], path[1:], change)
    return out


def _set(recipe, path, value):
    def change(parent):
        out = copy.copy(parent)
        out[path[-1]] = value
        return out
    return _changed(recipe, path[:-1], change)


def _drop(recipe, path):
    def change(parent):
        out = copy.copy(parent)
        del out[path[-1]]
        return out
    return _changed(recipe, path[:-1], change)


def _at(recipe, path):
    for key in path:
        recipe = recipe[key]
    return recipe


def variants():
    """Pairs of what was done, and the recipe that came out of it."""
    seen = set()
    for number, good in enumerate([*GOOD, FULL]):
        yield f"{number} as it is", good
        for path in _places(good, seen) if good is not FULL else ():
            if number > 0 and path[0] in HEAD or good.get("auth") in AUTHS and path[0] != "auth":
                continue  # the first has had it
            where = f"{number} /{'/'.join(str(p) for p in path)}"
            yield f"{where} dropped", _drop(good, path)
            for value in VALUES + (TEXTS if isinstance(_at(good, path), str) else []):
                yield f"{where} = {json.dumps(value)[:40]}", _set(good, path, value)
            if isinstance(_at(good, path), dict):
                yield f"{where} with more", _set(good, (*path, "more"), 1)
    for pointer, values in EDGES:
        path = tuple(int(p) if p.isdigit() else p for p in pointer[1:].split("/"))
        for value in values:
            yield f"{pointer} = {json.dumps(value)[:60]}", _set(FULL, path, value)
    yield "more", {**SEP, "more": 1}
    for without in (("base",), ("base", "options")):
        yield f"without {without}", {k: v for k, v in SMALL.items() if k not in without}
    for mode in ("sep", "set", "single"):
        for steps in ((), ("add",), ("delete",), ("add", "delete"), ("find", "put"), ("find",), ("put",)):
            some = {s: {"post": "/x"} for s in steps}
            for txt in ({"mode": mode}, {"mode": mode, "delete": False}):
                yield f"{txt} {steps}", {**SMALL, "txt": txt, "steps": some}


def names(value):
    """Every member name that stands anywhere in a value."""
    if isinstance(value, dict):
        return set(value).union(*(names(v) for v in value.values()))
    return set().union(*(names(v) for v in value)) if isinstance(value, list) else set()


def schema_names():
    """Every member name that the schema allows."""
    parts = [SCHEMA, *SCHEMA["definitions"].values()]
    return set().union(*(part.get("properties", {}) for part in parts))


def verdicts(call, folder):
    """Runs the lint on a file with all variants: (what, "fine" or why not, the schema's yes or no)."""
    made = list(variants())
    file = Path(folder) / "variants.jsonl"
    file.write_text("".join(json.dumps(recipe) + "\n" for _, recipe in made))
    said = call(file).splitlines()
    if len(said) != len(made):
        raise AssertionError(f"{len(made)} recipes, but {len(said)} verdicts")
    judge = validator()
    return [(what, word, judge.is_valid(recipe)) for (what, recipe), word in zip(made, said)]


def reason(word):
    """Why the schema need not say what the lint says, or None."""
    return next((why for why, said in ONLY_LINT.items() if re.search(said, word)), None)
