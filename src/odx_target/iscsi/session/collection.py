"""The data of one write command on its way, and the bursts that bring it (RFC 7143 4.2.4.2)."""

from collections import deque
from dataclasses import dataclass, field

from odx_target.environment import Buffer
from odx_target.iscsi import limits
from odx_target.iscsi.session.command_failures import Failure
from odx_target.iscsi.session.events import CommandReady


@dataclass(slots=True)
class Burst:
    """A run of Data-Out PDUs that is expected; `end` is the buffer offset after its last byte."""

    transfer_tag: int
    end: int
    data_sn: int = 0


@dataclass(slots=True, eq=False)
class Collection:
    """One command's data on its way. `requested` is the buffer offset up to which data was asked for."""

    command: CommandReady
    wanted: int = 0
    """Bytes to collect: all of the data, up to MAX_TRANSFER_BYTES."""
    bursts: deque[Burst] = field(default_factory=deque)
    pieces: list[Buffer] = field(default_factory=list)
    received: int = 0
    requested: int = 0
    failure: Failure | None = None
    is_accepted: bool = False
    """True once the command has been reported to the edge."""

    def keep(self, data: memoryview) -> None:
        """Copy a piece, since it must outlive the receive buffer."""
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, bytearray) and len(last) < limits.PIECE_BYTES:
            last += data
        else:
            self.pieces.append(bytearray(data))
