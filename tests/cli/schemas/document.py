"""docs/json.md: `python -m tests.cli.schemas.document` writes it from the schemas, and a test compares it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from odx_target.cli.schemas.making import schema_of_result
from odx_target.cli.schemas.table import RESULTS, schema_name

DOCUMENT = Path(__file__).parents[3] / "docs" / "json.md"

BEGINNING = """# JSON output

Every command that prints a result prints it as JSON with `--json`. Only `conformance` writes it to a file, `--json FILE`.
Errors and the progress of copies go to standard error, so standard output has nothing but the result. The exit code is the same
with and without `--json`.

- **Schemas.** Each result begins with `schema`, the name and the version of its schema, such as `copy/1`. `odx-target schema
  copy` prints the JSON Schema (draft 2020-12) of the output of `odx-target copy`, and `odx-target schema` lists all of them.
- **Versions.** Within a version, fields are only added. A change after which a program could no longer read the result gets the
  next version.
- **Lines.** Where the table says so, a command prints any number of results, each on a line of its own.

The results of [operations on the control socket and over HTTP](control.md#json) have the same fields without `schema`.

This page is made from the types that the commands return: `python -m tests.cli.schemas.document` writes it.
"""


def _type_words(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return f'`"{schema["const"]}"`'
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type_words(each) for each in schema["anyOf"])
    kind = schema.get("type", "any value")
    if kind == "array":
        return f"list of {_type_words(schema['items'])}"
    if kind == "object":
        return f"object with values of {_type_words(schema['additionalProperties'])}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _table(schema: Mapping[str, Any]) -> Iterable[str]:
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    for name, each in schema["properties"].items():
        shown = f"`{name}`" if name in schema["required"] else f"`{name}` (may be missing)"
        yield f"| {shown} | {_type_words(each)} | {each.get('description', '')} |".replace("  |", " |")
    yield ""


def document() -> str:
    """Return the page."""
    definitions: dict[str, Any] = {}
    lines = [BEGINNING, "## Commands", "", "| command | schema | output |", "|---|---|---|"]
    commands = {command: name for name, result in RESULTS.items() for command in result.commands}
    for command, name in commands.items():
        link = f"[{schema_name(name)}](#{schema_name(name).replace('/', '')})"
        lines.append(f"| `{command}` | {link} | {'lines' if RESULTS[name].is_line else 'one result'} |")
    lines.append("")
    for name in RESULTS:
        schema = schema_of_result(name)
        for defined, inner in schema.get("$defs", {}).items():
            assert definitions.setdefault(defined, inner) == inner, f"two types are called {defined}"
        lines += [f"## {schema_name(name)}", "", schema["description"], "", *_table(schema)]
    lines += ["## Parts of results", ""]
    for name, schema in sorted(definitions.items()):
        lines += [f"### {name}", "", schema["description"], "", *_table(schema)]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
