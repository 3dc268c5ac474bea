"""A target of a few lines for the Windows-like initiator: sparse disks of 100 GiB, and every answer can be scripted.

`answer` of a disk is called before each command and may return another answer. `pages` and `capacity_10` may be changed to any
values. Time is a number that grows with sleeps and slow commands.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from odx_target.environment import Buffer
from odx_target.initiator.errors import CommandTimedOut, ConnectionLost
from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.windows.session.path import SIMPLE, ResetEnd
from tests.initiator.naive_target import GOOD, INVALID_FIELD_IN_CDB, TOKEN_UNKNOWN, check_condition, token_information

GIB, MIB = 1 << 30, 1 << 20
ZEROS = bytes(262_144)
ZERO_TYPE = bytes.fromhex("ffff0001")
POWER_ON = check_condition(6, 0x29, 0)
BUSY = CommandResult(Status.BUSY)
RESERVATION_CONFLICT = CommandResult(Status.RESERVATION_CONFLICT)


@dataclass
class Clock:
    at_s: float = 1000.0

    def now(self) -> float:
        return self.at_s

    async def sleep(self, delay_s: float) -> None:
        self.at_s += delay_s


class NoAnswer(Exception):
    """Raised by an `answer` if the host gets no answer, whether the command was executed or not."""


class CutOff(Exception):
    """Raised by an `answer` to close the connection."""


def limits(optimal: int = 0, maximum: int = 0, ranges: int = 64, kind: int = 0, length: int = 0x20) -> bytes:
    """Return page 8Fh with the block device ROD token limits; inactivity timeouts are 600 s at most and 60 s by default."""
    return struct.pack(">HH6xHLLQQ", kind, length, ranges, 600, 60, maximum, optimal)


def token_of(number: int) -> bytes:
    return struct.pack(">LHHQ", 0x00800000, 0, 0x1F8, number).ljust(512, b"\x5a")


@dataclass
class Blocks:
    """The content of a sparse disk."""

    block_bytes: int
    data: dict[int, bytes] = field(default_factory=dict)

    def read(self, lba: int, count: int) -> bytes:
        if not any(True for _ in self.present(lba, count)):
            return ZEROS[: count * self.block_bytes]
        return b"".join(self.data.get(at, ZEROS[: self.block_bytes]) for at in range(lba, lba + count))

    def present(self, lba: int, count: int) -> list[int]:
        if count < len(self.data):
            return [at for at in range(lba, lba + count) if at in self.data]
        return [at for at in self.data if lba <= at < lba + count]

    def write(self, lba: int, data: bytes) -> None:
        self.erase(lba, len(data) // self.block_bytes)
        if data == ZEROS[: len(data)]:
            return
        for number in range(len(data) // self.block_bytes):
            block = data[number * self.block_bytes : (number + 1) * self.block_bytes]
            if block != ZEROS[: self.block_bytes]:
                self.data[lba + number] = block

    def erase(self, lba: int, count: int) -> None:
        for at in self.present(lba, count):
            del self.data[at]


@dataclass
class Array:
    """The state that the disks of an array share: tokens, as blocks at offsets and a length, and which paths still answer."""

    tokens: dict[bytes, tuple[Blocks, int]] = field(default_factory=dict)


@dataclass
class ScriptedDisk:
    """One logical unit. `sent` has the commands that arrived, as path, attribute, CDB and data."""

    array: Array
    clock: Clock
    lun: int = 0
    block_bytes: int = 512
    blocks: int = 0
    answer: Callable[[bytes, bytes], CommandResult | None] = lambda cdb, data: None
    truncate: Callable[[str, int], int] = lambda what, count: count
    seconds: Callable[[bytes], float] = lambda cdb: 0.0
    pages: dict[int, bytes] = field(default_factory=dict)
    page_list: bytes | None = None
    capacity_10: bytes | None = None
    modes: dict[int, bytes] = field(default_factory=dict)
    standard: bytes = bytes([0, 0, 6, 2, 31, 8, 0, 2]) + b"ODX     scripted        0   "
    reported: tuple[int, ...] = (0, 1)
    sent: list[tuple[str, int, bytes, bytes]] = field(default_factory=list)
    records: dict[int, CommandResult] = field(default_factory=dict)
    content: Blocks = field(init=False)

    def __post_init__(self) -> None:
        self.content = Blocks(self.block_bytes)
        self.blocks = self.blocks or 100 * GIB // self.block_bytes
        naa = bytes([1, 3, 0, 16]) + bytes([0x60]) + bytes(14) + bytes([self.lun])
        self.pages = {0x80: b"serial-%d" % self.lun, 0x83: naa, 0x8F: limits(256 * MIB // self.block_bytes), 0xB0: bytes(60)}
        self.pages[0xB2] = bytes(4)
        self.modes = {0x08: bytes([0x88, 18, 4]).ljust(20, b"\0"), 0x0A: bytes([0x8A, 10]).ljust(12, b"\0")}

    def cdbs(self, *opcodes: int) -> list[bytes]:
        return [cdb for _, _, cdb, _ in self.sent if not opcodes or cdb[0] in opcodes]

    def tokens(self) -> list[tuple[int, int]]:
        """Operation code and service action of the token commands that arrived."""
        return [(cdb[0], cdb[1]) for cdb in self.cdbs(0x83, 0x84)]

    def lists(self, action: int) -> list[bytes]:
        return [data for _, _, cdb, data in self.sent if (cdb[0], cdb[1]) == (0x83, action)]

    def execute(self, cdb: bytes, data: bytes) -> CommandResult:
        self.clock.at_s += self.seconds(cdb)
        return self.answer(cdb, data) or self.obey(cdb, data)

    def obey(self, cdb: bytes, data: bytes) -> CommandResult:
        if cdb[0] in (0x83, 0x84):
            if cdb[0] == 0x84:
                return self.records.get(int.from_bytes(cdb[2:6], "big"), INVALID_FIELD_IN_CDB)
            return self.populate(cdb, data) if cdb[1] == 0x10 else self.write_using(cdb, data)
        if cdb[0] in (0x28, 0x2A, 0x88, 0x8A):
            lba, count = struct.unpack_from(">LxH", cdb, 2) if cdb[0] < 0x80 else struct.unpack_from(">QL", cdb, 2)
            if cdb[0] in (0x28, 0x88):
                return CommandResult(0, self.content.read(lba, count))
            assert len(data) == count * self.block_bytes
            self.content.write(lba, data)
            return GOOD
        if cdb[0] in (0x00, 0x35, 0x15, 0x1B):
            return GOOD
        if cdb[0] == 0x4D:
            return check_condition(5, 0x20, 0)
        return {0x12: self.inquiry, 0x1A: self.mode, 0x25: self.capacity, 0x9E: self.capacity, 0xA0: self.report}[cdb[0]](cdb)

    def report(self, _: bytes) -> CommandResult:
        entries = b"".join(struct.pack(">H6x", lun) for lun in self.reported)
        return CommandResult(0, struct.pack(">L4x", len(entries)) + entries)

    def capacity(self, cdb: bytes) -> CommandResult:
        if cdb[0] == 0x9E:
            return CommandResult(0, struct.pack(">QL20x", self.blocks - 1, self.block_bytes))
        last = min(self.blocks - 1, 0xFFFFFFFF)
        return CommandResult(0, self.capacity_10 or struct.pack(">LL", last, self.block_bytes))

    def mode(self, cdb: bytes) -> CommandResult:
        page = b"".join(self.modes.values()) if cdb[2] == 0x3F else self.modes.get(cdb[2])
        return INVALID_FIELD_IN_CDB if page is None else CommandResult(0, bytes([3 + len(page), 0, 0x10, 0]) + page)

    def inquiry(self, cdb: bytes) -> CommandResult:
        if not cdb[1]:
            return CommandResult(0, self.standard)
        if cdb[2] == 0:
            listed = self.page_list if self.page_list is not None else bytes([0, *sorted(self.pages)])
            return CommandResult(0, struct.pack(">BBH", 0, 0, len(listed)) + listed)
        page = self.pages.get(cdb[2])
        return INVALID_FIELD_IN_CDB if page is None else CommandResult(0, struct.pack(">BBH", 0, cdb[2], len(page)) + page)

    def ranges(self, area: bytes) -> list[tuple[int, int]]:
        return [struct.unpack_from(">QL", area, at) for at in range(0, len(area), 16)]

    def populate(self, cdb: bytes, data: bytes) -> CommandResult:
        held, total, parts = Blocks(self.block_bytes), 0, self.ranges(data[16:])
        for lba, count in parts:
            held.data |= {total + at - lba: self.content.data[at] for at in self.content.present(lba, count)}
            total += count
        count = self.truncate("PT", total)
        token = token_of(len(self.array.tokens))
        self.array.tokens[token] = held, count
        return self.end(0x10, cdb, total, count, token)

    def write_using(self, cdb: bytes, data: bytes) -> CommandResult:
        token, offset = data[16:528], int.from_bytes(data[8:16], "big")
        parts = self.ranges(data[536:])
        total = sum(count for _, count in parts)
        if any(lba + count > self.blocks for lba, count in parts):
            return check_condition(5, 0x21, 0)
        if token[:4] != ZERO_TYPE and token not in self.array.tokens:
            return TOKEN_UNKNOWN
        held, length = self.array.tokens.get(token, (Blocks(self.block_bytes), offset + total))
        if offset + total > length:
            return check_condition(5, 0x0D, 4)
        done = left = self.truncate("WUT", total)
        for lba, most in parts:
            count = min(most, left)
            self.content.erase(lba, count)
            self.content.data |= {lba + at - offset: held.data[at] for at in held.present(offset, count)}
            offset, left = offset + count, left - count
        return self.end(0x11, cdb, total, done, b"")

    def end(self, action: int, cdb: bytes, asked: int, done: int, token: bytes) -> CommandResult:
        status = 0x01 if asked == done else 0x03
        self.record(cdb, token_information(action, status, done, token))
        return GOOD if asked == done else check_condition(0xA, 0x0D, 4, done)

    def record(self, cdb: bytes, reply: bytes) -> None:
        """Store the answer to RECEIVE ROD TOKEN INFORMATION for the list identifier of the command."""
        self.records[int.from_bytes(cdb[6:10], "big")] = CommandResult(0, reply)


@dataclass
class ScriptedPath:
    """A path to a disk; `log` has its resets and logins. If `alive` is False, every command finds the connection lost."""

    disk: ScriptedDisk
    name: str = "path 0"
    alive: bool = True
    resets: ResetEnd = ResetEnd.DONE
    restorable: bool = True
    log: list[str] = field(default_factory=list)
    attention: list[CommandResult] = field(default_factory=list)

    @property
    def is_usable(self) -> bool:
        return self.alive

    async def execute(
        self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0, *, attribute: int, timeout_s: float
    ) -> CommandResult:
        data = b"".join(bytes(part) for part in data_out)
        self.disk.sent.append((self.name, attribute, cdb, data))
        if not self.alive:
            raise ConnectionLost("the target closed the connection")
        try:
            result = self.attention.pop(0) if self.attention else self.disk.execute(cdb, data)
        except NoAnswer:
            self.disk.clock.at_s += timeout_s
            raise CommandTimedOut(f"no answer in {timeout_s:g} s") from None
        except CutOff:
            self.alive = False
            raise ConnectionLost("the target closed the connection") from None
        return CommandResult(result.status, bytes(result.data_in)[:data_in_bytes], result.sense)

    async def reset_logical_unit(self) -> ResetEnd:
        self.log.append("LOGICAL UNIT RESET")
        if self.resets is ResetEnd.DONE:
            self.attention.append(POWER_ON)
        return self.resets

    async def reset_target(self) -> ResetEnd:
        self.log.append("TARGET WARM RESET")
        return ResetEnd.REFUSED

    async def reconnect(self) -> None:
        self.log.append("login")
        if not self.restorable:
            raise ConnectionLost("nobody listens")
        self.alive = True
        self.attention.append(POWER_ON)


def tagged(sent: list[tuple[str, int, bytes, bytes]], cdb: bytes) -> list[bool]:
    """Return for each time that a CDB was sent whether the command was tagged."""
    return [attribute == SIMPLE for _, attribute, one, _ in sent if one == cdb]
