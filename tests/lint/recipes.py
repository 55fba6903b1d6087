#!/usr/bin/env python3
"""The schema of DNS recipes: it is one, the shipped recipes have its form, and its members are those of the
lint's tables in C.  What it says of values is compared with the lint's verdicts by
tests/integration/test_dns_providers.py."""

import json
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))
import recipe_variants  # noqa: E402

SCHEMA = recipe_variants.SCHEMA
# Table in C: definition, "" for the whole.
TABLES = {
    "recipe_parse.c": {"top": "", "credential": "credential", "option": "option", "name_rules": "names",
                       "txt": "txt", "limits": "limits", "propagation": "propagation", "errors": "error",
                       "paging": "paging"},
    "recipe_scope.c": {"zone_step": "step_zone", "find_step": "step_find", "add_step": "step_add",
                       "delete_step": "step_delete", "put_step": "step_put", "commit_step": "step_commit",
                       "wait_step": "step_wait", "login_step": "step_login", "logout_step": "step_logout",
                       "auth_headers": "auth_headers", "auth_set": "auth_set", "auth_basic": "auth_basic",
                       "auth_login": "auth_login", "auth_jwt": "auth_jwt", "auth_client": "auth_client"},
    "recipe_lint.c": {"test_members": "test", "pair_members": "test_pair", "request_members": "test_request",
                      "reply_members": "test_reply"}}


def tables(file):
    """{table: {member: required}} of a C file."""
    text = (ROOT / "certmgr/dns" / file).read_text()
    macros = {name: re.sub(r"\\\n", " ", body)
              for name, body in re.findall(r"#define (REQUEST|LISTS)\s+\\\n((?:.*\\\n)*.*\n)", text)}
    out = {}
    for name, body in re.findall(r"static const struct rcp_member (\w+)\[\] = \{(.*?)\};", text, re.S):
        for macro, rows in macros.items():
            body = re.sub(rf"\b{macro}\b", lambda _, rows=rows: rows, body)
        rows = re.findall(r'\{\s*"([^"]+)", T_\w+, (true|false)\s*\}', body)
        out[name] = {member: required == "true" for member, required in rows}
    return out


class Recipes(unittest.TestCase):
    def test_the_schema_is_one(self):
        self.assertEqual(SCHEMA["$schema"], "http://json-schema.org/draft-07/schema#")
        recipe_variants.jsonschema.Draft7Validator.check_schema(SCHEMA)
        used = set(re.findall(r'"#/definitions/(\w+)"', json.dumps(SCHEMA)))
        self.assertEqual(used, set(SCHEMA["definitions"]))

    def test_shipped_recipes_have_its_form(self):
        judge = recipe_variants.validator()
        files = sorted(set((ROOT / "packaging/dns").glob("*.json")) - {ROOT / "packaging/dns/recipe.schema.json"})
        self.assertGreaterEqual(len(files), 14)
        for file in files:
            faults = [f"{list(e.absolute_path)}: {e.message}" for e in judge.iter_errors(json.loads(file.read_text()))]
            self.assertEqual(faults, [], file.name)

    def test_its_members_are_the_lints(self):
        for file, known in TABLES.items():
            found = tables(file)
            self.assertEqual(set(found), set(known), f"{file}: a table that the schema does not know, or none such")
            for table, name in known.items():
                part = SCHEMA["definitions"][name] if name else SCHEMA
                self.assertIs(part["additionalProperties"], False, name)
                self.assertEqual(set(part["properties"]), set(found[table]), f"{file}: {table}")
                needed = {member for member, required in found[table].items() if required}
                self.assertEqual(set(part.get("required", [])), needed, f"{file}: {table}")

    def test_its_steps_are_the_lints(self):
        text = (ROOT / "certmgr/dns/recipe_scope.c").read_text()
        steps = dict(re.findall(r'^    \{"(\w+)", (\w+_step), S_', text, re.M))
        self.assertEqual({name: {"$ref": f"#/definitions/{TABLES['recipe_scope.c'][table]}"}
                          for name, table in steps.items()}, SCHEMA["definitions"]["steps"]["properties"])

    def test_the_variants_use_every_member(self):
        used = set().union(*(recipe_variants.names(recipe) for recipe in recipe_variants.GOOD))
        self.assertEqual(recipe_variants.schema_names() - used, set())


if __name__ == "__main__":
    unittest.main()
