"""LOG SENSE (SPC-4 6.8). Log parameters cannot be saved or reset, so LOG SELECT is not supported."""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import LogSense
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.pages import log as log_pages
from odx_target.scsi.pages.log import NO_SUBPAGE, SUPPORTED_LOG_PAGES, SUPPORTED_SUBPAGES
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit

LOG_SENSE = 0x4D
PARAMETER_POINTER_BYTE = 5


def log_sense(task: Task) -> Outcome:
    """Report one page. Parameters whose code is below PARAMETER POINTER are left out."""
    cdb = LogSense.parse(task.cdb)
    page_code, subpage_code, pointer = cdb.page_code, cdb.subpage_code, cdb.parameter_pointer
    body = _listed_pages(task.logical_unit, page_code, subpage_code)
    if body is None:
        body = _parameters(task.logical_unit, page_code, subpage_code, pointer)
    elif pointer:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=PARAMETER_POINTER_BYTE)  # a list of pages has no parameters
    return Reply.of_parameter_data(log_pages.page(page_code, subpage_code, body), cdb.allocation_length)


def _listed_pages(logical_unit: LogicalUnit, page_code: int, subpage_code: int) -> bytes | None:
    """Return the body of a page that lists the supported pages. Return None for any other page.

    Raises CheckCondition for an unknown page code.
    """
    if (page_code, subpage_code) == (SUPPORTED_LOG_PAGES, NO_SUBPAGE):
        return log_pages.supported_pages(logical_unit)
    if subpage_code != SUPPORTED_SUBPAGES:
        return None
    if page_code == SUPPORTED_LOG_PAGES:
        return log_pages.supported_subpages(logical_unit)
    _check_page_code(logical_unit, page_code)
    return log_pages.supported_subpages(logical_unit, page_code)


def _parameters(logical_unit: LogicalUnit, page_code: int, subpage_code: int, pointer: int) -> bytes:
    builder = log_pages.all_pages(logical_unit).get((page_code, subpage_code))
    if builder is None:
        _check_page_code(logical_unit, page_code)
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=3)
    wanted = [(code, value) for code, value in builder(logical_unit) if code >= pointer]
    if not wanted:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=PARAMETER_POINTER_BYTE)
    return b"".join(log_pages.parameter(code, value) for code, value in wanted)


def _check_page_code(logical_unit: LogicalUnit, page_code: int) -> None:
    if page_code != SUPPORTED_LOG_PAGES and all(code != page_code for code, _ in log_pages.all_pages(logical_unit)):
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2, bit=5)


ROWS = (
    CommandRow(
        "LOG SENSE",
        LOG_SENSE,
        bytes.fromhex("4d00ffff00ffffffff00"),
        log_sense,
        access=Access.ALWAYS_ALLOWED,
        availability=Availability.IN_STANDBY,
    ),
)
