"""The state of a session that the short lane of the array uses (see `target/server/short_lane`)."""

from typing import NamedTuple

from odx_target.iscsi import limits
from odx_target.iscsi.session.command_window import CommandWindow
from odx_target.iscsi.session.events import CommandReady, Event
from odx_target.iscsi.session.sessions import Session
from odx_target.iscsi.session.writer import PduWriter


class LaneState(NamedTuple):
    """The parts of a session that the short lane reads and changes.

    `active` has the active tasks by initiator task tag, and `events` has the events that the connection server has not taken
    yet. A larger read than `max_read_bytes` needs several Data-In PDUs. A larger write than `max_write_bytes` cannot have all
    its data in its first PDU. This size is 0 if the session has no immediate data.
    """

    window: CommandWindow
    writer: PduWriter
    active: dict[int, CommandReady]
    events: list[Event]
    max_read_bytes: int
    max_write_bytes: int


def lane_state_of(
    session: Session, writer: PduWriter, active: dict[int, CommandReady], events: list[Event]
) -> LaneState | None:
    """Return the state of a session for the short lane. Returns None for a discovery session, or if it uses digests."""
    if session.is_discovery or writer.header_digest or writer.data_digest:
        return None
    parameters = session.parameters
    max_read_bytes = min(parameters.max_send_data_segment_length, parameters.max_burst_length)
    max_write_bytes = min(parameters.first_burst_length, limits.MAX_RECV_DATA_SEGMENT_BYTES)
    return LaneState(writer.window, writer, active, events, max_read_bytes, max_write_bytes if parameters.immediate_data else 0)
