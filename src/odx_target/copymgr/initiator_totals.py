"""The bytes that the copy manager has copied for each initiator, and those of its refused commands."""

from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Annotated

from odx_target.copymgr.counters import CopiedBytes, CopiedData
from odx_target.copymgr.limits import MAX_INITIATOR_TOTALS
from odx_target.copymgr.operations.step_choice import StepKind
from odx_target.copymgr.refusal_log import Progress

OTHERS = "others"
"""Name of the sums of initiators that are no longer kept apart. No iSCSI name has this form."""


class TotalsData(CopiedData):
    """The copies of one initiator since the start of the array."""

    refused_bytes: Annotated[int, "requested but not copied"]
    refused_commands: Annotated[int, "commands that were refused, or copied less than requested"]


@dataclass(slots=True)
class Totals(CopiedBytes):
    """Sums of one initiator. `refused_bytes` are the bytes that its commands requested and the array did not copy."""

    refused_bytes: int = 0
    refused_commands: int = 0

    def add(self, other: "Totals") -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    def as_data(self) -> TotalsData:
        """Return the sums as plain data."""
        return {**self.copied(), "refused_bytes": self.refused_bytes, "refused_commands": self.refused_commands}


class InitiatorTotals:
    """The sums of at most MAX_INITIATOR_TOTALS initiators. The sums of the initiators that copied longest ago are added up."""

    def __init__(self) -> None:
        self._totals: OrderedDict[str, Totals] = OrderedDict()
        self._others = Totals()

    def add_step(self, initiator_name: str, kind: StepKind, size_bytes: int) -> None:
        """Count a finished step of a copy."""
        self._of(initiator_name).add_step(kind, size_bytes)

    def add_refusal(self, initiator_name: str, progress: Progress) -> None:
        """Count a command that was refused, or copied less than requested."""
        totals = self._of(initiator_name)
        totals.refused_commands += 1
        totals.refused_bytes += max(progress.requested_bytes - progress.done_bytes, 0)

    def as_data(self) -> dict[str, TotalsData]:
        """Return the sums by the name of the initiator. The sums of all other initiators have the name OTHERS."""
        rows = {name: totals.as_data() for name, totals in self._totals.items()}
        return rows if self._others == Totals() else {**rows, OTHERS: self._others.as_data()}

    def _of(self, initiator_name: str) -> Totals:
        totals = self._totals.pop(initiator_name, None)
        if totals is None:
            totals = Totals()
            if len(self._totals) >= MAX_INITIATOR_TOTALS:
                self._others.add(self._totals.popitem(last=False)[1])
        self._totals[initiator_name] = totals
        return totals
