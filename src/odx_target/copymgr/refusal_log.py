"""The latest refusals with their reasons, and the number of refusals of each kind."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from odx_target.copymgr.commands.parameter_lists import Lid1Receive, ServiceAction
from odx_target.copymgr.limits import REFUSALS_KEPT
from odx_target.copymgr.refusal import MISSING, RESERVED, Reason, Refusal
from odx_target.scsi.command_table import SERVICE_ACTION_BITS
from odx_target.scsi.failures import failure_of
from odx_target.scsi.reply import Status
from odx_target.scsi.sense import INVALID_COMMAND_OPERATION_CODE, INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.task import ReservationConflict


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
    requested_bytes: Annotated[int, "0 if the blocks of a refused command are not known"]
    done_bytes: int
    in_background: Annotated[bool, "true if the command had ended with GOOD before its copy failed"]


_RESERVATION_CONFLICT: Reason = {
    "condition": "reservation conflict",
    "code": f"status {Status.RESERVATION_CONFLICT:02X}",
    "rule": RESERVED,
}
SERVICE_ACTION_FIELD = (1, SERVICE_ACTION_BITS.bit_length() - 1)
"""The byte and the highest bit of SERVICE ACTION in a CDB."""

NOT_BEGUN = Progress()
"""The progress of a command that was refused, and whose blocks are not known."""


def reason_of(error: Exception) -> Reason:
    """Return the reason for an exception that ended a command."""
    if isinstance(error, Refusal):
        return error.explain()
    if isinstance(error, ReservationConflict):
        return _RESERVATION_CONFLICT
    if not isinstance(error, CheckCondition):
        condition, key = failure_of(error)
        error = CheckCondition(condition, key=key)
    reason: Reason = {"condition": error.condition.words, "code": error.code}
    is_missing = error.condition is INVALID_FIELD_IN_CDB and (error.cdb_field, error.bit) == SERVICE_ACTION_FIELD
    if is_missing or error.condition is INVALID_COMMAND_OPERATION_CODE:
        reason["rule"] = MISSING
    return reason


class RefusalLog:
    """`on_note` is called with each refusal that is stored."""

    def __init__(self) -> None:
        self.on_note: Callable[[RefusedCopy], None] = lambda _: None
        self.noted = 0
        """Number of refusals so far. It is also the number of the latest refusal."""
        self._latest: deque[RefusedCopy] = deque(maxlen=REFUSALS_KEPT)
        self._counts: Counter[str] = Counter()
        self._last: Exception | None = None

    def note(
        self,
        initiator_name: str,
        lun_name: str,
        service_action: ServiceAction | Lid1Receive,
        error: Exception,
        at_s: float,
        progress: Progress = NOT_BEGUN,
    ) -> bool:
        """Store a refusal at the time `at_s` (seconds since 1970). If several callers pass the same exception object, it is
        stored only once. Returns False if it was already stored.
        """
        if error is self._last:
            return False
        self._last = error
        reason = reason_of(error)
        self._counts[reason["code"]] += 1
        self.noted += 1
        entry: RefusedCopy = {
            "number": self.noted,
            "time_s": at_s,
            "command": service_action.name,
            "initiator": initiator_name,
            "lun": lun_name,
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
