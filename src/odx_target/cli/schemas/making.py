"""The JSON Schemas of the results that commands print."""

from importlib import import_module
from typing import Any

from odx_target.cli.schemas.table import RESULTS, schema_name
from odx_target.target.control.json_schema import DIALECT, object_schema


def type_of(name: str) -> type:
    """Import the TypedDict of a result."""
    module, _, kind = RESULTS[name].kind.partition(":")
    found = getattr(import_module(f"odx_target.{module}"), kind)
    assert isinstance(found, type)
    return found


def schema_of_result(name: str) -> dict[str, Any]:
    """Return the schema of a result."""
    definitions: dict[str, Any] = {}
    schema = object_schema(type_of(name), definitions)
    return {
        "$schema": DIALECT,
        "$id": f"urn:odx-target:schema:{name}:{RESULTS[name].version}",
        "title": schema_name(name),
        **schema,
        "required": ["schema", *schema["required"]],
        "properties": {"schema": {"const": schema_name(name)}, **schema["properties"]},
        **({"$defs": definitions} if definitions else {}),
    }
