"""INQUIRY (SPC-4 6.4)."""

from odx_target.scsi.access import Access
from odx_target.scsi.cdb import cdb_layout
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.layout import Layout
from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.pages import vital_product_data as vpd
from odx_target.scsi.pages.version_descriptors import CLAIMED
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task

INQUIRY = 0x12

STANDARD_INQUIRY_LAYOUT = Layout(
    "peripheral_qualifier:3 peripheral_device_type:5 rmb:1 -:7 version:8 "
    "-:2 normaca:1 hisup:1 response_data_format:4 additional_length:8 "
    "sccs:1 acc:1 tpgs:2 third_party_copy:1 -:2 protect:1 "
    "-:1 encserv:1 vs:1 multip:1 -:4 -:6 cmdque:1 vs_2:1 "
    "t10_vendor_identification:8B product_identification:16B product_revision_level:4B vendor_specific:20B -:16 "
    "version_descriptor_1:16 version_descriptor_2:16 version_descriptor_3:16 version_descriptor_4:16 "
    "version_descriptor_5:16 version_descriptor_6:16 version_descriptor_7:16 version_descriptor_8:16 -:22B"
)

VERSION_SPC_4 = 0x06
RESPONSE_DATA_FORMAT = 2

NOTHING_HERE = {"peripheral_qualifier": 0b011, "peripheral_device_type": 0x1F}
"""Peripheral qualifier and device type of a LUN that has no logical unit."""


def inquiry(task: Task) -> Outcome:
    """Report standard data or a VPD page. Without a logical unit, report only standard data and page 00h."""
    fields = cdb_layout(INQUIRY).parse(task.cdb)
    page_code: int = fields["page_code"]
    if fields["evpd"]:
        data = _page(task.logical_unit, page_code)
    elif page_code:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2)
    else:
        data = standard_inquiry_data(task.logical_unit)
    return Reply.of_parameter_data(data, fields["allocation_length"])


def _page(logical_unit: LogicalUnit, page_code: int) -> bytes:
    if not logical_unit.is_present:
        if page_code == vpd.SUPPORTED_PAGES:
            return vpd.HEADER.build(**NOTHING_HERE, page_length=1) + bytes((vpd.SUPPORTED_PAGES,))
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2)
    builder = vpd.all_pages(logical_unit).get(page_code)
    if builder is None:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2)
    return builder(logical_unit)


def standard_inquiry_data(logical_unit: LogicalUnit) -> bytes:
    """Build the 96 bytes of standard INQUIRY data."""
    peripheral = {} if logical_unit.is_present else NOTHING_HERE
    return STANDARD_INQUIRY_LAYOUT.build(
        **peripheral,
        version=VERSION_SPC_4,
        hisup=1,
        response_data_format=RESPONSE_DATA_FORMAT,
        additional_length=STANDARD_INQUIRY_LAYOUT.size_bytes - 5,
        third_party_copy=int(logical_unit.third_party_copy),
        cmdque=1,
        t10_vendor_identification=vpd.T10_VENDOR_IDENTIFICATION,
        product_identification=vpd.PRODUCT_IDENTIFICATION,
        product_revision_level=vpd.PRODUCT_REVISION_LEVEL,
        **{f"version_descriptor_{place}": value for place, value in enumerate(CLAIMED, start=1)},
    )


ROWS = (
    CommandRow(
        "INQUIRY",
        INQUIRY,
        bytes.fromhex("1201ffffff00"),
        inquiry,
        flags=CommandFlag.IGNORES_UNIT_ATTENTION | CommandFlag.WITHOUT_LOGICAL_UNIT | CommandFlag.NOT_ORDERED,
        access=Access.ALLOWED,
    ),
)
