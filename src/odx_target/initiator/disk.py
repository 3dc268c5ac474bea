"""A logical unit that a host uses. The host repeats a command if the target is busy or reports a unit attention."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from odx_target.environment import Buffer
from odx_target.initiator import cdb, inquiry
from odx_target.initiator.copying.copy_limits import CopyLimits, read_copy_limits
from odx_target.initiator.errors import BadAnswer, InitiatorError
from odx_target.initiator.inquiry import BlockLimits
from odx_target.initiator.result import CommandResult, Executor, Sleep, Status
from odx_target.initiator.sense import Sense, SenseKey, describe_result, read_sense

MAX_UNIT_ATTENTIONS = 8
"""Maximum number of times that a command is repeated because of unit attentions. A target that reports more unit attentions may
report them forever."""
MAX_BUSY_ANSWERS = 40
BUSY_DELAY_S = 0.25
"""Time between two attempts to send a command to a busy target. A command is repeated at most 40 times, so the total time is 10
s, as in the port driver of Windows."""
BECOMING_READY = (0x04, 0x01)
SMALL_ALLOCATION_BYTES = 255
"""Allocation length for standard INQUIRY data. This length fits into one byte, because old targets use only the low byte of the
field.
"""


class CommandFailed(InitiatorError):
    """A command ended with a status other than GOOD."""

    def __init__(self, command: str, result: CommandResult) -> None:
        super().__init__(f"{command}: {describe_result(result)}")
        self.command = command
        self.result = result

    @property
    def sense(self) -> Sense | None:
        return read_sense(self.result.sense)


@dataclass(slots=True)
class Disk:
    """A direct access logical unit.

    `name` is the name of the disk in messages. `identity` is the designator of the disk; b"" if there is no designator.
    `third_party_copy` is the bit 3PC of the INQUIRY data.
    `copy_limits` has the limits for token copy. If the disk cannot copy by token, `copy_limits` is None and `no_copy_because`
    is the reason.
    """

    executor: Executor
    sleep: Sleep
    name: str
    block_bytes: int = 512
    capacity_blocks: int = 0
    identity: bytes = b""
    block_limits: BlockLimits = field(default_factory=BlockLimits)
    third_party_copy: bool = False
    copy_limits: CopyLimits | None = None
    no_copy_because: str = "not asked"

    @classmethod
    async def probe(cls, executor: Executor, sleep: Sleep, name: str) -> Self:
        """Read the properties of a logical unit. Raises CommandFailed, BadAnswer."""
        disk = cls(executor, sleep, name)
        standard = inquiry.read_standard_inquiry(await disk.read("INQUIRY", cdb.inquiry(SMALL_ALLOCATION_BYTES), 255))
        if standard.qualifier or standard.device_type != inquiry.DIRECT_ACCESS:
            raise BadAnswer(f"{name}: no disk there (device type {standard.device_type:02X}h, qualifier {standard.qualifier})")
        disk.third_party_copy = standard.third_party_copy
        await disk.read("TEST UNIT READY", cdb.test_unit_ready(), 0)
        capacity = await disk._read_capacity()
        disk.capacity_blocks, disk.block_bytes = capacity.capacity_blocks, capacity.block_bytes
        await disk._read_pages()
        return disk

    async def command(self, command: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0) -> CommandResult:
        """Send a command. Repeat it without changes after a unit attention, and while the target is busy."""
        unit_attentions = busy = 0
        while True:
            result = await self.executor.execute(command, data_out, data_in_bytes)
            if _is_unit_attention(result) and unit_attentions < MAX_UNIT_ATTENTIONS:
                unit_attentions += 1
            elif _is_busy(result) and busy < MAX_BUSY_ANSWERS:
                busy += 1
                await self.sleep(BUSY_DELAY_S)
            else:
                return result

    async def read(self, name: str, command: bytes, data_in_bytes: int) -> Buffer:
        """Send a command, and return its data. Raises CommandFailed if the command does not end with GOOD."""
        result = await self.command(command, (), data_in_bytes)
        if result.status != Status.GOOD:
            raise CommandFailed(f"{self.name}: {name}", result)
        return result.data_in

    async def write(self, name: str, command: bytes, data_out: Sequence[Buffer]) -> None:
        """Send a command with data-out. Raises CommandFailed if the command does not end with GOOD."""
        result = await self.command(command, data_out)
        if result.status != Status.GOOD:
            raise CommandFailed(f"{self.name}: {name}", result)

    async def read_blocks(self, lba: int, count_blocks: int) -> Buffer:
        """Read whole blocks. Raises CommandFailed, or BadAnswer if the target sends less data than requested."""
        size_bytes = count_blocks * self.block_bytes
        data = await self.read(f"READ of {count_blocks} blocks at {lba}", cdb.read_16(lba, count_blocks), size_bytes)
        if len(data) != size_bytes:
            raise BadAnswer(f"{self.name}: READ of {count_blocks} blocks at {lba} gave {len(data)} bytes")
        return data

    async def write_blocks(self, lba: int, data: Buffer) -> None:
        """Write whole blocks. Raises CommandFailed."""
        count_blocks = len(data) // self.block_bytes
        await self.write(f"WRITE of {count_blocks} blocks at {lba}", cdb.write_16(lba, count_blocks), [data])

    async def synchronize_cache(self) -> None:
        """Make written data durable. If the target does not support SYNCHRONIZE CACHE, it has no cache, and this method has
        nothing to do. Raises CommandFailed.
        """
        try:
            await self.read("SYNCHRONIZE CACHE", cdb.synchronize_cache_10(), 0)
        except CommandFailed as failure:
            if failure.sense is None or failure.sense.code != (0x20, 0x00):
                raise

    async def _read_capacity(self) -> inquiry.Capacity:
        try:
            return inquiry.read_capacity_16(await self.read("READ CAPACITY (16)", cdb.read_capacity_16(), 32))
        except CommandFailed as failure:
            if failure.sense is None or failure.sense.key != SenseKey.ILLEGAL_REQUEST:
                raise
        return inquiry.read_capacity_10(await self.read("READ CAPACITY (10)", cdb.read_capacity_10(), 8))

    async def _read_pages(self) -> None:
        listed = await self._read_page(inquiry.SUPPORTED_PAGES)
        if inquiry.DEVICE_IDENTIFICATION in listed:
            self.identity = inquiry.read_identity(await self._read_page(inquiry.DEVICE_IDENTIFICATION))
        if inquiry.BLOCK_LIMITS in listed:
            self.block_limits = inquiry.read_block_limits(await self._read_page(inquiry.BLOCK_LIMITS))
        if inquiry.THIRD_PARTY_COPY not in listed:
            self.no_copy_because = "it has no VPD page 8Fh (third-party copy)"
        else:
            self.copy_limits, self.no_copy_because = read_copy_limits(await self._read_page(inquiry.THIRD_PARTY_COPY))

    async def _read_page(self, page: int) -> bytes:
        """Return the body of a page; b"" if the target refuses the page."""
        command = cdb.inquiry(inquiry.ALLOCATION_BYTES, page)
        try:
            return inquiry.read_page(await self.read(f"INQUIRY of page {page:02X}h", command, inquiry.ALLOCATION_BYTES), page)
        except CommandFailed as failure:
            if failure.sense is None or failure.sense.key != SenseKey.ILLEGAL_REQUEST:
                raise
            return b""


def _is_unit_attention(result: CommandResult) -> bool:
    sense = read_sense(result.sense) if result.status == Status.CHECK_CONDITION else None
    return sense is not None and sense.key == SenseKey.UNIT_ATTENTION


def _is_busy(result: CommandResult) -> bool:
    if result.status in {Status.BUSY, Status.TASK_SET_FULL}:
        return True
    sense = read_sense(result.sense) if result.status == Status.CHECK_CONDITION else None
    return sense is not None and sense.key == SenseKey.NOT_READY and sense.code == BECOMING_READY
