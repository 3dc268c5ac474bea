"""Properties of the division into parts, and of work that ends at the first failure."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from odx_target.initiator.copying.copy_plan import Span
from odx_target.initiator.esxi.parts import divided, each_part, until_failure
from tests.initiator.driving import one_by_one, run

spans = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=4).map(
    lambda pairs: [
        Span(start, start + size) for start, size in ((1000 * at + one, other) for at, (one, other) in enumerate(pairs))
    ]
)


def positions(parts: list[Span]) -> list[int]:
    return [at for part in parts for at in range(part.start_bytes, part.end_bytes)]


@given(spans, st.integers(1, 30))
def test_parts_are_the_spans(whole: list[Span], size: int) -> None:
    parts = list(divided(whole, size))
    assert positions(parts) == positions(whole)
    assert all(0 < part.size_bytes <= size for part in parts)


@given(spans, st.integers(1, 10), st.integers(1, 5), st.dictionaries(st.integers(0, 15), st.integers(0, 9)))
def test_what_is_not_done_remains(whole: list[Span], size: int, depth: int, short: dict[int, int]) -> None:
    parts = list(divided(whole, size))
    done: list[Span] = []
    begun: list[Span] = []

    async def one(part: Span) -> int:
        number = parts.index(part)
        count = min(short.get(number, size), part.size_bytes)
        begun.append(part)
        done.append(Span(part.start_bytes, part.start_bytes + count))
        return count

    remaining = run(until_failure(parts, one, depth, one_by_one))
    assert sorted(positions(done) + positions(remaining)) == sorted(positions(parts))
    assert positions(remaining) == sorted(positions(remaining))
    assert all(one.end_bytes < other.start_bytes for one, other in pairwise(remaining)), "joined"
    failed = [number for number, part in enumerate(parts) if short.get(number, size) < part.size_bytes]
    assert begun == parts[: failed[0] + 1 if failed else len(parts)]


def test_no_parts_are_no_work() -> None:
    async def one(part: Span) -> None:
        raise AssertionError

    run(each_part([], one, 32, one_by_one))
