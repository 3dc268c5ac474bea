"""An occurrence: one moment at which a rule may inject a fault, with the facts that conditions compare."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from odx_target.scsi.extent import Extent


class Point(StrEnum):
    """The places in the array at which faults are injected."""

    COMMAND = "command"
    """A SCSI command has passed all checks, and its handler is about to run."""
    COPY = "copy"
    """A copy has reached a part of its work."""
    PDU = "pdu"
    """A PDU is about to be sent, or has been received."""
    LOGIN = "login"
    """The first complete request of a login has named the initiator and the target."""
    STORE = "store"
    """A segment of the pool is about to be read, written, flushed or made."""


@dataclass(slots=True, eq=False)
class Occurrence:
    """The facts of one moment at a point. A fact that has no meaning at the point has its default."""

    point: Point
    command: tuple[int, int | None] = (0, None)
    """Operation code and service action. The service action is None for a command that has none."""
    lun: int = 0
    volume: str = ""
    extents: Callable[[], Sequence[Extent]] = tuple
    """Function that returns the blocks that a command touches."""
    initiator: str = ""
    target: str = ""
    isid: str = ""
    list_identifier: int | None = None
    pdu: int = 0
    """Operation code of a PDU."""
    is_received: bool = False
    percent: float = 0.0
    """Percentage of its work that a copy has done."""
    is_discovery: bool = False
    segment_call: str = ""
    segment: int = 0
