"""A disk of a few lines for tests of the ESXi-like initiator: content is a bytearray, and every answer can be replaced.

It decodes the commands by itself, and obeys them as the standards say. `faults` is called before each command, and may return
another answer. Each command takes `command_s` seconds of the virtual clock.
"""

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from odx_target.environment import Buffer
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.result import CommandResult, Status
from tests.initiator.naive_target import GOOD, check_condition

INVALID_OPERATION_CODE = check_condition(5, 0x20, 0)
UNREACHABLE = check_condition(0xA, 0x0D, 2)
OUT_OF_RANGE = check_condition(5, 0x21, 0)
RESERVED = CommandResult(Status.RESERVATION_CONFLICT)
XCOPY, PARAMETERS = (0x83, 0), (0x84, 3)
INQUIRY, READ, WRITE, COMPARE_AND_WRITE, WRITE_SAME, RESERVE, RELEASE = 0x12, 0x28, 0x2A, 0x89, 0x93, 0x16, 0x17

Fault = Callable[[bytes, bytes], CommandResult | InitiatorError | None]


def copy_aborted(asc: int, ascq: int, *, segment: int, missing: int | None) -> CommandResult:
    """COPY ABORTED for a segment of which `missing` blocks were not written; None if nothing of it was written."""
    head = bytes([0x70 if missing is None else 0xF0, 0, 0xA]) + (missing or 0).to_bytes(4, "big")
    sense = head + bytes([10]) + segment.to_bytes(4, "big") + bytes([asc, ascq, 0, 0, 0, 0])
    return CommandResult(Status.CHECK_CONDITION, sense=sense)


def parameters(
    *, snlid: bool = True, segments: int = 1, segment_bytes: int = 0, granularity_log2: int = 0, list_bytes: int = 4096
) -> bytes:
    """The answer to RECEIVE COPY OPERATING PARAMETERS."""
    data = bytearray(46)
    data[:5] = struct.pack(">LB", 42, snlid)
    data[8:20] = struct.pack(">HHLL", 2, segments, list_bytes, segment_bytes)
    data[37], data[43], data[44:46] = granularity_log2, 2, b"\x02\xe4"
    return bytes(data)


@dataclass
class NaiveEsxiDisk:
    """An Executor for one disk. `array` has the disks that EXTENDED COPY reaches, by designator. `sent` has every command."""

    content: bytearray
    designator: bytes = b"\x60\x01\x40\x50\x00\x00\x00\x01"
    array: "dict[bytes, NaiveEsxiDisk]" = field(default_factory=dict)
    block_bytes: int = 512
    third_party_copy: bool = True
    max_compare_blocks: int = 1
    max_write_same_blocks: int = 0
    max_transfer_blocks: int = 0
    parameters: bytes = field(default_factory=parameters)
    faults: Fault = lambda cdb, data_out: None
    command_s: float = 0.0
    reserved: bool = False
    sent: list[tuple[bytes, bytes]] = field(default_factory=list)
    most_under_way: Counter[int] = field(default_factory=Counter)
    _under_way: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.array[self.designator] = self

    async def execute(self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0) -> CommandResult:
        data = b"".join(bytes(part) for part in data_out)
        self.sent.append((cdb, data))
        self._under_way[cdb[0]] += 1
        self.most_under_way[cdb[0]] = max(self.most_under_way[cdb[0]], self._under_way[cdb[0]])
        try:
            await trio.sleep(self.command_s)
            result = self.faults(cdb, data) or self.obey(cdb, data)
        finally:
            self._under_way[cdb[0]] -= 1
        if isinstance(result, InitiatorError):
            raise result
        return CommandResult(result.status, bytes(result.data_in)[:data_in_bytes], result.sense)

    def obey(self, cdb: bytes, data: bytes) -> CommandResult:
        handlers: dict[int, Callable[[bytes, bytes], CommandResult]] = {
            0x00: lambda cdb, data: GOOD,
            INQUIRY: self.inquiry,
            0x25: lambda cdb, data: CommandResult(0, struct.pack(">LL", self.blocks - 1, self.block_bytes)),
            READ: self.read,
            WRITE: self.write,
            COMPARE_AND_WRITE: self.compare_and_write,
            WRITE_SAME: self.write_same,
            0x84: lambda cdb, data: CommandResult(0, self.parameters) if self.parameters else INVALID_OPERATION_CODE,
            0x83: self.extended_copy,
            RESERVE: self.reserve,
            RELEASE: self.release,
        }
        return handlers[cdb[0]](cdb, data)

    def count(self, operation_code: int) -> int:
        return sum(cdb[0] == operation_code for cdb, _ in self.sent)

    @property
    def blocks(self) -> int:
        return len(self.content) // self.block_bytes

    def span(self, lba: int, count: int) -> slice:
        assert lba + count <= self.blocks
        return slice(lba * self.block_bytes, (lba + count) * self.block_bytes)

    def inquiry(self, cdb: bytes, data: bytes) -> CommandResult:
        if not cdb[1]:
            flags = 8 if self.third_party_copy else 0
            return CommandResult(0, bytes([0, 0, 6, 2, 31, flags, 0, 2]) + b"ODX     naive           0   ")
        limits = bytearray(60)
        limits[1] = self.max_compare_blocks
        limits[4:8] = self.max_transfer_blocks.to_bytes(4, "big")
        limits[32:40] = self.max_write_same_blocks.to_bytes(8, "big")
        name = bytes([1, 3, 0, len(self.designator)]) + self.designator if self.designator else b""
        pages = {0x00: bytes([0, 0x83, 0xB0]), 0x83: name, 0xB0: bytes(limits)}
        return CommandResult(0, struct.pack(">BBH", 0, cdb[2], len(pages[cdb[2]])) + pages[cdb[2]])

    def read(self, cdb: bytes, data: bytes) -> CommandResult:
        lba, count = struct.unpack_from(">LxH", cdb, 2)
        assert not self.max_transfer_blocks or count <= self.max_transfer_blocks
        return CommandResult(0, bytes(self.content[self.span(lba, count)]))

    def write(self, cdb: bytes, data: bytes) -> CommandResult:
        lba, count = struct.unpack_from(">LxH", cdb, 2)
        assert len(data) == count * self.block_bytes
        assert not self.max_transfer_blocks or count <= self.max_transfer_blocks
        self.content[self.span(lba, count)] = data
        return GOOD

    def compare_and_write(self, cdb: bytes, data: bytes) -> CommandResult:
        lba, count = int.from_bytes(cdb[2:10], "big"), cdb[13]
        half = len(data) // 2
        assert half == count * self.block_bytes
        if self.content[self.span(lba, count)] != data[:half]:
            return check_condition(0xE, 0x1D, 0, 0)
        self.content[self.span(lba, count)] = data[half:]
        return GOOD

    def write_same(self, cdb: bytes, data: bytes) -> CommandResult:
        lba, count = struct.unpack_from(">QL", cdb, 2)
        assert cdb[1] == 0
        assert len(data) == self.block_bytes
        if self.max_write_same_blocks and count > self.max_write_same_blocks:
            return check_condition(5, 0x24, 0)
        self.content[self.span(lba, count)] = data * count
        return GOOD

    def reserve(self, cdb: bytes, data: bytes) -> CommandResult:
        self.reserved = True
        return GOOD

    def release(self, cdb: bytes, data: bytes) -> CommandResult:
        self.reserved = False
        return GOOD

    def extended_copy(self, cdb: bytes, data: bytes, *, blocks: int | None = None) -> CommandResult:
        """Copy all segments, or at most `blocks` blocks of the last segment."""
        assert int.from_bytes(cdb[10:14], "big") == len(data)
        cscds_bytes, segments_bytes, inline_bytes = struct.unpack_from(">H4xLL", data, 2)
        assert (cscds_bytes, inline_bytes) == (64, 0)
        assert len(data) == 16 + cscds_bytes + segments_bytes
        disks = [self.array.get(data[at + 8 : at + 8 + data[at + 7]]) for at in (16, 48)]
        if None in disks:
            return UNREACHABLE
        for at in range(80, len(data), 28):
            source, destination = (disks[index] for index in struct.unpack_from(">HH", data, at + 4))
            assert source is not None
            assert destination is not None
            count, source_lba, destination_lba = struct.unpack_from(">HQQ", data, at + 10)
            count = min(count, blocks if blocks is not None and at + 28 == len(data) else count)
            assert count * self.block_bytes <= (int.from_bytes(self.parameters[16:20], "big") or 1 << 32)
            moved = source.content[source.span(source_lba, count)]
            destination.content[destination.span(destination_lba, count)] = moved
        return GOOD
