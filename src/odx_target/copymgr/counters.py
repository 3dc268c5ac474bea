"""Counters of the copy manager since it started."""

from dataclasses import asdict, dataclass

from odx_target.copymgr.operations.step_choice import StepKind


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

    def as_data(self) -> dict[str, int]:
        return asdict(self)


@dataclass(slots=True)
class Counters(CopiedBytes):
    tokens_made: int = 0
    operations_started: int = 0
    operations_terminated: int = 0
    steps: int = 0

    def add_step(self, kind: StepKind, size_bytes: int) -> None:
        CopiedBytes.add_step(self, kind, size_bytes)
        self.steps += 1
