"""The tap of `odx-target serve --trace` and `--pcap`.

The tap writes lines and packets, and can be switched off and on at any time.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from odx_target.environment import Buffer
from odx_target.target.event_log import log
from odx_target.target.trace import pcapng
from odx_target.target.trace.conversation import LOGIN_TEXTS, Conversation
from odx_target.target.trace.frames import Frames, Piece
from odx_target.target.trace.parameter_list_text import parameter_list_bytes, wants_answer
from odx_target.target.trace.pdu_line import describe_fault, describe_pdu
from odx_target.target.trace.record_writer import RecordWriter
from odx_target.target.trace.tap import Address, ConnectionTap
from odx_target.target.trace.tcp_segments import SEQUENCE_MASK, Packet, TcpSegments

NANOSECONDS_PER_S = 1_000_000_000

SEQUENCE_NUMBER_STEP = 0x9E3779B1
"""Distance between the first sequence numbers of two successive connections.

The distance is odd, so that 2^32 connections have different first numbers. The distance is derived from the golden ratio, so
that successive numbers are far apart.
"""

WallClock = Callable[[], int]
"""Function that returns the time in nanoseconds since 1970."""


class Tracing:
    """A tap that writes lines, packets, or both. The creator of a `Tracing` must close its files.

    `snap_bytes` is the maximum number of bytes that are written of each packet. The creator also writes the header of the
    packet file.
    """

    def __init__(
        self,
        lines: RecordWriter | None = None,
        packets: RecordWriter | None = None,
        *,
        snap_bytes: int = pcapng.MAX_SNAP_BYTES,
        wall_clock_ns: WallClock = time.time_ns,
    ) -> None:
        self.is_on = True
        self.lines = lines
        self.packets = packets
        self.snap_bytes = snap_bytes
        self.now_ns = wall_clock_ns
        self.times_switched_on = 1
        self.captured: dict[tuple[Address, Address], _PacketWriter] = {}
        self._connections = 0

    def connected(self, peer: Address, local: Address) -> ConnectionTap:
        """Begin the trace of a new connection."""
        self._connections += 1
        return _ConnectionTrace(self, peer, local, self._connections)

    def errors(self) -> list[str]:
        """Return the reasons why trace files cannot be written at present."""
        return [file.error for file in (self.lines, self.packets) if file is not None and file.error is not None]

    def toggle(self) -> None:
        """Switch the trace off or on. When the trace is switched on, a file that had an error is written again."""
        self.is_on = not self.is_on
        if self.is_on:
            self.times_switched_on += 1
            for file in (self.lines, self.packets):
                if file is not None:
                    file.retry()
        log.info("tracing is on" if self.is_on else "tracing is off")


class _ConnectionTrace:
    """The trace of one connection.

    The trace follows the login even while it is off, because it must recognize digests and secrets.
    """

    def __init__(self, tracing: Tracing, peer: Address, local: Address, number: int) -> None:
        self._tracing = tracing
        self._peer = _format_address(peer)
        self._frames = Frames()
        self._conversation = Conversation(parameter_list_bytes, wants_answer)
        self._began_at = tracing.times_switched_on
        self._packets = None if tracing.packets is None else _PacketWriter(tracing, tracing.packets, peer, local, number)
        self._has_failed = False
        self._guarded(self._note, f"connected to {_format_address(local)}")

    def received(self, data: memoryview) -> None:
        """Trace bytes that the peer sent."""
        if self._is_seen and data:
            self._guarded(self._see, data, True)

    def sent(self, buffers: Sequence[Buffer]) -> None:
        """Trace bytes that are sent to the peer."""
        if self._is_seen and buffers:
            self._guarded(self._see, memoryview(b"".join(buffers)), False)

    def noted(self, text: str) -> None:
        """Write a line about an event of the connection to the trace."""
        if self._tracing.is_on:
            self._guarded(self._note, text)

    def closed(self) -> None:
        """Write the end of the connection to the trace."""
        self._guarded(self._note, "connection closed")
        if self._packets is not None:
            self._guarded(self._packets.end)

    @property
    def _is_seen(self) -> bool:
        return self._tracing.is_on or not self._frames.in_full_feature_phase

    def _guarded(self, step: Callable[..., None], *arguments: Any) -> None:
        """Call a function of the trace. An error ends the trace of this connection, but not the connection."""
        if self._has_failed:
            return
        try:
            step(*arguments)
        except Exception as error:
            self._has_failed = True
            log.error("the trace of a connection ends after an error", peer=self._peer, error=repr(error), exc_info=error)

    def _see(self, view: memoryview, inbound: bool) -> None:
        now_ns = self._tracing.now_ns()
        pieces = list(self._frames.cut(view))
        if not self._tracing.is_on:
            self._follow_login(pieces)
            return
        if self._began_at != self._tracing.times_switched_on:
            self._begin_again()
        if self._tracing.lines is not None:
            self._write_lines(now_ns, "->" if inbound else "<-", [self._words(piece) for piece in pieces])
        if self._packets is not None:
            self._packets.write(now_ns, inbound, pieces)

    def _begin_again(self) -> None:
        self._conversation.forget()
        self._began_at = self._tracing.times_switched_on

    def _follow_login(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            if isinstance(piece.pdu, LOGIN_TEXTS):
                self._conversation.see(piece.pdu, piece)

    def _words(self, piece: Piece) -> str:
        if piece.pdu is None:
            return describe_fault(piece)
        words = describe_pdu(self._conversation.see(piece.pdu, piece))
        return f"{words} | {piece.fault}" if piece.fault else words

    def _note(self, text: str) -> None:
        if self._tracing.is_on:
            self._write_lines(self._tracing.now_ns(), "--", [text])

    def _write_lines(self, now_ns: int, direction: str, texts: Sequence[str]) -> None:
        if self._tracing.lines is not None:
            head = f"{format_time(now_ns)} {self._peer} {direction} "
            self._tracing.lines.write("".join(f"{head}{text}\n" for text in texts).encode(), len(texts))


class _PacketWriter:
    """Writes each PDU as separate packets, after a handshake. After a pause or a gap, another handshake is written.

    The first sequence number differs for each connection, so that a reader can distinguish two connections from the same port.
    """

    def __init__(self, tracing: Tracing, packets: RecordWriter, peer: Address, local: Address, number: int) -> None:
        self._tracing = tracing
        self._packets = packets
        self._segments = TcpSegments(peer, local, number * SEQUENCE_NUMBER_STEP & SEQUENCE_MASK)
        self._shaken_hands_at: tuple[int, int] | None = None
        self._has_ended = False
        self._addresses = peer, local
        # A peer may connect again before the array notices the end of its old connection. In the capture, the old connection
        # ends first.
        if former := tracing.captured.pop(self._addresses, None):
            former.end()
        tracing.captured[self._addresses] = self

    def write(self, now_ns: int, inbound: bool, pieces: Sequence[Piece]) -> None:
        if self._has_ended:
            return
        handshake = self._segments.handshake() if self._shaken_hands_at != self._now else []
        packets = [packet for piece in pieces for packet in self._segments.data(inbound, piece.raw)]
        self._put(now_ns, [*handshake, *packets], len(packets))

    def end(self) -> None:
        if self._tracing.captured.get(self._addresses) is self:
            del self._tracing.captured[self._addresses]
        if not self._has_ended and self._tracing.is_on and self._shaken_hands_at == self._now:
            packets = self._segments.end()
            self._put(self._tracing.now_ns(), packets, len(packets))
        self._has_ended = True

    @property
    def _now(self) -> tuple[int, int]:
        """A value that changes when the trace is switched on, or when packets are omitted from the file."""
        return self._tracing.times_switched_on, self._packets.gaps

    def _put(self, now_ns: int, packets: Sequence[Packet], count: int) -> None:
        """Write packets.

        If the packets must be omitted, `count` packets are counted as omitted, and the next packets begin with another
        handshake.
        """
        now, snap_bytes = self._now, self._tracing.snap_bytes
        blocks = (pcapng.packet(packet.data, now_ns, inbound=packet.inbound, snap_bytes=snap_bytes) for packet in packets)
        self._shaken_hands_at = now if self._packets.write(b"".join(blocks), count) else None


def _format_address(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def format_time(now_ns: int) -> str:
    """Format a time in UTC, with microseconds."""
    seconds, rest_ns = divmod(now_ns, NANOSECONDS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06d}Z"
