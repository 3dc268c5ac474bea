"""READ DEFECT DATA (SBC-3 5.16, 5.17). The array reports empty defect lists in every address format."""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.cdb.block_commands import ReadDefectData10, ReadDefectData12
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.layout import Layout, bits, flag, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task

READ_DEFECT_DATA_10 = 0x37
READ_DEFECT_DATA_12 = 0xB7


class DefectDataHeader10(Layout):
    """The header of the parameter data of READ DEFECT DATA(10)."""

    plistv: bool = flag(1, 4)
    glistv: bool = flag(1, 3)
    defect_list_format: int = bits(1, 2, 3)
    defect_list_length: int = number(2, 2)


class DefectDataHeader12(Layout):
    """The header of the parameter data of READ DEFECT DATA(12)."""

    plistv: bool = flag(1, 4)
    glistv: bool = flag(1, 3)
    defect_list_format: int = bits(1, 2, 3)
    generation_code: int = number(2, 2)
    defect_list_length: int = number(4, 4)


def read_defect_data(task: Task) -> Outcome:
    """Report the requested defect lists, which are always empty."""
    is_10 = task.cdb[0] == READ_DEFECT_DATA_10
    cdb = (ReadDefectData10 if is_10 else ReadDefectData12).parse(task.cdb)
    header = (DefectDataHeader10 if is_10 else DefectDataHeader12)(
        plistv=cdb.req_plist, glistv=cdb.req_glist, defect_list_format=cdb.defect_list_format
    )
    return Reply.of_parameter_data(header.build(), cdb.allocation_length)


def _row(name: str, usage: str) -> CommandRow:
    mask = bytes.fromhex(usage)
    return CommandRow(name, mask[0], mask, read_defect_data, access=Access.READS)


ROWS = (
    _row("READ DEFECT DATA(10)", "37001f00000000ffff00"),
    _row("READ DEFECT DATA(12)", "b71fffffffffffffffff0000"),
)
