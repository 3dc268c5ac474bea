"""REPORT SUPPORTED OPERATION CODES (SPC-4 6.35): the command table tells of itself."""

from odx_target.scsi.command_table import CommandRow, CommandTable
from odx_target.scsi.task import Outcome, Reply, Task


def operation_codes_row(table: CommandTable) -> CommandRow:
    """The row of the command that reports all rows of `table`, itself included."""

    def report_supported_operation_codes(task: Task) -> Outcome:
        return Reply()

    return CommandRow(
        name="REPORT SUPPORTED OPERATION CODES",
        operation_code=0xA3,
        service_action=0x0C,
        usage=bytes.fromhex("a30c87ffffffffffffff0000"),
        handler=report_supported_operation_codes,
    )
