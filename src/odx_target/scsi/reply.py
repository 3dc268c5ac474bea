"""Replies to commands. A reply has a status, and data or sense data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

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
    """The reply that ends a task: a status, and data or sense data.

    `transfer_bytes` is the amount of data-in or data-out that results from the CDB. From this number and the expected data
    transfer length, the transport computes the residual count. `data_in` has at most `transfer_bytes` bytes.
    """

    status: int = Status.GOOD
    data_in: Sequence[Buffer] = ()
    transfer_bytes: int = 0
    sense: bytes = field(default=b"")

    @classmethod
    def of_parameter_data(cls, data: Buffer, allocation_bytes: int) -> "Reply":
        """Return a reply with the status GOOD and the first bytes of `data`, limited by ALLOCATION LENGTH (SPC-4 4.2.5.6)."""
        sent = data[:allocation_bytes]
        return cls(data_in=(sent,) if sent else (), transfer_bytes=len(sent))


UNANSWERED: Final = Reply()
"""The reply to a command that must not be answered, because a fault was injected. The transport compares it by identity. Only
pending work may return it.
"""
