"""One session of the load generator: it sends prepared commands, and checks the status and the counts of every reply.

The initiator task tag of a command is the number of its place in the queue. Received PDUs are not made into objects: one
`unpack_from` reads all fields of a header.
"""

import struct
import time
from collections import deque
from collections.abc import Iterator

from bench.load.login import LoadFailed, LoggedIn
from bench.load.shape import Prepared
from crc32c import crc32c

HEADER_BYTES = 48
DIGEST_BYTES = 4
RIGHT_DIGEST = crc32c(bytes(DIGEST_BYTES))
"""CRC32C of any bytes together with their own digest. (The digest of no bytes is four zeros.)"""
HEADER = struct.Struct(">BBBBI8xIIIIIIII")
"""Opcode, flags, response, status, lengths, tag, target transfer tag, StatSN, ExpCmdSN, MaxCmdSN, DataSN or R2TSN, buffer
offset, and residual count or desired length. LUNs are skipped."""
COMMAND = struct.Struct(">16sI4sII16s")
DATA_OUT = struct.Struct(">BB2xIQIIIIIIII")

NOP_IN, RESPONSE, DATA_IN, R2T = 0x20, 0x21, 0x25, 0x31
DATA_OUT_OPCODE, NOP_OUT_PING = 0x05, 0x40
FINAL, HAS_STATUS, RESIDUALS = 0x80, 0x01, 0x1E
NO_TAG = MASK = 0xFFFFFFFF
HALF = 1 << 31
CHECK_CONDITION, UNIT_ATTENTION = 0x02, 0x6
SENSE_LENGTH_BYTES = 2
"""Length of the field before the sense data in the data segment of a SCSI Response."""
MIN_SENSE_BYTES = 14
DESCRIPTOR_FORMAT = 0x72
Sense = tuple[int, int, int]
"""Sense key, additional sense code and its qualifier."""
NO_SENSE: Sense = (0, 0, 0)
RECEIVE_BYTES = 2 << 20
"""Size of the buffer for received PDUs. The rest of a PDU that is not complete moves to the start of the buffer."""
MAX_SEND_BUFFERS = 512
"""Maximum number of buffers for one call of sendmsg; the system allows 1024."""


class LoadSession:
    """A session that keeps `depth` commands of a load pending."""

    def __init__(self, session: LoggedIn, prepared: Iterator[Prepared], size_bytes: int, depth: int, data: bytes) -> None:
        self.socket = session.socket
        self.latencies_ns: tuple[list[int], list[int]] = ([], [])
        """Latencies of the reads and of the writes that have ended, in nanoseconds."""
        self.pending = self.retried = 0
        self._prepared = prepared
        self._size_bytes = size_bytes
        self._lun = session.lun
        self._digests = session.parameters.header_digest != "None"
        self._cmd_sn, self._max_cmd_sn, self._exp_stat_sn = session.cmd_sn, session.max_cmd_sn, session.exp_stat_sn
        self._segment_bytes = session.parameters.max_send_data_segment_length
        self._immediate_bytes = min(session.immediate_bytes, size_bytes)
        self._data = memoryview(data)
        self._immediate = self._segment(0, self._immediate_bytes)
        self._free = list(range(depth))
        self._sent_ns = [0] * depth
        self._moved_bytes = [0] * depth
        self._is_write = [False] * depth
        self._commands: list[Prepared | None] = [None] * depth
        self._is_pending = [False] * depth
        self._output: deque[bytes | memoryview] = deque()
        self._buffer = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._buffer)
        self._end = 0

    @property
    def has_output(self) -> bool:
        return bool(self._output)

    def begin(self, max_commands: int) -> int:
        """Begin as many commands as the depth and the command window allow. Returns their number."""
        began = 0
        now_ns = time.perf_counter_ns()
        while self._free and began < max_commands and (self._max_cmd_sn - self._cmd_sn) & MASK < HALF:
            tag = self._free.pop()
            self._send_command(tag, next(self._prepared))
            self._sent_ns[tag] = now_ns
            self._is_pending[tag] = True
            began += 1
        self.pending += began
        return began

    def _send_command(self, tag: int, command: Prepared) -> None:
        start, length, cdb, is_write = self._commands[tag] = command
        header = COMMAND.pack(start, tag, length, self._cmd_sn, self._exp_stat_sn, cdb)
        self._cmd_sn = self._cmd_sn + 1 & MASK
        self._add_header(header)
        if is_write:
            self._output.extend(self._immediate)
        self._moved_bytes[tag] = self._immediate_bytes if is_write else 0
        self._is_write[tag] = is_write

    def send(self) -> None:
        """Send as much of the output as the socket takes."""
        output = self._output
        while output:
            buffers = [output[index] for index in range(min(len(output), MAX_SEND_BUFFERS))]
            try:
                sent = self.socket.sendmsg(buffers)
            except BlockingIOError:
                return
            for buffer in buffers:
                if sent < len(buffer):
                    output[0] = memoryview(buffer)[sent:]
                    break
                sent -= len(buffer)
                output.popleft()

    def receive(self) -> None:
        """Receive once, and handle all PDUs that are complete."""
        try:
            count = self.socket.recv_into(self._view[self._end :])
        except BlockingIOError:
            return
        if count == 0:
            raise LoadFailed("the target closed the connection during the load")
        now_ns = time.perf_counter_ns()
        end, at = self._end + count, 0
        extra = DIGEST_BYTES if self._digests else 0
        while end - at >= HEADER_BYTES:
            fields = HEADER.unpack_from(self._buffer, at)
            length = fields[4] & 0xFFFFFF
            data_at = at + HEADER_BYTES + (fields[4] >> 24) * 4 + extra
            after = data_at + (length + 3 & ~3) + (extra if length else 0)
            if after > end:
                break
            if extra:
                self._check_digests(at, data_at, after)
            self._handle(fields, data_at, now_ns)
            at = after
        self._view[: end - at] = self._view[at:end]
        self._end = end - at

    def _handle(self, fields: tuple[int, ...], data_at: int, now_ns: int) -> None:
        opcode, flags, response, status, lengths, tag, transfer_tag, stat_sn, _, max_cmd_sn, _, offset, desired = fields
        self._max_cmd_sn = max_cmd_sn
        if opcode == NOP_IN:
            self._answer_ping(transfer_tag)
            return
        if tag >= len(self._is_pending) or not self._is_pending[tag] or opcode not in (DATA_IN, RESPONSE, R2T):
            raise LoadFailed(f"no command expects a PDU with operation code {opcode:#04x} and tag {tag:#x}")
        if opcode == R2T:
            self._send_data(tag, transfer_tag, offset, desired)
            return
        if opcode == DATA_IN:
            self._moved_bytes[tag] += lengths & 0xFFFFFF
            if not flags & HAS_STATUS:
                return
        self._exp_stat_sn = stat_sn + 1 & MASK
        moved = self._moved_bytes[tag]
        # Byte 2 is the response code of a SCSI Response, and reserved in Data-In.
        if status or response or flags & RESIDUALS or moved != self._size_bytes:
            sense = self._sense(data_at, lengths & 0xFFFFFF) if status == CHECK_CONDITION else NO_SENSE
            self._try_again(tag, sense, f"response {response:#04x}, status {status:#04x}, flags {flags:#04x}, {moved} bytes")
            return
        self._is_pending[tag] = False
        self._free.append(tag)
        self.pending -= 1
        self.latencies_ns[self._is_write[tag]].append(now_ns - self._sent_ns[tag])

    def _sense(self, data_at: int, length: int) -> Sense:
        """Return the sense key and the additional sense code of a response."""
        sense = self._view[data_at + SENSE_LENGTH_BYTES : data_at + length]
        if len(sense) < MIN_SENSE_BYTES:
            return NO_SENSE
        is_fixed = sense[0] & 0x7F < DESCRIPTOR_FORMAT
        return (sense[2] & 0x0F, sense[12], sense[13]) if is_fixed else (sense[1] & 0x0F, sense[2], sense[3])

    def _try_again(self, tag: int, sense: Sense, text: str) -> None:
        """Send a command again after a unit attention, such as a soft threshold of thin provisioning. Its latency includes both
        attempts. Raises LoadFailed if the command failed for another reason.
        """
        command = self._commands[tag]
        if sense[0] != UNIT_ATTENTION or command is None:
            key, code, qualifier = sense
            raise LoadFailed(
                f"a command of {self._size_bytes} bytes ended with {text}, sense {key:X}h/{code:02X}h/{qualifier:02X}h"
            )
        self.retried += 1
        self._send_command(tag, command)

    def _send_data(self, tag: int, transfer_tag: int, offset: int, length: int) -> None:
        """Send the data that a R2T requests."""
        if not self._is_write[tag] or offset != self._moved_bytes[tag] or offset + length > self._size_bytes:
            raise LoadFailed(f"R2T for {length} bytes at {offset}, but {self._moved_bytes[tag]} bytes were sent")
        self._moved_bytes[tag] = end = offset + length
        for number, at in enumerate(range(offset, end, self._segment_bytes)):
            size = min(self._segment_bytes, end - at)
            is_last = at + size == end
            self._add_header(
                DATA_OUT.pack(
                    DATA_OUT_OPCODE,
                    FINAL if is_last else 0,
                    size,
                    self._lun,
                    tag,
                    transfer_tag,
                    0,
                    self._exp_stat_sn,
                    0,
                    number,
                    at,
                    0,
                )
            )
            self._output.extend(self._segment(at, size))

    def _segment(self, at: int, size: int) -> list[bytes | memoryview]:
        """Return a data segment of a write with its digest. Sizes are multiples of four, so there is no padding."""
        piece = self._data[at : at + size]
        if not size:
            return []
        return [piece, crc32c(piece).to_bytes(DIGEST_BYTES, "little")] if self._digests else [piece]

    def _add_header(self, header: bytes) -> None:
        self._output.append(header + crc32c(header).to_bytes(DIGEST_BYTES, "little") if self._digests else header)

    def _answer_ping(self, transfer_tag: int) -> None:
        if transfer_tag != NO_TAG:
            numbers = (NO_TAG, transfer_tag, self._cmd_sn, self._exp_stat_sn, 0, 0, 0, 0)
            self._add_header(DATA_OUT.pack(NOP_OUT_PING, FINAL, 0, self._lun, *numbers))

    def _check_digests(self, at: int, data_at: int, after: int) -> None:
        view = self._view
        if crc32c(view[at:data_at]) != RIGHT_DIGEST or (data_at < after and crc32c(view[data_at:after]) != RIGHT_DIGEST):
            raise LoadFailed("a digest of the target is wrong")
