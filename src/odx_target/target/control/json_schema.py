"""JSON Schemas (draft 2020-12) of plain data, made from the types that describe it: TypedDicts, lists, texts, numbers, ...

`Annotated[int, "words"]` gives a field its description. So a type is checked by mypy where the data is made, and the same type
is the documentation and the schema.
"""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

DIALECT = "https://json-schema.org/draft/2020-12/schema"

PLACE = "#/$defs/"
"""Place of the definitions in a schema."""

Schema = dict[str, Any]

PLAIN: Mapping[object, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    NoneType: {"type": "null"},
    object: {},
}


def schema_of(kind: object, definitions: Schema, place: str = PLACE) -> Schema:
    """Return the schema of a type. TypedDicts become references, and their schemas are added to `definitions`, which
    the document has at `place`.

    Raises TypeError if JSON has no such type.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return {**schema_of(arguments[0], definitions, place), "description": arguments[1]}
    if origin is NotRequired:
        return schema_of(arguments[0], definitions, place)
    if origin is list:
        return {"type": "array", "items": schema_of(arguments[0], definitions, place)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(arguments[1], definitions, place)}
    if origin in (Union, UnionType):
        return _any_of([schema_of(each, definitions, place) for each in arguments])
    if is_typeddict(kind):
        assert isinstance(kind, type)
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = {}  # a type may contain itself
            definitions[kind.__name__] = object_schema(kind, definitions, place)
        return {"$ref": f"{place}{kind.__name__}"}
    try:
        return dict(PLAIN[kind])
    except KeyError:
        raise TypeError(f"JSON has no type for {kind!r}") from None


def object_schema(kind: type, definitions: Schema, place: str = PLACE) -> Schema:
    """Return the schema of a TypedDict, whose docstring is the description. Further fields are allowed, because later versions
    add fields.
    """
    fields = get_type_hints(kind, include_extras=True)
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "required": [name for name in fields if name in kind.__required_keys__],  # type: ignore[attr-defined]
        "properties": {name: schema_of(each, definitions, place) for name, each in fields.items()},
    }


def _any_of(schemas: list[Schema]) -> Schema:
    if all(set(each) == {"type"} for each in schemas):
        return {"type": [each["type"] for each in schemas]}
    return {"anyOf": schemas}
