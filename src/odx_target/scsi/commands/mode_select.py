"""MODE SELECT (SPC-4 6.11, 6.12) changes the write cache, the sense data format, software write protection and thresholds.

A parameter list has the format of MODE SENSE data. The whole list is checked before any part of it takes effect. Only the bits
that are changeable may differ from the present values. Block descriptors are accepted, but they cannot change the capacity or
the block length.
"""

from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import ModeSelect6, ModeSelect10
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.commands.data_out import parameter_list
from odx_target.scsi.commands.durability import flushed
from odx_target.scsi.commands.mode_sense import block_descriptor
from odx_target.scsi.pages.mode import (
    NO_SUBPAGE,
    PAGES,
    LongBlockDescriptor,
    ModeHeader6,
    ModeHeader10,
    ModePage,
    ModePageHeader,
    ModeParameters,
    ModeSubpageHeader,
    ShortBlockDescriptor,
)
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import (
    INVALID_FIELD_IN_CDB,
    INVALID_FIELD_IN_PARAMETER_LIST,
    MODE_PARAMETERS_CHANGED,
    PARAMETER_LIST_LENGTH_ERROR,
    CheckCondition,
)
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.tasks.task_manager import TaskManager
from odx_target.scsi.unit.logical_unit import LogicalUnit

MODE_SELECT_6 = 0x15
MODE_SELECT_10 = 0x55

_PAGE_FORMAT_BIT = 4
_SUBPAGE_FORMAT_BIT = 6
_HIGHEST_PAGE_CODE_BIT = 5
# The layout of the mode parameter header, and the byte offset of BLOCK DESCRIPTOR LENGTH in the header, by operation code.
_HEADERS: dict[int, tuple[type[ModeHeader6 | ModeHeader10], int]] = {
    MODE_SELECT_6: (ModeHeader6, 3),
    MODE_SELECT_10: (ModeHeader10, 6),
}


def rows(task_manager: TaskManager) -> list[CommandRow]:
    """Return the rows of MODE SELECT for the command table. The handlers use `task_manager` to notify other nexuses of
    changes.
    """

    def mode_select(task: Task) -> Outcome:
        cdb = (ModeSelect6 if task.cdb[0] == MODE_SELECT_6 else ModeSelect10).parse(task.cdb)
        length = cdb.parameter_list_length
        if not length:
            return Reply()
        if not cdb.page_format:
            raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=1, bit=_PAGE_FORMAT_BIT)
        data = parameter_list(task, length)
        return _change(task_manager, task, selected(task.logical_unit, data, *_HEADERS[task.cdb[0]]), length)

    return [
        CommandRow(name, mask[0], mask, mode_select, availability=Availability.IN_STANDBY)
        for name, mask in (
            ("MODE SELECT(6)", bytes.fromhex("15100000ff00")),
            ("MODE SELECT(10)", bytes.fromhex("55100000000000ffff00")),
        )
    ]


def _change(task_manager: TaskManager, task: Task, after: ModeParameters, length: int) -> Outcome:
    """Apply mode parameters to all later commands.

    If they disable the write cache or set software write protection, all written data is made durable before the reply.
    """
    logical_unit = task.logical_unit
    before = logical_unit.mode_parameters
    if after == before:
        return Reply(transfer_bytes=length)
    logical_unit.set_mode_parameters(after)
    task_manager.tell_all(logical_unit, MODE_PARAMETERS_CHANGED, but=task.nexus)
    ends_cache = before.write_cache_enabled and not after.write_cache_enabled
    return Waiting(flushed, task, length) if ends_cache or after.software_write_protect else Reply(transfer_bytes=length)


def selected(
    logical_unit: LogicalUnit, data: bytes, header: type[ModeHeader6 | ModeHeader10], descriptor_length_byte: int
) -> ModeParameters:
    """Return the mode parameters that result from a parameter list.

    Raises CheckCondition if the list is incomplete or not supported.
    """
    if len(data) < header.size_bytes:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    fields = header.parse(data)
    offset = header.size_bytes
    descriptor_bytes = fields.block_descriptor_length
    if descriptor_bytes:
        long_lba = isinstance(fields, ModeHeader10) and fields.longlba
        layout = LongBlockDescriptor if long_lba else ShortBlockDescriptor
        if descriptor_bytes != layout.size_bytes:
            raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=descriptor_length_byte)
        if len(data) < offset + descriptor_bytes:
            raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
        _check_descriptor(layout, data[offset:], block_descriptor(logical_unit, long_lba=long_lba), offset)
        offset += descriptor_bytes
    parameters = logical_unit.mode_parameters
    while offset < len(data):
        offset, parameters = _select_page(data, offset, logical_unit.mode_parameters, parameters)
    return parameters


def _check_descriptor(
    layout: type[LongBlockDescriptor | ShortBlockDescriptor], data: bytes, present: bytes, offset: int
) -> None:
    """Raise CheckCondition if a block descriptor requests a change.

    If NUMBER OF LOGICAL BLOCKS is zero or all bits are ones, no change is requested.
    """
    wanted, current = layout.parse(data), layout.parse(present)
    count_bits = layout.places["number_of_logical_blocks"].size
    if wanted.number_of_logical_blocks not in (0, current.number_of_logical_blocks, (1 << count_bits) - 1):
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=offset)
    if wanted.logical_block_length != current.logical_block_length:
        length_byte = layout.places["logical_block_length"].start // 8
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=offset + length_byte)


def _select_page(data: bytes, offset: int, current: ModeParameters, parameters: ModeParameters) -> tuple[int, ModeParameters]:
    """Return the offset of the next page in the parameter list, and `parameters` with the changes that this page requests."""
    layout = ModeSubpageHeader if data[offset] >> _SUBPAGE_FORMAT_BIT & 1 else ModePageHeader
    start = offset + layout.size_bytes
    if len(data) < start:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    header = layout.parse(data[offset:])
    page = _page_of(header, offset)
    if header.page_length != page.layout.size_bytes:
        length_byte = layout.places["page_length"].start // 8
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=offset + length_byte)
    end = start + page.layout.size_bytes
    body = data[start:end]
    if len(data) < end:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    for index, (wanted, present, changeable) in enumerate(zip(body, page.build(current), page.changeable_bits(), strict=True)):
        wrong = (wanted ^ present) & ~changeable
        if wrong:
            raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=start + index, bit=wrong.bit_length() - 1)
    invalid = page.invalid_byte(body)
    if invalid is not None:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=start + invalid)
    return end, page.select(body, parameters)


def _page_of(header: ModePageHeader | ModeSubpageHeader, offset: int) -> ModePage:
    """Return the page that a page header names. Raises CheckCondition for a page that is not supported."""
    subpage_code = header.subpage_code if isinstance(header, ModeSubpageHeader) else NO_SUBPAGE
    page = PAGES.get((header.page_code, subpage_code))
    if page is not None and (subpage_code == NO_SUBPAGE) != header.spf:
        return page
    others = {other for code, other in PAGES if code == header.page_code}
    if not others:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=offset, bit=_HIGHEST_PAGE_CODE_BIT)
    if subpage_code == NO_SUBPAGE or others == {NO_SUBPAGE}:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=offset, bit=_SUBPAGE_FORMAT_BIT)
    raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=offset + 1)
