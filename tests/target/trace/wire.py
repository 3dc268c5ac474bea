"""PDUs for a tap, as the two ends of a connection would send them, and the resulting trace."""

from dataclasses import dataclass, field
from pathlib import Path

from odx_target.iscsi.pdu import framing
from odx_target.iscsi.pdu.headers import Buffer, LoginResponse, Pdu
from odx_target.iscsi.pdu.opcodes import Stage
from odx_target.iscsi.pdu.text import encode_pairs
from odx_target.target.trace.pcapng import MAX_SNAP_BYTES, file_header
from odx_target.target.trace.record_file import RecordFile
from odx_target.target.trace.tap import ConnectionTap
from odx_target.target.trace.trace_files import writer_of_lines, writer_of_packets
from odx_target.target.trace.tracing import Tracing

PEER, LOCAL = ("127.0.0.1", 40000), ("127.0.0.1", 3260)
NOON_NS = 1_800_014_400_000_000_000
"""2027-01-15 12:00 UTC."""


def encode(
    pdu: Pdu, data: bytes = b"", *, additional: bytes = b"", header_digest: bool = False, data_digest: bool = False
) -> bytes:
    pdu.data_segment_length, pdu.total_ahs_length = len(data), len(additional) // 4
    output: list[Buffer] = []
    framing.append_pdu(
        output,
        pdu.encode_header(),
        [data] if data else [],
        additional_header=additional,
        header_digest=header_digest,
        data_digest=data_digest,
    )
    return b"".join(output)


def last_login_response(**keys: str) -> bytes:
    """Return the PDU that ends a login, with the given keys."""
    response = LoginResponse(
        transit=True, current_stage=Stage.LOGIN_OPERATIONAL_NEGOTIATION, next_stage=Stage.FULL_FEATURE_PHASE, tsih=1
    )
    return encode(response, encode_pairs(keys.items()))


FLUSH_TIMEOUT_S = 60.0


@dataclass
class Traced:
    """A tracing whose files can be read back. Its clock advances by a millisecond at each call."""

    folder: Path
    snap_bytes: int = MAX_SNAP_BYTES
    now_ns: int = NOON_NS
    tracing: Tracing = field(init=False)

    def __post_init__(self) -> None:
        self._lines = writer_of_lines(RecordFile(self.folder / "trace.txt", append=True), self._look)
        packets = RecordFile(self.folder / "trace.pcapng", append=False, header=file_header(self.snap_bytes))
        self._packets = writer_of_packets(packets, self._look)
        self.tracing = Tracing(self._lines, self._packets, snap_bytes=self.snap_bytes, wall_clock_ns=self._look)

    def connected(self) -> ConnectionTap:
        return self.tracing.connected(PEER, LOCAL)

    @property
    def lines(self) -> list[str]:
        self._flush()
        return (self.folder / "trace.txt").read_text().splitlines()

    @property
    def texts(self) -> list[str]:
        """Return the lines without time and peer."""
        return [line.split(" ", 2)[2] for line in self.lines]

    @property
    def packets(self) -> bytes:
        self._flush()
        return (self.folder / "trace.pcapng").read_bytes()

    def close(self) -> None:
        self._lines.close()
        self._packets.close()

    def _flush(self) -> None:
        assert self._lines.flush(FLUSH_TIMEOUT_S)
        assert self._packets.flush(FLUSH_TIMEOUT_S)

    def _look(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns
