"""The state of a session that the short lane of the array uses (see `target/server/short_lane`)."""

from typing import NamedTuple

from odx_target.iscsi import limits
from odx_target.iscsi.negotiation.keys import Parameters
from odx_target.iscsi.session.command_window import CommandWindow
from odx_target.iscsi.session.events import CommandReady, Event
from odx_target.iscsi.session.session_registry import Session
from odx_target.iscsi.session.writer import PduWriter


class LaneState(NamedTuple):
    """The parts of a session that the short lane reads and changes.

    `active` has the active tasks by initiator task tag, and `events` has the events that the connection server has not taken
    yet. An initiator may change some of the `parameters` at any time.
    """

    window: CommandWindow
    writer: PduWriter
    active: dict[int, CommandReady]
    events: list[Event]
    parameters: Parameters

    @property
    def max_read_bytes(self) -> int:
        """Maximum size of a read whose data fits into one Data-In PDU."""
        return min(self.parameters.max_send_data_segment_length, self.parameters.max_burst_length)

    @property
    def max_write_bytes(self) -> int:
        """Maximum size of a write whose data may be in the PDU of the command: 0 if the session has no immediate data."""
        if not self.parameters.immediate_data:
            return 0
        return min(self.parameters.first_burst_length, limits.MAX_RECV_DATA_SEGMENT_BYTES)


def lane_state_of(
    session: Session, writer: PduWriter, active: dict[int, CommandReady], events: list[Event]
) -> LaneState | None:
    """Return the state of a session for the short lane. Returns None for a discovery session."""
    if session.is_discovery:
        return None
    return LaneState(writer.window, writer, active, events, session.parameters)
