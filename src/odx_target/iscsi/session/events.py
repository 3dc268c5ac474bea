"""The events that a connection reports to the connection server."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.opcodes import RejectReason
from odx_target.iscsi.session.close_reason import CloseReason
from odx_target.iscsi.session.session_registry import Session


@dataclass(slots=True, eq=False)
class CommandReady:
    """A SCSI command that is next in the order of CmdSN and whose data-out has all arrived.

    This object is also the argument of `send_reply`, which answers the command. `lun_field` has the eight bytes of the LUN as
    one integer. `lun` is the number of a single-level LUN, and LUN_NOT_SINGLE_LEVEL (-1) for any other LUN. `data_out` may
    point into the view that was passed to `receive`. A caller that needs the data after the next call of `receive` must keep
    the buffer of the view unchanged.
    """

    lun: int
    lun_field: int
    cdb: bytes
    attribute: int
    """Task attribute, numbered as in RFC 7143 11.3.1: untagged, simple, ordered, head of queue, ACA."""
    initiator_task_tag: int
    expected_data_transfer_length: int
    """Number of bytes that the initiator expects to move. The number should be 0 for a command that neither reads nor writes
    (RFC 7143 11.3.1)."""
    reads: bool
    writes: bool
    immediate: bool
    cmd_sn: int
    data_out: Sequence[Buffer] = ()
    aborted: bool = False
    """True if a task management function or the end of the connection has ended the command. An answer to an aborted command is
    dropped."""
    count_r2t: int = 0
    """Number of R2Ts sent for the command."""
    collected_bytes: int = 0
    """Memory of the session that the command uses for data requested by R2T."""
    unsolicited_bytes: int = 0
    """Memory of the session that the command uses for unsolicited data."""
    awaits_memory: bool = False
    """True while the target has not requested all data of the command, because memory is missing."""
    is_kept: bool = False
    """True while the connection server uses the data, even after an abort of the command. The connection server gives the
    memory back by `release`."""


@dataclass(frozen=True, slots=True)
class CommandAccepted:
    """A SCSI command is next in the order of CmdSN, but its data has not all arrived.

    CommandReady or CommandEnded follows, unless the session ends first.
    """

    command: CommandReady


@dataclass(frozen=True, slots=True)
class CommandEnded:
    """An accepted command has failed or been aborted before all its data had arrived."""

    command: CommandReady


@dataclass(slots=True, eq=False)
class TaskManagement:
    """A task management function for the device server. `send_task_management_response` answers it.

    Tasks whose data had not all arrived have already been aborted. `affected` has the tasks of this connection that are in the
    scope of the function and are still under way. The response FUNCTION COMPLETE ends these tasks without a reply.
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
    """A session has entered full feature phase. Discovery sessions are not reported."""

    session: Session


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """A session and all its tasks have ended, so the I_T nexus of the session is lost."""

    session: Session
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class PduRejected:
    """A PDU was answered with Reject. The connection server writes a log line for this event."""

    reason: RejectReason
    detail: str


@dataclass(frozen=True, slots=True)
class ConnectionEnding:
    """The last event of a connection. After this event the connection server sends the output and closes the socket."""

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
    """A PDU must be answered with Reject. This exception is raised only inside the protocol. If `fatal` is True, the connection
    also ends.
    """

    def __init__(self, reason: RejectReason, detail: str, *, fatal: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.fatal = fatal
