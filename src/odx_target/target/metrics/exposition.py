"""Metric families, and their form as text (Prometheus text exposition format 0.0.4)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

Labels = tuple[tuple[str, str], ...]
"""Pairs of a label name and its value."""


@dataclass(slots=True)
class Family:
    """A metric with its samples. The name of a counter ends in `_total`. Sizes are in bytes, and times are in seconds."""

    name: str
    kind: str
    description: str
    samples: list[tuple[str, Labels, float]] = field(default_factory=list)
    """Tuples of the suffix of the name, the labels and the value."""

    def add(self, value: float, *labels: tuple[str, str]) -> None:
        """Add a sample."""
        self.samples.append(("", labels, value))

    def add_histogram(self, bounds: Sequence[float], counts: Iterable[int], total: float, *labels: tuple[str, str]) -> None:
        """Add a histogram. `counts` has one number for each bound, and a last number for values above all bounds. `total` is
        the sum of all values.
        """
        reached = 0
        for bound, count in zip((*bounds, inf), counts, strict=True):
            reached += count
            self.samples.append(("_bucket", (*labels, ("le", number(bound))), reached))
        self.samples.append(("_sum", labels, total))
        self.samples.append(("_count", labels, reached))


def lines(family: Family) -> Iterator[str]:
    """Yield the lines of a family, each with its line end."""
    yield f"# HELP {family.name} {_escaped(family.description)}\n"
    yield f"# TYPE {family.name} {family.kind}\n"
    for suffix, labels, value in family.samples:
        pairs = ",".join(f'{name}="{_escaped(text, quote=True)}"' for name, text in labels)
        yield f"{family.name}{suffix}{{{pairs}}} {number(value)}\n" if pairs else f"{family.name}{suffix} {number(value)}\n"


def number(value: float) -> str:
    """Return a number as text."""
    if value == inf:
        return "+Inf"
    return str(value) if isinstance(value, int) else repr(float(value))


def _escaped(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quote else text
