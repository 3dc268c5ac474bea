"""The latest refusals with their reasons, and the number of refusals of each kind."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from odx_target.copymgr.commands.parameter_lists import Lid1Receive, ServiceAction
from odx_target.copymgr.limits import REFUSALS_KEPT
from odx_target.copymgr.refusal import Reason, Refusal
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.sense import CheckCondition
from odx_target.scsi.unit.logical_unit import LogicalUnit


@dataclass(frozen=True, slots=True)
class Progress:
    """The number of bytes that a command was asked to copy, and the number of bytes that it has copied.

    `in_background` is True if the command was answered with GOOD before its copy ended.
    """

    requested_bytes: int = 0
    done_bytes: int = 0
    in_background: bool = False


class RefusedCopy(Reason):
    """A copy that was refused, or that copied less than requested."""

    number: Annotated[int, "refusals are counted from 1 since the start of the array"]
    time_s: Annotated[float, "seconds since 1970"]
    command: Annotated[str, "name of the command with underscores"]
    initiator: str
    lun: Annotated[str, "name of the LUN"]
    requested_bytes: Annotated[int, "0 if the command was refused before its parameter list was accepted"]
    done_bytes: int
    in_background: Annotated[bool, "true if the command had ended with GOOD before its copy failed"]


NOT_BEGUN = Progress()
"""The progress of a command that was refused before its parameter list was accepted."""


class RefusalLog:
    """`on_note` is called with each refusal that is stored."""

    def __init__(self) -> None:
        self.on_note: Callable[[RefusedCopy], None] = lambda _: None
        self.noted = 0
        """Number of refusals so far. It is also the number of the latest refusal."""
        self._latest: deque[RefusedCopy] = deque(maxlen=REFUSALS_KEPT)
        self._counts: Counter[str] = Counter()
        self._last: CheckCondition | None = None

    def note(
        self,
        nexus: Nexus,
        unit: LogicalUnit,
        service_action: ServiceAction | Lid1Receive,
        check: CheckCondition,
        at_s: float,
        progress: Progress = NOT_BEGUN,
    ) -> bool:
        """Store a refusal at the time `at_s` (seconds since 1970). If several callers pass the same exception object, it is
        stored only once. Returns False if it was already stored.
        """
        if check is self._last:
            return False
        self._last = check
        reason: Reason = (
            check.explain() if isinstance(check, Refusal) else {"condition": check.condition.words, "code": check.code}
        )
        self._counts[reason["code"]] += 1
        self.noted += 1
        entry: RefusedCopy = {
            "number": self.noted,
            "time_s": at_s,
            "command": service_action.name,
            "initiator": nexus.initiator_name,
            "lun": unit.volume.name,
            "requested_bytes": progress.requested_bytes,
            "done_bytes": progress.done_bytes,
            "in_background": progress.in_background,
            **reason,
        }
        self._latest.append(entry)
        self.on_note(entry)
        return True

    @property
    def latest(self) -> list[RefusedCopy]:
        """Return the latest refusals, oldest first. At most `REFUSALS_KEPT` refusals are stored."""
        return list(self._latest)

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of refusals by sense code."""
        return dict(self._counts)
