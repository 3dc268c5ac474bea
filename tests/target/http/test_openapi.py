"""The OpenAPI document of the HTTP control port."""

from typing import Any

import pytest

from odx_target.target.control.http.openapi import ERRORS, SCHEMAS, document
from odx_target.target.control.http.paths import PREFIX
from odx_target.target.control.operation import Operation
from odx_target.target.control.operations import OPERATIONS
from odx_target.target.control.storage.table import STORAGE_OPERATIONS

ALL = {**OPERATIONS, **STORAGE_OPERATIONS}
DOCUMENT = document(ALL.values())


@pytest.mark.parametrize("operation", ALL.values(), ids=lambda operation: operation.name)
def test_every_operation_is_described_with_its_arguments(operation: Operation) -> None:
    post = DOCUMENT["paths"][f"{PREFIX}{operation.name}"]["post"]
    body = post["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {argument.name for argument in operation.arguments}
    assert body["required"] == [argument.name for argument in operation.arguments if argument.is_required]
    assert post["requestBody"]["required"] == bool(body["required"])
    assert all(each["description"] for each in body["properties"].values())
    assert set(post["responses"]) == {"200", *map(str, ERRORS)}


def test_there_is_a_path_for_each_operation_and_no_other() -> None:
    assert set(DOCUMENT["paths"]) == {f"{PREFIX}{name}" for name in ALL}
    assert {path["post"]["operationId"] for path in DOCUMENT["paths"].values()} == set(ALL)


@pytest.mark.parametrize("parse", SCHEMAS)
def test_a_schema_agrees_with_the_function_that_reads_the_value(parse: Any) -> None:
    from odx_target.target.config.error import ConfigError

    samples = {"string": ["1G", "a=1G", "ff", "17"], "integer": [1], "boolean": [True, False]}
    kinds = SCHEMAS[parse]["type"]
    for kind, values in samples.items():
        accepted = 0
        for value in values:
            try:
                parse(value)
            except ConfigError:
                continue
            accepted += 1
        assert bool(accepted) == (kind in kinds), kind


def test_defaults_are_shown() -> None:
    body = DOCUMENT["paths"]["/v1/advance-clock"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["connections"] == {
        "type": "boolean",
        "description": "true to advance the timers of connections too",
        "default": False,
    }
