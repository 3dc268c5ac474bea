"""A check of JSON against the subset of JSON Schema that `target/control/json_schema.py` makes."""

from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KNOWN = {"$schema", "$id", "$ref", "$defs", "title", "description", "type", "const", "anyOf", "items"} | {
    "properties",
    "required",
    "additionalProperties",
}


def faults_of(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, place: str = "$") -> list[str]:
    """List the places where a value breaks a schema, or has a field that the schema does not describe."""
    root = root or schema
    assert schema.keys() <= KNOWN, f"{place}: this check does not know {schema.keys() - KNOWN}"
    if "$ref" in schema:
        return faults_of(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, place)
    if "const" in schema:
        return [] if value == schema["const"] else [f"{place}: {value!r} is not {schema['const']!r}"]
    if "anyOf" in schema:
        found = [faults_of(value, each, root, place) for each in schema["anyOf"]]
        return [] if [] in found else min(found, key=len)
    if "type" not in schema:
        return []
    names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if not any(_is_of(value, name) for name in names):
        return [f"{place}: {value!r} is not of {names}"]
    if isinstance(value, list):
        return [fault for at, each in enumerate(value) for fault in faults_of(each, schema["items"], root, f"{place}[{at}]")]
    return _faults_of_object(value, schema, root, place) if isinstance(value, dict) else []


def _is_of(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and (not isinstance(value, bool) or name == "boolean")


def _faults_of_object(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], place: str) -> list[str]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    faults = [f"{place}: there is no {name}" for name in schema.get("required", ()) if name not in value]
    for name, each in value.items():
        if name in properties or others is not None:
            faults += faults_of(each, properties.get(name, others), root, f"{place}.{name}")
        else:
            faults.append(f"{place}: {name} is not described")
    return faults
