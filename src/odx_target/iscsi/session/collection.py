"""The data of one write command while it is transferred, and the bursts that carry it (RFC 7143 4.2.4.2)."""

from collections import deque
from dataclasses import dataclass, field

from odx_target.environment import Buffer
from odx_target.iscsi import limits
from odx_target.iscsi.session.command_failures import Failure
from odx_target.iscsi.session.events import CommandReady


@dataclass(slots=True)
class Burst:
    """A sequence of Data-Out PDUs that has not arrived completely. `end` is the buffer offset after its last byte."""

    transfer_tag: int
    end: int
    data_sn: int = 0


@dataclass(slots=True, eq=False)
class Collection:
    """The data of one command while it is transferred. `requested` is the buffer offset after the last byte that was
    requested.
    """

    command: CommandReady
    wanted: int = 0
    """Number of bytes to collect: the expected data transfer length, but at most MAX_TRANSFER_BYTES."""
    bursts: deque[Burst] = field(default_factory=deque)
    pieces: list[Buffer] = field(default_factory=list)
    received: int = 0
    requested: int = 0
    failure: Failure | None = None
    is_accepted: bool = False
    """True if the command has been reported by CommandAccepted."""

    def keep(self, data: memoryview) -> None:
        """Add a copy of a piece of data. A copy is needed because later PDUs overwrite the receive buffer."""
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, bytearray) and len(last) < limits.PIECE_BYTES:
            last += data
        else:
            self.pieces.append(bytearray(data))
