"""A target of a few lines for tests of the host side: disks are bytearrays, tokens are bytes, every answer can be scripted.

It answers as the standard says, and has no limits except those of its page 8Fh. `faults` is called before each command and may
return another answer. `truncate` shortens the work of POPULATE TOKEN and WRITE USING TOKEN.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from odx_target.environment import Buffer
from odx_target.initiator.result import CommandResult, Status

GOOD = CommandResult(Status.GOOD)


def check_condition(key: int, asc: int, ascq: int, information: int | None = None) -> CommandResult:
    head = bytes([0x70 if information is None else 0xF0, 0, key]) + (information or 0).to_bytes(4, "big")
    return CommandResult(Status.CHECK_CONDITION, sense=head + bytes([10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0]))


INVALID_FIELD_IN_CDB = check_condition(5, 0x24, 0)
TOKEN_UNKNOWN = check_condition(5, 0x23, 4)
LBA_OUT_OF_RANGE = check_condition(5, 0x21, 0)


def token_limits(ranges: int = 64, max_blocks: int = 0, optimal_blocks: int = 0) -> bytes:
    return struct.pack(">HH6xHLLQQ", 0, 0x20, ranges, 600, 60, max_blocks, optimal_blocks)


@dataclass
class Array:
    """The state that the disks of an array share: tokens and the records of operations."""

    tokens: dict[bytes, bytes] = field(default_factory=dict)
    made: int = 0

    def new_token(self, data: bytes) -> bytes:
        self.made += 1
        token = struct.pack(">LHHQ", 0x00800000, 0, 0x1F8, self.made).ljust(512, b"\x5a")
        self.tokens[token] = data
        return token


@dataclass
class NaiveDisk:
    """An Executor for one disk. `sent` has every CDB. `page` is the body of VPD page 8Fh, or None if the disk has no such
    page.
    """

    array: Array
    data: bytearray
    block_bytes: int = 512
    page: bytes | None = field(default_factory=token_limits)
    limits: bytes = bytes(60)
    identity: bytes = b""
    faults: Callable[[bytes, bytes], CommandResult | None] = lambda cdb, data_out: None
    truncate: Callable[[str, int], int] = lambda what, count: count
    tell_information: Callable[[], bool] = lambda: True
    sent: list[bytes] = field(default_factory=list)
    records: dict[int, tuple[int, int, int, bytes]] = field(default_factory=dict)

    async def execute(self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0) -> CommandResult:
        self.sent.append(cdb)
        data = b"".join(bytes(part) for part in data_out)
        result = self.faults(cdb, data) or self.obey(cdb, data)
        return CommandResult(result.status, bytes(result.data_in)[:data_in_bytes], result.sense)

    def obey(self, cdb: bytes, data: bytes) -> CommandResult:
        if cdb[0] == 0x83:
            return {0x10: self.populate, 0x11: self.write_using, 0x1C: self.abort}[cdb[1]](cdb, data)
        handlers = {
            0x00: lambda _: GOOD,
            0x12: self.inquiry,
            0x35: lambda _: GOOD,
            0x84: self.results,
            0x88: self.read,
            0x9E: self.capacity,
        }
        if cdb[0] == 0x8A:
            return self.write(cdb, data)
        return handlers[cdb[0]](cdb)

    def capacity(self, cdb: bytes) -> CommandResult:
        return CommandResult(0, struct.pack(">QL20x", len(self.data) // self.block_bytes - 1, self.block_bytes))

    def inquiry(self, cdb: bytes) -> CommandResult:
        if not cdb[1]:
            return CommandResult(0, bytes([0, 0, 6, 2, 31, 8, 0, 2]) + b"ODX     naive           0   ")
        pages = {0x83: self.identity, 0xB0: self.limits}
        if self.page is not None:
            pages[0x8F] = self.page
        pages[0] = bytes(sorted({0, *pages}))
        if cdb[2] not in pages:
            return INVALID_FIELD_IN_CDB
        return CommandResult(0, struct.pack(">BBH", 0, cdb[2], len(pages[cdb[2]])) + pages[cdb[2]])

    def span(self, lba: int, count: int) -> slice:
        return slice(lba * self.block_bytes, (lba + count) * self.block_bytes)

    def read(self, cdb: bytes) -> CommandResult:
        lba, count = struct.unpack_from(">QL", cdb, 2)
        return CommandResult(0, bytes(self.data[self.span(lba, count)]))

    def write(self, cdb: bytes, data: bytes) -> CommandResult:
        lba, count = struct.unpack_from(">QL", cdb, 2)
        assert len(data) == count * self.block_bytes
        self.data[self.span(lba, count)] = data
        return GOOD

    def ranges(self, area: bytes) -> list[tuple[int, int]]:
        return [struct.unpack_from(">QL", area, at) for at in range(0, len(area), 16)]

    def populate(self, cdb: bytes, data: bytes) -> CommandResult:
        identifier, length = struct.unpack_from(">LL", cdb, 6)
        assert length == len(data) == 16 + struct.unpack_from(">H", data, 14)[0]
        assert struct.unpack_from(">H", data)[0] == length - 2
        content = b"".join(self.data[self.span(*part)] for part in self.ranges(data[16:]))
        asked = len(content) // self.block_bytes
        count = self.truncate("PT", asked)
        token = self.array.new_token(content[: count * self.block_bytes])
        return self.end(0x10, identifier, asked, count, token)

    def write_using(self, cdb: bytes, data: bytes) -> CommandResult:
        identifier, length = struct.unpack_from(">LL", cdb, 6)
        assert length == len(data) == 536 + struct.unpack_from(">H", data, 534)[0]
        assert struct.unpack_from(">H", data)[0] == length - 2
        token, offset = data[16:528], struct.unpack_from(">Q", data, 8)[0] * self.block_bytes
        content = self.array.tokens.get(token)
        if content is None:
            return TOKEN_UNKNOWN
        parts = self.ranges(data[536:])
        asked = sum(count for _, count in parts)
        available = -(-len(content[offset:]) // self.block_bytes)
        count = self.truncate("WUT", min(asked, available))
        rest = content[offset : offset + count * self.block_bytes].ljust(count * self.block_bytes, b"\0")
        self.scatter(parts, rest)
        if data[2] & 2:
            del self.array.tokens[token]
        return self.end(0x11, identifier, asked, count, b"")

    def scatter(self, parts: list[tuple[int, int]], content: bytes) -> None:
        for lba, count in parts:
            piece = content[: count * self.block_bytes]
            self.data[self.span(lba, len(piece) // self.block_bytes)] = piece
            content = content[len(piece) :]

    def end(self, action: int, identifier: int, asked: int, count: int, token: bytes) -> CommandResult:
        status = 0x01 if asked == count else 0x03
        self.records[identifier] = (action, status, count, token)
        if asked == count:
            return GOOD
        if count == 0:
            return check_condition(5, 0x0D, 0x04)
        return check_condition(0xA, 0x0D, 0x04, count if self.tell_information() else None)

    def abort(self, cdb: bytes, data: bytes) -> CommandResult:
        """Answer COPY OPERATION ABORT, which never finds an operation: none is ever in progress here."""
        return INVALID_FIELD_IN_CDB

    def results(self, cdb: bytes) -> CommandResult:
        if cdb[1] == 0x08:
            listed = b"".join(token[:96] for token in self.array.tokens)
            return CommandResult(0, struct.pack(">L4x", len(listed) + 4) + listed)
        record = self.records.get(struct.unpack_from(">L", cdb, 2)[0])
        if record is None:
            return INVALID_FIELD_IN_CDB
        if cdb[1] == 0x05:
            return CommandResult(0, token_information(*record[:3], b"")[:-4])
        assert cdb[1] == 0x07
        return CommandResult(0, token_information(*record))


def token_information(action: int, status: int, count: int, token: bytes, units: int = 0xF1, sense: bytes = b"") -> bytes:
    """Return the answer to RECEIVE ROD TOKEN INFORMATION."""
    area = sense.ljust(-(-len(sense) // 4) * 4, b"\0")
    tokens = bytes(2) + token if token else b""
    head = struct.pack(
        ">BBHLBBBBQH6x", action, status, 1, 0xFFFFFFFE, 2 if sense else 0, len(area), len(sense), units, count, 0
    )
    body = head + area + struct.pack(">L", len(tokens)) + tokens
    return struct.pack(">L", len(body)) + body
