"""The JSON text of responses: equal to that of the standard library, and made in pieces."""

import json
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.target.control.encoding import CHARACTERS_AT_ONCE, ROWS_AT_ONCE, encoded

SIMPLE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5))
KEYS = st.one_of(st.text(max_size=3), st.integers())
ROWS = st.dictionaries(KEYS, st.one_of(SIMPLE, st.lists(SIMPLE, max_size=3)), max_size=3)
LONG = st.builds(lambda row, count: [row] * count, ROWS, st.integers(ROWS_AT_ONCE - 1, 2 * ROWS_AT_ONCE + 1))
VALUES = st.one_of(SIMPLE, ROWS, st.lists(ROWS, max_size=3), LONG, st.dictionaries(KEYS, LONG, max_size=2))


async def text_of(answer: Any) -> str:
    return (await encoded(answer)).decode()


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=3))
def test_the_text_is_that_of_the_standard_library(answer: dict[str, Any]) -> None:
    assert trio.run(text_of, answer) == json.dumps(answer)


async def test_other_tasks_run_between_the_pieces_of_a_long_response() -> None:
    answer: dict[str, dict[str, Any]] = {"result": {"rows": [{"number": number} for number in range(20 * ROWS_AT_ONCE)]}}
    answer["result"] |= {str(number): ["x" * CHARACTERS_AT_ONCE] for number in range(10)}
    rounds: list[int] = []

    async def count() -> None:
        while True:
            rounds.append(0)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await trio.lowlevel.checkpoint()
        before = len(rounds)
        assert await text_of(answer) == json.dumps(answer)
        assert len(rounds) >= before + 9
        nursery.cancel_scope.cancel()
