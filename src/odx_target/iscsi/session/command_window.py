"""The command window of a session: which CmdSN are accepted, and in which order commands run (RFC 7143 4.2.2.1).

Commands from ExpCmdSN to MaxCmdSN are accepted; all other commands are silently ignored, as the RFC requires. A command that
arrives early is held until all commands before it have arrived. MaxCmdSN goes up only when a command is answered. Therefore an
initiator never has more than `size` commands under way. Numbers wrap at 2^32. Immediate commands do not count in the window.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

SERIAL_MASK = 0xFFFFFFFF
HELD_OBJECT_BYTES = 320
"""Memory that the Python objects of a held PDU take, in addition to its bytes."""
_HALF = 1 << 31


@dataclass(slots=True)
class HeldPdu:
    """A copy of a command that arrived early, and of the Data-Out PDUs that belong to the command."""

    header: bytes
    additional_header: bytes
    data: bytes
    followers: list["HeldPdu"] = field(default_factory=list)

    @property
    def task_tag(self) -> bytes:
        return self.header[16:20]

    @property
    def size_bytes(self) -> int:
        """Memory that this PDU takes with its headers and Python objects, but without the PDUs in `followers`. The objects
        count, because an initiator may send many PDUs without data.
        """
        return HELD_OBJECT_BYTES + len(self.header) + len(self.additional_header) + len(self.data)


def is_before(left: int, right: int) -> bool:
    """True if `left` comes before `right` in serial number order (RFC 1982)."""
    return left != right and (right - left) & SERIAL_MASK < _HALF


class Turn(Enum):
    """The treatment of a command, which depends on its CmdSN: it runs now, is held for later, or is ignored."""

    NOW = auto()
    LATER = auto()
    IGNORE = auto()


class CommandWindow:
    """ExpCmdSN, MaxCmdSN, and the commands that arrived early.

    `held` has these commands by CmdSN. It has None for a command that was aborted before it arrived. `on_release` is called
    with the size of each held PDU that is removed. The hot path reads and changes `exp_cmd_sn`, `max_cmd_sn` and `held` itself,
    because a call for each command would take too long.
    """

    __slots__ = ("exp_cmd_sn", "held", "held_bytes", "max_cmd_sn", "on_release")

    def __init__(self, first_cmd_sn: int, size: int) -> None:
        self.exp_cmd_sn = first_cmd_sn
        self.max_cmd_sn = (first_cmd_sn + size - 1) & SERIAL_MASK
        self.held_bytes = 0
        self.on_release: Callable[[int], None] | None = None
        self.held: dict[int, HeldPdu | None] = {}

    @property
    def is_closed(self) -> bool:
        """True if the initiator may send no more commands until one is answered."""
        return (self.max_cmd_sn + 1) & SERIAL_MASK == self.exp_cmd_sn

    def turn(self, cmd_sn: int) -> Turn:
        """Return whether a command runs now or later, or is ignored. This method does not move the window. If the result is
        NOW, the caller calls `advance` after it has accepted the command.
        """
        size = (self.max_cmd_sn - self.exp_cmd_sn + 1) & SERIAL_MASK
        distance = (cmd_sn - self.exp_cmd_sn) & SERIAL_MASK
        if distance >= size or cmd_sn in self.held:
            return Turn.IGNORE
        return Turn.LATER if distance else Turn.NOW

    def advance(self) -> None:
        """Count the next expected command as received."""
        self.exp_cmd_sn = (self.exp_cmd_sn + 1) & SERIAL_MASK

    def restore(self, exp_cmd_sn: int, max_cmd_sn: int) -> None:
        """Set ExpCmdSN and MaxCmdSN back to the given values, because a command was refused after it was counted."""
        self.exp_cmd_sn, self.max_cmd_sn = exp_cmd_sn, max_cmd_sn

    def hold(self, cmd_sn: int, pdu: HeldPdu) -> None:
        """Keep a command whose turn is LATER."""
        self.held[cmd_sn] = pdu
        self.held_bytes += pdu.size_bytes

    def is_held(self, task_tag: bytes) -> bool:
        """True if a held command has this initiator task tag."""
        return any(held is not None and held.task_tag == task_tag for held in self.held.values())

    def follow(self, pdu: HeldPdu) -> None:
        """Keep a Data-Out with the held command that it belongs to. The command must be held."""
        command = next(held for held in self.held.values() if held is not None and held.task_tag == pdu.task_tag)
        command.followers.append(pdu)
        self.held_bytes += pdu.size_bytes

    def next_held(self) -> HeldPdu | None:
        """Remove and return the held command that is next in order, or return None if the next command is not held. Commands
        that were aborted by `plug` are skipped.
        """
        while self.exp_cmd_sn in self.held:
            pdu = self._take(self.exp_cmd_sn)
            if pdu is not None:
                return pdu
            self.advance()
        return None

    def _take(self, cmd_sn: int) -> HeldPdu | None:
        pdu = self.held.pop(cmd_sn, None)
        for gone in () if pdu is None else (pdu, *pdu.followers):
            self.held_bytes -= gone.size_bytes
            if self.on_release is not None:
                self.on_release(gone.size_bytes)
        return pdu

    def complete(self) -> None:
        """Raise MaxCmdSN by one, because a command has been answered or aborted. Immediate commands do not count."""
        self.max_cmd_sn = (self.max_cmd_sn + 1) & SERIAL_MASK

    def drop(self, cmd_sn: int) -> None:
        """Count a held command as received, because it was aborted."""
        self._take(cmd_sn)
        self.held[cmd_sn] = None
        self.complete()

    def plug(self, cmd_sn: int, before: int) -> bool:
        """Count a missing or held command as received, because it was aborted (RFC 7143 11.5.1).

        If `cmd_sn` is outside the window, or if it is not before `before`, no command is counted and the result is False.
        """
        size = (self.max_cmd_sn - self.exp_cmd_sn + 1) & SERIAL_MASK
        if (cmd_sn - self.exp_cmd_sn) & SERIAL_MASK >= size or not is_before(cmd_sn, before):
            return False
        if cmd_sn in self.held and self.held[cmd_sn] is None:
            return True
        self.drop(cmd_sn)
        return True
