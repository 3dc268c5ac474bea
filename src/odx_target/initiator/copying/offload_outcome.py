"""The result of offloading, and the reasons why it ends early."""

from dataclasses import dataclass
from enum import Enum

from odx_target.initiator.copying.copy_plan import Span
from odx_target.initiator.result import CommandResult


class StopReason(Enum):
    """Reasons why the arrays copied only a part of the data or no data."""

    NOT_WANTED = "the host's reads and writes were asked for"
    SOURCE_CANNOT = "the source cannot copy by token"
    DESTINATION_CANNOT = "the destination cannot copy by token"
    RANGES_TOO_CLOSE = "the ranges overlap and begin too close to each other"
    POPULATE_REFUSED = "POPULATE TOKEN failed"
    TOKEN_NOT_DELIVERED = "RECEIVE ROD TOKEN INFORMATION gave no token"  # noqa: S105 - not a secret
    TOKEN_TOO_SHORT = "the token holds less than a block of the destination"  # noqa: S105 - not a secret
    TOKEN_REFUSED = "the destination refused a new token"  # noqa: S105 - not a secret
    WRITE_FAILED = "WRITE USING TOKEN failed"
    NO_PROGRESS = "the copy did not come forward"
    TIMED_OUT = "the target did not answer in time"


@dataclass(frozen=True, slots=True)
class OffloadStop:
    """The reason why offloading ended before the end of the copy. `position_bytes` is the position in the copy at which
    offloading ended.
    """

    reason: StopReason
    detail: str
    position_bytes: int
    result: CommandResult | None = None

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}" if self.detail else self.reason.value


@dataclass(frozen=True, slots=True)
class OffloadOutcome:
    """The result of offloading. `remaining` has the parts that the host must still copy, in the order of copying."""

    offloaded_bytes: int
    remaining: tuple[Span, ...]
    stop: OffloadStop | None
    tokens: int
    writes: int
    partial_writes: int
