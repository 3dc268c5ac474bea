"""How a task ends: a status, and data or sense data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from odx_target.environment import Buffer


class Status(IntEnum):
    """Status codes (SAM-5 5.3.1)."""

    GOOD = 0x00
    CHECK_CONDITION = 0x02
    CONDITION_MET = 0x04
    BUSY = 0x08
    RESERVATION_CONFLICT = 0x18
    TASK_SET_FULL = 0x28
    ACA_ACTIVE = 0x30
    TASK_ABORTED = 0x40


@dataclass(slots=True)
class Reply:
    """How a task ended.

    `transfer_bytes` is what the command wanted to move, in or out; the transport compares it with what the initiator
    expected to find residuals. `data_in` joined is at most that long.
    """

    status: int = Status.GOOD
    data_in: Sequence[Buffer] = ()
    transfer_bytes: int = 0
    sense: bytes = field(default=b"")

    @classmethod
    def of_parameter_data(cls, data: bytes, allocation_bytes: int) -> "Reply":
        """GOOD with as much of `data` as the ALLOCATION LENGTH leaves room for (SPC-4 4.2.5.6)."""
        sent = data[:allocation_bytes]
        return cls(data_in=(sent,) if sent else (), transfer_bytes=len(sent))
