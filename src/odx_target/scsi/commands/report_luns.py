"""REPORT LUNS (SPC-4 6.33), and the encoding of LUNs."""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import ReportLuns
from odx_target.scsi.command_table import ANSWERS_ALWAYS, CommandRow
from odx_target.scsi.layout import Layout, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, REPORTED_LUNS_DATA_HAS_CHANGED, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task

REPORT_LUNS = 0xA0


class ReportLunsHeader(Layout):
    """The header of the parameter data of REPORT LUNS."""

    size_bytes = 8
    lun_list_length: int = number(0, 4)


SELECT_ADDRESSED, SELECT_WELL_KNOWN, SELECT_ALL = 0x00, 0x01, 0x02

# LUNs below this number use the peripheral device addressing method. Larger LUNs, up to 16,383, use the flat space addressing
# method (SAM-5 4.7.7).
PERIPHERAL_DEVICE_LUNS = 256
FLAT_SPACE_METHOD = 0x4000


def report_luns(task: Task) -> Outcome:
    """Report the LUNs of the nexus of the task. The target has no well-known logical units.

    Any allocation length is allowed (SPC-4 4.2.5.6). Only SPC-3 and older standards refuse less than 16 bytes.
    """
    cdb = ReportLuns.parse(task.cdb)
    if cdb.select_report not in (SELECT_ADDRESSED, SELECT_WELL_KNOWN, SELECT_ALL):
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2)
    luns = [] if cdb.select_report == SELECT_WELL_KNOWN else sorted(task.nexus.logical_units)
    for lun in luns:
        task.nexus.clear_unit_attention(lun, REPORTED_LUNS_DATA_HAS_CHANGED.asc, REPORTED_LUNS_DATA_HAS_CHANGED.ascq)
    body = b"".join(lun_bytes(lun) for lun in luns)
    data = ReportLunsHeader(lun_list_length=len(body)).build() + body
    return Reply.of_parameter_data(data, cdb.allocation_length)


def lun_bytes(lun: int) -> bytes:
    """Encode a LUN as 8 bytes."""
    method = 0 if lun < PERIPHERAL_DEVICE_LUNS else FLAT_SPACE_METHOD
    return (method | lun).to_bytes(2, "big").ljust(8, b"\0")


ROWS = (
    CommandRow(
        "REPORT LUNS",
        REPORT_LUNS,
        bytes.fromhex("a000ff000000ffffffff0000"),
        report_luns,
        flags=ANSWERS_ALWAYS,
        access=Access.ALWAYS_ALLOWED,
        availability=Availability.ALWAYS,
    ),
)
