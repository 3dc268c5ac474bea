"""The check of JSON finds every kind of fault, so that the tests of outputs can fail."""

from typing import Annotated, Any, NotRequired, TypedDict

import pytest

from odx_target.target.control.json_schema import object_schema, schema_of
from tests.cli.schemas.validation import faults_of


class Inner(TypedDict):
    """A number.

    It may be missing.
    """

    number: Annotated[int | None, "a number"]
    more: NotRequired["list[Inner]"]


class Outer(TypedDict):
    inner: Inner | None
    numbers: dict[str, float]
    texts: list[str]
    anything: object
    flag: bool


DEFINITIONS: dict[str, Any] = {}
SCHEMA = {**object_schema(Outer, DEFINITIONS), "$defs": DEFINITIONS}
GOOD: dict[str, Any] = {
    "inner": {"number": 1, "more": [{"number": None}]},
    "numbers": {"a": 1, "b": 0.5},
    "texts": ["a"],
    "anything": [{}],
    "flag": True,
}


def test_a_schema_is_made_from_types() -> None:
    assert SCHEMA["required"] == list(GOOD)
    assert SCHEMA["properties"]["inner"] == {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]}
    assert DEFINITIONS["Inner"]["description"] == "A number. It may be missing."
    assert DEFINITIONS["Inner"]["required"] == ["number"]
    assert DEFINITIONS["Inner"]["properties"]["number"] == {"type": ["integer", "null"], "description": "a number"}
    with pytest.raises(TypeError):
        schema_of(bytes, {})


def test_a_good_value_has_no_faults() -> None:
    assert faults_of(GOOD, SCHEMA) == []
    assert faults_of({**GOOD, "inner": None}, SCHEMA) == []


@pytest.mark.parametrize(
    "change",
    [
        {"inner": {}},
        {"inner": {"number": "1"}},
        {"inner": {"number": True}},
        {"inner": {"number": 1.5}},
        {"inner": {"number": 1, "more": [{"number": []}]}},
        {"inner": {"number": 1, "other": 1}},
        {"numbers": {"a": "1"}},
        {"numbers": []},
        {"texts": [1]},
        {"flag": 1},
        {"flag": None},
        {"unknown": 1},
    ],
)
def test_a_wrong_value_has_a_fault(change: dict[str, Any]) -> None:
    assert len(faults_of({**GOOD, **change}, SCHEMA)) == 1


def test_a_missing_field_is_a_fault() -> None:
    assert faults_of({name: value for name, value in GOOD.items() if name != "flag"}, SCHEMA) == ["$: there is no flag"]
