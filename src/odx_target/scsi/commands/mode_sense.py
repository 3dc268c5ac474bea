"""MODE SENSE (SPC-4 6.13, 6.14). Mode parameters are not saved: a reset or a restart restores the default values."""

from dataclasses import replace

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import ModeSense6, ModeSense10
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.pages.mode import (
    ALL_PAGES,
    ALL_SUBPAGES,
    NO_SUBPAGE,
    PAGES,
    LongBlockDescriptor,
    ModeHeader6,
    ModeHeader10,
    ShortBlockDescriptor,
    page_header,
)
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, SAVING_PARAMETERS_NOT_SUPPORTED, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit

MODE_SENSE_6 = 0x1A
MODE_SENSE_10 = 0x5A

CURRENT_VALUES, CHANGEABLE_VALUES, DEFAULT_VALUES, SAVED_VALUES = range(4)

_MAX_SHORT_COUNT = 0xFFFF_FFFF


def mode_sense(task: Task) -> Outcome:
    """Handle MODE SENSE(6) and (10). The reply has the header, the block descriptor and the pages.

    If DBD is set, the block descriptor is left out.
    """
    cdb = (ModeSense6 if task.cdb[0] == MODE_SENSE_6 else ModeSense10).parse(task.cdb)
    if cdb.page_control == SAVED_VALUES:
        raise CheckCondition(SAVING_PARAMETERS_NOT_SUPPORTED)
    pages = _pages(task.logical_unit, cdb.page_code, cdb.subpage_code, cdb.page_control)
    long_lba = isinstance(cdb, ModeSense10) and cdb.llbaa
    descriptor = b"" if cdb.dbd else block_descriptor(task.logical_unit, long_lba=long_lba)
    header: ModeHeader6 | ModeHeader10
    if task.cdb[0] == MODE_SENSE_6:
        header = ModeHeader6(
            mode_data_length=ModeHeader6.size_bytes - 1 + len(descriptor) + len(pages),
            wp=task.is_write_protected,
            dpofua=True,
            block_descriptor_length=len(descriptor),
        )
    else:
        header = ModeHeader10(
            mode_data_length=ModeHeader10.size_bytes - 2 + len(descriptor) + len(pages),
            wp=task.is_write_protected,
            dpofua=True,
            longlba=bool(descriptor) and long_lba,
            block_descriptor_length=len(descriptor),
        )
    return Reply.of_parameter_data(header.build() + descriptor + pages, cdb.allocation_length)


def _pages(logical_unit: LogicalUnit, page_code: int, subpage_code: int, page_control: int) -> bytes:
    codes = [code for code in PAGES if page_code in (ALL_PAGES, code[0])]
    if not codes:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2, bit=5)
    wanted = [code for code in codes if subpage_code in (ALL_SUBPAGES, code[1])]
    if not wanted or (page_code == ALL_PAGES and subpage_code not in (NO_SUBPAGE, ALL_SUBPAGES)):
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=3)
    return b"".join(mode_page(logical_unit, *code, page_control) for code in wanted)


def mode_page(logical_unit: LogicalUnit, page_code: int, subpage_code: int, page_control: int) -> bytes:
    """Build one page with its header. `page_control` chooses current values, a mask of changeable bits, or default values."""
    page = PAGES[page_code, subpage_code]
    if page_control == CHANGEABLE_VALUES:
        body = page.changeable_bits()
    else:
        parameters = logical_unit.mode_parameters
        if page_control == DEFAULT_VALUES:
            is_implicit = parameters.implicit_access_enabled
            parameters = replace(logical_unit.default_mode_parameters, implicit_access_enabled=is_implicit)
        body = page.build(parameters)
    return page_header(page_code, subpage_code, len(body)).build() + body


def block_descriptor(logical_unit: LogicalUnit, *, long_lba: bool) -> bytes:
    """Build the mode parameter block descriptor, of 8 or 16 bytes (SBC-3 6.5.2)."""
    layout = LongBlockDescriptor if long_lba else ShortBlockDescriptor
    count_blocks = logical_unit.capacity_blocks if long_lba else min(logical_unit.capacity_blocks, _MAX_SHORT_COUNT)
    return layout(number_of_logical_blocks=count_blocks, logical_block_length=logical_unit.block_bytes).build()


ROWS = tuple(
    CommandRow(name, mask[0], mask, mode_sense, access=Access.READS, availability=Availability.IN_STANDBY)
    for name, mask in (
        ("MODE SENSE(6)", bytes.fromhex("1a08ffffff00")),
        ("MODE SENSE(10)", bytes.fromhex("5a18ffff000000ffff00")),
    )
)
