"""The description of the HTTP control port in the format of OpenAPI 3.1, made from the tables of operations."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from odx_target import __version__
from odx_target.target.control import arguments
from odx_target.target.control.arguments import Argument
from odx_target.target.control.http.paths import PREFIX
from odx_target.target.control.json_schema import schema_of
from odx_target.target.control.operation import Operation

SCHEMAS: dict[Callable[[object], Any], dict[str, Any]] = {
    # JSON schema of the values that a function accepts. Other functions accept what their descriptions say.
    arguments.text: {"type": "string"},
    arguments.lun: {"type": "string"},
    arguments.flag: {"type": "boolean"},
    arguments.size: {"type": ["integer", "string"]},
    arguments.rate: {"type": ["integer", "string"]},
    arguments.token_identifier: {"type": "string", "pattern": "^[0-9A-Fa-f]{1,16}$"},
    arguments.list_identifier: {"type": ["integer", "string"]},
}

COMPONENTS = "#/components/schemas/"
"""Place of the schemas of results in the document."""

ERRORS: dict[int, str] = {
    400: "The request is wrong: an argument is missing, unknown or invalid.",
    401: "The token is missing or wrong.",
    404: "There is no such operation.",
    409: "The array refuses the operation in its present state.",
    413: "The request is too long.",
    500: "The operation failed inside the array; its log says more.",
}
"""Status codes of failed requests."""


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document for operations."""
    definitions: dict[str, Any] = {}
    paths = {f"{PREFIX}{operation.name}": {"post": _post(operation, definitions)} for operation in operations}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "odx-target control",
            "version": __version__,
            "description": "Shows and changes a running array.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error", "usage"],
                    "properties": {
                        "error": {"type": "string", "description": "one line"},
                        "usage": {"type": "boolean", "description": "true if the request itself was invalid"},
                    },
                },
                **definitions,
            },
        },
    }


def _post(operation: Operation, definitions: dict[str, Any]) -> dict[str, Any]:
    properties = {argument.name: _schema(argument) for argument in operation.arguments}
    required = [argument.name for argument in operation.arguments if argument.is_required]
    body = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    result = schema_of(operation.result, definitions, COMPONENTS)
    failures = {
        str(status): {
            "description": words,
            "content": {"application/json": {"schema": {"$ref": f"{COMPONENTS}Error"}}},
        }
        for status, words in ERRORS.items()
    }
    return {
        "operationId": operation.name,
        "summary": (operation.perform.__doc__ or operation.name).strip().splitlines()[0],
        "requestBody": {"required": bool(required), "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "The result.", "content": {"application/json": {"schema": result}}},
            **failures,
        },
    }


def _schema(argument: Argument) -> dict[str, Any]:
    schema = {**SCHEMAS.get(argument.parse, {}), "description": argument.description}
    if not argument.is_required and _is_plain(argument.default):
        schema["default"] = argument.default
    return schema


def _is_plain(value: object) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True
