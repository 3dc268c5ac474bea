"""Counters of the copy manager since it started."""

from dataclasses import dataclass
from typing import Annotated, TypedDict

from odx_target.copymgr.operations.step_choice import StepKind


class CopiedData(TypedDict):
    """Numbers of bytes that were copied."""

    shared_bytes: Annotated[int, "copied by references to the same blocks"]
    zeroed_bytes: Annotated[int, "written as zeros without data"]
    moved_bytes: Annotated[int, "read and written inside the array, because source and destination are not aligned alike"]


class CounterData(CopiedData):
    """Counters of the copy manager."""

    tokens_made: int
    operations_started: int
    operations_terminated: int
    steps: int


@dataclass(slots=True)
class CopiedBytes:
    """Numbers of bytes that were copied, by the kind of the step."""

    shared_bytes: int = 0
    """Number of bytes that were copied by sharing map entries."""
    zeroed_bytes: int = 0
    moved_bytes: int = 0
    """Number of bytes that were copied by reads and writes."""

    def add_step(self, kind: StepKind, size_bytes: int) -> None:
        """Count a finished step of a copy."""
        if kind is StepKind.SHARE:
            self.shared_bytes += size_bytes
        elif kind is StepKind.ZERO:
            self.zeroed_bytes += size_bytes
        else:
            self.moved_bytes += size_bytes

    def copied(self) -> CopiedData:
        """Return the numbers of bytes as plain data."""
        return {"shared_bytes": self.shared_bytes, "zeroed_bytes": self.zeroed_bytes, "moved_bytes": self.moved_bytes}


@dataclass(slots=True)
class Counters(CopiedBytes):
    tokens_made: int = 0
    operations_started: int = 0
    operations_terminated: int = 0
    steps: int = 0

    def add_step(self, kind: StepKind, size_bytes: int) -> None:
        CopiedBytes.add_step(self, kind, size_bytes)
        self.steps += 1

    def as_data(self) -> CounterData:
        """Return the counters as plain data."""
        return {
            **self.copied(),
            "tokens_made": self.tokens_made,
            "operations_started": self.operations_started,
            "operations_terminated": self.operations_terminated,
            "steps": self.steps,
        }
