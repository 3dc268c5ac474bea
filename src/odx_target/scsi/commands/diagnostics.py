"""SEND DIAGNOSTIC and RECEIVE DIAGNOSTIC RESULTS (SPC-4).

The only self-test is the default self-test. The only diagnostic page is page 00h, which lists the supported pages.
"""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import ReceiveDiagnosticResults, SendDiagnostic
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.commands.data_out import parameter_list
from odx_target.scsi.layout import Layout, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import (
    INVALID_FIELD_IN_CDB,
    INVALID_FIELD_IN_PARAMETER_LIST,
    LOGICAL_UNIT_FAILED_SELF_TEST,
    PARAMETER_LIST_LENGTH_ERROR,
    CheckCondition,
)
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task
from odx_target.store.api import PoolFailed

RECEIVE_DIAGNOSTIC_RESULTS = 0x1C
SEND_DIAGNOSTIC = 0x1D
SUPPORTED_DIAGNOSTIC_PAGES = 0x00

_PAGE_FORMAT_BIT = 4
_PARAMETER_LIST_LENGTH_BYTE = 3
_PAGE_LENGTH_BYTE = 2


class DiagnosticPageHeader(Layout):
    """The header of a diagnostic page."""

    size_bytes = 4
    page_code: int = number(0, 1)
    page_length: int = number(2, 2)


def send_diagnostic(task: Task) -> Outcome:
    """Run the default self-test, or accept a request for page 00h."""
    cdb = SendDiagnostic.parse(task.cdb)
    length = cdb.parameter_list_length
    if cdb.selftest:
        if length:
            raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=_PARAMETER_LIST_LENGTH_BYTE)
        return Waiting(_self_test, task)
    if not length:
        return Reply()
    if not cdb.pf:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=1, bit=_PAGE_FORMAT_BIT)
    data = parameter_list(task, length)
    if length < DiagnosticPageHeader.size_bytes:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    page = DiagnosticPageHeader.parse(data)
    if page.page_code != SUPPORTED_DIAGNOSTIC_PAGES:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=0)
    if page.page_length:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=_PAGE_LENGTH_BYTE)
    if length > DiagnosticPageHeader.size_bytes:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    return Reply(transfer_bytes=length)


async def _self_test(task: Task) -> Reply:
    """Check that the pool can store data durably."""
    if task.logical_unit.pool.failure is None:
        try:
            await task.logical_unit.pool.committed()
            await task.logical_unit.pool.flush()
            return Reply()
        except PoolFailed:
            pass
    raise CheckCondition(LOGICAL_UNIT_FAILED_SELF_TEST)


def receive_diagnostic_results(task: Task) -> Outcome:
    """Report page 00h. If PCV is zero, the page that SEND DIAGNOSTIC has requested is reported, which can only be page 00h."""
    cdb = ReceiveDiagnosticResults.parse(task.cdb)
    if cdb.page_code != SUPPORTED_DIAGNOSTIC_PAGES:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2)
    pages = bytes((SUPPORTED_DIAGNOSTIC_PAGES,))
    header = DiagnosticPageHeader(page_code=SUPPORTED_DIAGNOSTIC_PAGES, page_length=len(pages))
    return Reply.of_parameter_data(header.build() + pages, cdb.allocation_length)


ROWS = (
    CommandRow(
        "RECEIVE DIAGNOSTIC RESULTS",
        RECEIVE_DIAGNOSTIC_RESULTS,
        bytes.fromhex("1c01ffffff00"),
        receive_diagnostic_results,
        access=Access.READS,
        availability=Availability.IN_STANDBY,
    ),
    CommandRow(
        "SEND DIAGNOSTIC",
        SEND_DIAGNOSTIC,
        bytes.fromhex("1d1700ffff00"),
        send_diagnostic,
        availability=Availability.IN_STANDBY,
    ),
)
