"""Operations on parts of a virtual disk, with several parts under way at once."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from odx_target.initiator.copying.copy_plan import Span
from odx_target.initiator.result import Together


def divided(spans: Iterable[Span], size_bytes: int) -> Iterator[Span]:
    """Yield the spans in parts of at most `size_bytes` bytes."""
    for span in spans:
        for start in range(span.start_bytes, span.end_bytes, size_bytes):
            yield Span(start, min(start + size_bytes, span.end_bytes))


async def each_part(parts: Iterable[Span], one: Callable[[Span], Awaitable[None]], depth: int, together: Together) -> None:
    """Do all parts, with at most `depth` of them under way at once. Raises the first InitiatorError of `one`."""
    every = list(parts)
    left = iter(every)

    async def work() -> None:
        for part in left:
            await one(part)

    await together([work] * min(depth, len(every)))


async def until_failure(
    parts: Sequence[Span], one: Callable[[Span], Awaitable[int]], depth: int, together: Together
) -> list[Span]:
    """Do parts until one of them fails, with at most `depth` of them under way at once. Return the spans that are not done.

    `one` returns the number of bytes of its part that it has done, counted from the start of the part. After a part that is not
    done completely, no further part is begun.
    """
    remaining: list[Span] = []

    async def do(part: Span) -> None:
        done_bytes = 0 if remaining else await one(part)
        if done_bytes < part.size_bytes:
            remaining.append(Span(part.start_bytes + done_bytes, part.end_bytes))

    await each_part(parts, do, depth, together)
    return _joined(remaining)


def _joined(spans: list[Span]) -> list[Span]:
    """Return the spans in order. Adjacent spans are joined."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda each: each.start_bytes):
        if joined and joined[-1].end_bytes == span.start_bytes:
            span = Span(joined.pop().start_bytes, span.end_bytes)
        joined.append(span)
    return joined
