"""GET LBA STATUS, which reports the blocks that are mapped (SBC-4 4.7, 5.6)."""

from itertools import islice
from struct import Struct

from odx_target.scsi.cdb.block_commands import GetLbaStatus
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.layout import Layout, bits, number
from odx_target.scsi.limits import MAX_LBA_STATUS_DESCRIPTORS
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import LBA_OUT_OF_RANGE, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import BLOCK_BYTES, Change, ChangedRanges, Numbers, PoolBusy

GET_LBA_STATUS = (0x9E, 0x12)

MAPPED = 0
DEALLOCATED = 1
_MAX_BLOCKS_OF_DESCRIPTOR = 0xFFFF_FFFF

_REPORT_STEPS = 30
"""Number of steps (see `turns`) that a report takes in each turn of the event loop, in addition to the steps for its
extents."""


class LbaStatusHeader(Layout):
    """The header of the parameter data of GET LBA STATUS."""

    size_bytes = 8
    parameter_data_length: int = number(0, 4)


class LbaStatusDescriptor(Layout):
    """One range in the parameter data of GET LBA STATUS."""

    size_bytes = 16
    logical_block_address: int = number(0, 8)
    number_of_logical_blocks: int = number(8, 4)
    provisioning_status: int = bits(12, 3, 4)


# Fast codecs of the same descriptor. A report has up to 4,096 of them.
_FAST_LBA_STATUS_DESCRIPTOR = Struct(">QIB3x")
_TWO_WORDS = ">u8"
_COUNT_SHIFT, _STATUS_SHIFT = 32, 24

_MANY_DESCRIPTORS = 256
"""A report with room for this number of descriptors reads many parts of the map at once. A smaller one leaves the part of the
map that it has read in memory, because the next command of the host will read on there."""

_FIRST_BLOCKS = 1 << 16
"""Number of blocks (256 MiB) whose part of the map is read at least, if it is not in memory. The extents of these blocks show
for how many more blocks the report has room."""


def get_lba_status(task: Task) -> Outcome:
    """Report which blocks are mapped, beginning at the requested LBA.

    The report ends at the last block, or when the allocation length has no room for another extent. A long report takes several
    turns of the event loop (see `turns`). Each part of the report shows the state of the blocks at the time of its turn.
    """
    if task.logical_unit.environment.turns.left > 0:
        report = _report_of(task)
        if report.extend():
            return report.reply()
        return Waiting(_report_in_turns, task, report)
    return Waiting(_report_in_turns, task, None)


async def _report_in_turns(task: Task, report: "_Report | None") -> Reply:
    unit = task.logical_unit
    turns = unit.environment.turns
    await unit.volume.map_loaded()
    await turns.next()
    report = report or _report_of(task)
    is_complete = report.extend()
    while not is_complete:
        await turns.next()
        await unit.volume.map_loaded()
        is_complete = await report.read_map() if report.is_map_absent else report.extend()
    return report.reply()


def _report_of(task: Task) -> "_Report":
    cdb = GetLbaStatus.parse(task.cdb)
    lba = cdb.starting_logical_block_address
    if lba >= task.logical_unit.capacity_blocks:
        raise CheckCondition(LBA_OUT_OF_RANGE, information=lba)
    return _Report(task.logical_unit, lba, cdb.allocation_length)


class _Report:
    """The parameter data of one GET LBA STATUS. Each turn of the event loop adds extents to the data.

    `is_map_absent` is True if the next extents are not in memory, and `read_map` must be awaited.
    """

    def __init__(self, logical_unit: LogicalUnit, lba: int, allocation_bytes: int) -> None:
        self.is_map_absent = False
        self._logical_unit = logical_unit
        self._per_block = BLOCK_BYTES // logical_unit.block_bytes
        self._lba = lba  # the end of the last extent
        self._first_block = lba // self._per_block
        self._allocation_bytes = allocation_bytes
        room = (allocation_bytes - LbaStatusHeader.size_bytes) // LbaStatusDescriptor.size_bytes
        self._max_descriptors = min(max(room, 1), MAX_LBA_STATUS_DESCRIPTORS)
        self._body = bytearray()  # the descriptors of all extents except the last one
        self._last: tuple[int, int, int] | None = None  # LBA, number of blocks and status of the last extent

    def extend(self) -> bool:
        """Add extents until no steps of this turn remain (see `turns`), or a part of the map is not in memory. Returns True if
        the report is complete.
        """
        unit = self._logical_unit
        turns = unit.environment.turns
        turns.take(_REPORT_STEPS)
        if self._lba >= unit.capacity_blocks:
            return True  # The unit shrank since the last turn.
        if self._max_descriptors >= _MANY_DESCRIPTORS:
            part = unit.volume.allocated_now(self._lba // self._per_block, turns)
            self.is_map_absent = part is None
            return part is not None and self._add_part(part)
        try:
            for block, count_blocks, mapped in islice(unit.volume.extents(self._lba // self._per_block, turns), self._room()):
                if not self._add((block + count_blocks) * self._per_block, MAPPED if mapped else DEALLOCATED):
                    return True
        except PoolBusy:
            return False  # A part of the map is being loaded.
        return self._is_complete()

    async def read_map(self) -> bool:
        """Add the extents of a part of the map that is not in memory. Returns True if the report is complete."""
        self.is_map_absent = False
        block = self._lba // self._per_block
        return self._add_part(await self._logical_unit.volume.allocated(block, self._blocks_of_room(block)))

    def _blocks_of_room(self, block: int) -> int:
        """Return the number of blocks from `block` on for which the report probably still has room."""
        descriptors = self._max_descriptors - self._room()
        return max(self._room() * (block - self._first_block) // descriptors if descriptors else 0, _FIRST_BLOCKS)

    def _is_complete(self) -> bool:
        return not self._room() or self._lba >= self._logical_unit.capacity_blocks

    def _room(self) -> int:
        """Return the number of descriptors for which the report still has room."""
        return self._max_descriptors - len(self._body) // LbaStatusDescriptor.size_bytes - (self._last is not None)

    def _add_part(self, part: ChangedRanges) -> bool:
        """Add the extents of a part of the map. Returns True if the report is complete."""
        block = self._lba // self._per_block
        if part.end <= block:
            return True  # The volume was deleted or shrank.
        block_ends, kinds = part.runs(block, self._room())
        ends, statuses = block_ends * self._per_block, (kinds == Change.NONE.value) * DEALLOCATED
        if not self._add_all(ends, statuses):
            for end, status in zip(ends.tolist(), statuses.tolist(), strict=True):
                if self._lba >= self._logical_unit.capacity_blocks or not self._add(end, status):
                    return True
        return self._is_complete()

    def _add_all(self, ends: Numbers, statuses: Numbers) -> bool:
        """Add extents if all of them are inside the unit and fit into descriptors. Otherwise return False."""
        starts, counts = ends[:-1], ends[1:] - ends[:-1]
        lengths = counts.max(initial=int(ends[0]) - (self._last[0] if self._last else self._lba))
        if ends[-1] > self._logical_unit.capacity_blocks or lengths > _MAX_BLOCKS_OF_DESCRIPTOR:
            return False
        self._add(int(ends[0]), int(statuses[0]))
        if self._last is None or not len(starts):
            return True
        words = starts.repeat(2)
        words[1::2] = counts << _COUNT_SHIFT | statuses[1:] << _STATUS_SHIFT
        self._body += _FAST_LBA_STATUS_DESCRIPTOR.pack(*self._last)
        self._body += words[:-2].astype(_TWO_WORDS).tobytes()
        self._last = (int(starts[-1]), int(counts[-1]), int(statuses[-1]))
        self._lba = int(ends[-1])
        return True

    def _add(self, end: int, status: int) -> bool:
        """Add the extent that ends before the LBA `end`, or at the end of the unit. If the extent is too long for one
        descriptor, end the report within the extent, and return False.
        """
        start, end = self._lba, min(end, self._logical_unit.capacity_blocks)
        if self._last is not None:
            if self._last[2] == status:
                start = self._last[0]  # The last turn ended within this extent.
            else:
                self._body += _FAST_LBA_STATUS_DESCRIPTOR.pack(*self._last)
        self._lba = min(end, start + _MAX_BLOCKS_OF_DESCRIPTOR)
        self._last = (start, self._lba - start, status)
        return self._lba == end

    def reply(self) -> Reply:
        """Return the reply with the extents."""
        body = self._body
        if self._last is not None:
            body += _FAST_LBA_STATUS_DESCRIPTOR.pack(*self._last)
        data = LbaStatusHeader(parameter_data_length=len(body) + 4).build() + body
        return Reply.of_parameter_data(data, self._allocation_bytes)


ROWS = (
    CommandRow(
        "GET LBA STATUS",
        GET_LBA_STATUS[0],
        bytes.fromhex("9e12ffffffffffffffffffffffff0000"),
        get_lba_status,
        service_action=GET_LBA_STATUS[1],
        flags=CommandFlag.READS_MEDIUM,
    ),
)
