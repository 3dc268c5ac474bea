"""MODE SENSE and the mode pages (SPC-4 6.12, 6.13, 7.5; SBC-4 6.5). Nothing can be changed, and nothing is saved."""

from collections.abc import Callable

from odx_target.scsi.cdb import cdb_layout
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.layout import Layout
from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, SAVING_PARAMETERS_NOT_SUPPORTED, CheckCondition
from odx_target.scsi.task import Outcome, Reply, Task

MODE_SENSE_6 = 0x1A
MODE_SENSE_10 = 0x5A

CACHING = 0x08
CONTROL = 0x0A
INFORMATIONAL_EXCEPTIONS_CONTROL = 0x1C
ALL_PAGES = 0x3F
NO_SUBPAGE = 0x00
ALL_SUBPAGES = 0xFF

CURRENT_VALUES, CHANGEABLE_VALUES, DEFAULT_VALUES, SAVED_VALUES = range(4)

HEADER_6 = Layout("mode_data_length:8 medium_type:8 wp:1 -:2 dpofua:1 -:4 block_descriptor_length:8")
HEADER_10 = Layout("mode_data_length:16 medium_type:8 wp:1 -:2 dpofua:1 -:4 -:7 longlba:1 -:8 block_descriptor_length:16")
SHORT_BLOCK_DESCRIPTOR = Layout("number_of_logical_blocks:32 -:8 logical_block_length:24")
LONG_BLOCK_DESCRIPTOR = Layout("number_of_logical_blocks:64 -:32 logical_block_length:32")
PAGE_HEADER = Layout("ps:1 spf:1 page_code:6 page_length:8")

# Bodies, behind the page header.
CACHING_LAYOUT = Layout(
    "ic:1 abpf:1 cap:1 disc:1 size:1 wce:1 mf:1 rcd:1 demand_read_retention_priority:4 write_retention_priority:4 "
    "disable_prefetch_transfer_length:16 minimum_prefetch:16 maximum_prefetch:16 maximum_prefetch_ceiling:16 "
    "fsw:1 lbcss:1 dra:1 -:2 sync_prog:2 nv_dis:1 number_of_cache_segments:8 cache_segment_size:16 -:32"
)
CONTROL_LAYOUT = Layout(
    "tst:3 tmf_only:1 dpicz:1 d_sense:1 gltsd:1 rlec:1 queue_algorithm_modifier:4 nuar:1 qerr:2 -:1 "
    "vs:1 rac:1 ua_intlck_ctrl:2 swp:1 -:3 ato:1 tas:1 atmpe:1 rwwp:1 -:1 autoload_mode:3 "
    "-:16 busy_timeout_period:16 extended_self_test_completion_time:16"
)
INFORMATIONAL_EXCEPTIONS_LAYOUT = Layout(
    "perf:1 -:1 ebf:1 ewasc:1 dexcpt:1 test:1 ebackerr:1 logerr:1 -:4 mrie:4 interval_timer:32 report_count:32"
)

_LARGEST_SHORT_COUNT = 0xFFFF_FFFF


def caching(logical_unit: LogicalUnit) -> bytes:
    """Whether written data may be lost with the power until a SYNCHRONIZE CACHE."""
    return CACHING_LAYOUT.build(wce=int(logical_unit.write_cache_enabled))


def control(logical_unit: LogicalUnit) -> bytes:
    """QERR 00b and TAS 0: an error ends one command, and a task that another nexus aborts ends without a status."""
    return CONTROL_LAYOUT.build(d_sense=int(logical_unit.descriptor_format_sense))


def informational_exceptions_control(logical_unit: LogicalUnit) -> bytes:  # noqa: ARG001 - the same for all of them
    """There is nothing to predict."""
    return INFORMATIONAL_EXCEPTIONS_LAYOUT.build(dexcpt=1)


PAGES: dict[int, tuple[Layout, Callable[[LogicalUnit], bytes]]] = {
    CACHING: (CACHING_LAYOUT, caching),
    CONTROL: (CONTROL_LAYOUT, control),
    INFORMATIONAL_EXCEPTIONS_CONTROL: (INFORMATIONAL_EXCEPTIONS_LAYOUT, informational_exceptions_control),
}
"""By page code, ascending: the layout of the body and what makes it."""


def mode_sense(task: Task) -> Outcome:
    """The 6 and the 10 byte form: header, block descriptor unless DBD forbids it, pages."""
    fields = cdb_layout(task.cdb[0]).parse(task.cdb)
    if fields["page_control"] == SAVED_VALUES:
        raise CheckCondition(SAVING_PARAMETERS_NOT_SUPPORTED)
    pages = _pages(task.logical_unit, fields["page_code"], fields["subpage_code"], fields["page_control"])
    long_lba = bool(fields.get("llbaa", 0))
    descriptor = b"" if fields["dbd"] else _block_descriptor(task.logical_unit, long_lba=long_lba)
    header = HEADER_6 if task.cdb[0] == MODE_SENSE_6 else HEADER_10
    values = {
        "mode_data_length": header.size_bytes + len(descriptor) + len(pages) - (1 if header is HEADER_6 else 2),
        "wp": int(task.logical_unit.write_protected),
        "dpofua": 1,
        "block_descriptor_length": len(descriptor),
    }
    if descriptor and long_lba:
        values["longlba"] = 1
    return Reply.of_parameter_data(header.build(**values) + descriptor + pages, fields["allocation_length"])


def _pages(logical_unit: LogicalUnit, page_code: int, subpage_code: int, page_control: int) -> bytes:
    if subpage_code not in (NO_SUBPAGE, ALL_SUBPAGES):
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=3)
    page_codes = PAGES.keys() if page_code == ALL_PAGES else [page_code]
    if not PAGES.keys() >= set(page_codes):
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2, bit=5)
    return b"".join(mode_page(logical_unit, code, page_control) for code in page_codes)


def mode_page(logical_unit: LogicalUnit, page_code: int, page_control: int) -> bytes:
    """One page, header and body; its changeable values are all zeros, its default values what it was made with."""
    layout, build = PAGES[page_code]
    body = bytes(layout.size_bytes) if page_control == CHANGEABLE_VALUES else build(logical_unit)
    return PAGE_HEADER.build(page_code=page_code, page_length=len(body)) + body


def _block_descriptor(logical_unit: LogicalUnit, *, long_lba: bool) -> bytes:
    layout = LONG_BLOCK_DESCRIPTOR if long_lba else SHORT_BLOCK_DESCRIPTOR
    count_blocks = logical_unit.capacity_blocks if long_lba else min(logical_unit.capacity_blocks, _LARGEST_SHORT_COUNT)
    return layout.build(number_of_logical_blocks=count_blocks, logical_block_length=logical_unit.block_bytes)


ROWS = (
    CommandRow("MODE SENSE(6)", MODE_SENSE_6, bytes.fromhex("1a08ffffff00"), mode_sense),
    CommandRow("MODE SENSE(10)", MODE_SENSE_10, bytes.fromhex("5a18ffff000000ffff00"), mode_sense),
)
