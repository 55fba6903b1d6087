"""The subset of JSON Schema 2020-12 that the OpenAPI file uses."""

import re

DOCUMENT = {}  # what a $ref points into
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool,
         "null": type(None)}
FORMATS = {"date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "uri": r"https?://.+"}
KNOWN = {"$ref", "type", "description", "format", "properties", "required", "items", "maxItems",
         "additionalProperties", "enum", "const", "pattern", "minimum", "maximum", "minLength",
         "oneOf", "default", "writeOnly"}


def resolve(node):
    while "$ref" in node:
        target = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def check_scalar(schema, value, at):
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{at}: {value!r} is not {schema['const']!r}"
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            yield f"{at}: {value!r} is too short"
        for pattern in (schema.get("pattern"), FORMATS.get(schema.get("format"))):
            if pattern and not re.search(pattern, value):
                yield f"{at}: {value!r} does not match {pattern}"
    if is_type(value, "integer"):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            yield f"{at}: {value} is out of range"


def check_object(schema, value, at):
    known = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            yield f"{at}: {name} is missing"
    for name, member in value.items():
        more = schema.get("additionalProperties", True)
        if name in known:
            yield from check(known[name], member, f"{at}/{name}")
        elif more is False:
            yield f"{at}: {name} is not described"
        elif isinstance(more, dict):
            yield from check(more, member, f"{at}/{name}")


def check(schema, value, at="#"):
    """Yields what is wrong with a value."""
    schema = resolve(schema)
    unknown = set(schema) - KNOWN
    if unknown:
        yield f"{at}: the validator does not know {unknown}"
    names = schema.get("type", [])
    names = [names] if isinstance(names, str) else names
    if names and not any(is_type(value, name) for name in names):
        yield f"{at}: {value!r} is no {' or '.join(names)}"
        return
    yield from check_scalar(schema, value, at)
    if "oneOf" in schema:
        fits = sum(1 for one in schema["oneOf"] if not list(check(one, value, at)))
        if fits != 1:
            yield f"{at}: fits {fits} of oneOf"
    if isinstance(value, dict):
        yield from check_object(schema, value, at)
    if isinstance(value, list):
        if len(value) > schema.get("maxItems", len(value)):
            yield f"{at}: {len(value)} items"
        for i, item in enumerate(value):
            yield from check(schema.get("items", {}), item, f"{at}/{i}")
