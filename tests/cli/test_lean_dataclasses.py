"""Dataclasses that generate methods later behave as usual dataclasses."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any

import pytest

from odx_target.cli.serving.lean_dataclasses import LATER, generating_later


def classes(context: AbstractContextManager[None]) -> dict[str, type]:
    """Define dataclasses of all kinds in a context."""
    with context:

        @dataclass
        class Plain:
            number: int
            words: list[str] = field(default_factory=list, compare=False)

        @dataclass(frozen=True)
        class Frozen:
            number: int = 3

        @dataclass(frozen=True, slots=True)
        class Slots:
            number: int
            other: "Slots | None" = field(default=None, repr=False)

        @dataclass(frozen=True, order=True)
        class Derived(Frozen):
            text: str = "a"

        @dataclass(unsafe_hash=True)
        class Own:
            number: int

            def __repr__(self) -> str:
                return "own"

    return {each.__name__: each for each in (Plain, Frozen, Slots, Derived, Own)}


USES: list[Callable[[Any], object]] = [
    repr,
    lambda each: each == each,
    lambda each: each == copy.copy(each),
    lambda each: each == dataclasses.replace(each, number=8),
    lambda each: each != 5,
    lambda each: each < dataclasses.replace(each, number=8),
    hash,
    lambda each: setattr(each, "number", 5),
    lambda each: setattr(each, "unknown", 5),
    lambda each: delattr(each, "number"),
    dataclasses.asdict,
    dataclasses.astuple,
    lambda each: type(each).__match_args__,
    lambda each: [name for name in LATER if name in vars(type(each))],
    lambda each: type(each).__eq__.__qualname__,
    lambda each: type(each).__hash__ is None,
]


def outcome(use: Callable[[Any], object], made: object) -> object:
    try:
        return use(made)
    except (TypeError, AttributeError, FrozenInstanceError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", ["Plain", "Frozen", "Slots", "Derived", "Own"])
@pytest.mark.parametrize("times", [1, 2])
def test_all_uses_have_the_same_outcome(name: str, times: int) -> None:
    usual, lean = classes(nullcontext()), classes(generating_later())
    for use in USES:
        found = [[outcome(use, each[name](number=7)) for _ in range(times)] for each in (usual, lean)]
        assert found[0] == found[1]


def test_methods_are_generated_at_their_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    generated = []
    create = vars(dataclasses)["_create_fn"]

    def counted(name: str, args: Any, body: Any, *, globals: Any = None, locals: Any = None, return_type: Any = None) -> Any:  # noqa: A002
        generated.append(name)
        return create(name, args, body, globals=globals, locals=locals, return_type=return_type)

    monkeypatch.setitem(vars(dataclasses), "_create_fn", counted)
    with generating_later():

        @dataclass(frozen=True)
        class Point:
            x: int

    assert generated == ["__init__"]
    assert Point(1) == Point(1)
    assert Point(1) != Point(2)
    assert generated == ["__init__", "__eq__"]
    assert Point.__eq__.__code__.co_filename == "<string>"


@dataclass(frozen=True)
class Picklable:
    number: int


def test_the_module_is_as_before_after_the_context() -> None:
    before = vars(dataclasses)["_create_fn"]
    with pytest.raises(ZeroDivisionError), generating_later():
        raise ZeroDivisionError
    assert vars(dataclasses)["_create_fn"] is before
    assert pickle.loads(pickle.dumps(Picklable(3))) == Picklable(3)


@pytest.mark.parametrize("present", [None, lambda name, source: None])
def test_another_implementation_of_dataclasses_is_left_alone(monkeypatch: pytest.MonkeyPatch, present: object) -> None:
    if present is None:
        monkeypatch.delitem(vars(dataclasses), "_create_fn")
    else:
        monkeypatch.setitem(vars(dataclasses), "_create_fn", present)
    with generating_later():
        assert vars(dataclasses).get("_create_fn") is present
