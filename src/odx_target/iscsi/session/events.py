"""The events that a connection reports to the edge, as data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.opcodes import RejectReason
from odx_target.iscsi.session.close_reason import CloseReason
from odx_target.iscsi.session.sessions import Session


@dataclass(slots=True, eq=False)
class CommandReady:
    """A SCSI command with all its data-out, whose turn by CmdSN has come.

    It is also the handle to answer it with. `lun` is LUN_NOT_SINGLE_LEVEL (-1) where `lun_field`, the eight bytes as one
    integer, is of another form. `data_out` may point into the view given to `receive`: an edge that needs it after the next
    call keeps that buffer alive and unchanged.
    """

    lun: int
    lun_field: int
    cdb: bytes
    attribute: int
    """Numbered as in RFC 7143 11.3.1: untagged, simple, ordered, head of queue, ACA."""
    initiator_task_tag: int
    expected_data_transfer_length: int
    """In bytes. Of a command that neither reads nor writes it should be 0 (RFC 7143 11.3.1)."""
    reads: bool
    writes: bool
    immediate: bool
    cmd_sn: int
    data_out: Sequence[Buffer] = ()
    aborted: bool = False
    """True if a task management function or the end of the connection has ended it; answers to it are dropped."""
    count_r2t: int = 0
    """R2Ts sent for it."""
    collected_bytes: int = 0
    """Memory of the session that it takes for data requested by R2T."""
    unsolicited_bytes: int = 0
    """Memory of the session that it takes for unsolicited data."""
    awaits_memory: bool = False
    """True if there is no memory yet for all of its data, so that not all of it has been requested."""
    is_kept: bool = False
    """True while the edge works with the data, even after an abort of the command; the edge then gives the memory back."""


@dataclass(frozen=True, slots=True)
class CommandAccepted:
    """The turn of a SCSI command by CmdSN has come, and its data is still on its way.

    Either the command itself or CommandEnded follows, unless the session ends first.
    """

    command: CommandReady


@dataclass(frozen=True, slots=True)
class CommandEnded:
    """A command that was accepted has failed or been aborted before all its data had come."""

    command: CommandReady


@dataclass(slots=True, eq=False)
class TaskManagement:
    """A task management function for the device server; answer with `send_task_management_response`.

    Tasks whose data was still on its way have already been aborted. `affected` are those the edge has, of this connection;
    a response of FUNCTION COMPLETE ends them without a reply.
    """

    function: int
    lun: int
    lun_field: int
    referenced_task_tag: int
    initiator_task_tag: int
    immediate: bool
    affected: Sequence[CommandReady] = ()
    answered: bool = field(default=False)


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """Full feature phase begins; discovery sessions are not reported."""

    session: Session


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The session and all its tasks have ended: nexus loss."""

    session: Session
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class PduRejected:
    """A PDU was answered with Reject; for a log line."""

    reason: RejectReason
    detail: str


@dataclass(frozen=True, slots=True)
class ConnectionEnding:
    """Send what is in the output, then close. The last event of a connection."""

    reason: CloseReason


Event: TypeAlias = (
    CommandReady
    | CommandAccepted
    | CommandEnded
    | TaskManagement
    | SessionOpened
    | SessionClosed
    | PduRejected
    | ConnectionEnding
)


class PduRefused(Exception):
    """A PDU that is answered with Reject; raised inside the protocol only. `fatal` ends the connection as well."""

    def __init__(self, reason: RejectReason, detail: str, *, fatal: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.fatal = fatal
