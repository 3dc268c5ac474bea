"""READ DEFECT DATA (SBC-3 5.16, 5.17): all defect lists are empty, in any address format."""

from odx_target.scsi.access import Access
from odx_target.scsi.cdb import cdb_layout
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.layout import Layout
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task

READ_DEFECT_DATA_10 = 0x37
READ_DEFECT_DATA_12 = 0xB7

HEADER_10 = Layout("-:8 -:3 plistv:1 glistv:1 defect_list_format:3 defect_list_length:16")
HEADER_12 = Layout("-:8 -:3 plistv:1 glistv:1 defect_list_format:3 generation_code:16 defect_list_length:32")


def read_defect_data(task: Task) -> Outcome:
    """Report the requested lists, which are always empty."""
    fields = cdb_layout(task.cdb[0]).parse(task.cdb)
    header = HEADER_10 if task.cdb[0] == READ_DEFECT_DATA_10 else HEADER_12
    data = header.build(plistv=fields["req_plist"], glistv=fields["req_glist"], defect_list_format=fields["defect_list_format"])
    return Reply.of_parameter_data(data, fields["allocation_length"])


def _row(name: str, usage: str) -> CommandRow:
    mask = bytes.fromhex(usage)
    return CommandRow(name, mask[0], mask, read_defect_data, access=Access.READS)


ROWS = (
    _row("READ DEFECT DATA(10)", "37001f00000000ffff00"),
    _row("READ DEFECT DATA(12)", "b71fffffffffffffffff0000"),
)
