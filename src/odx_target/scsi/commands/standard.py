"""All commands of a direct access block device that need neither a copy manager nor the device server itself."""

from odx_target.scsi.asymmetric_access import report_target_port_groups
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.commands import (
    data_buffers,
    diagnostics,
    identification,
    log_sense,
    mode_sense,
    report_luns,
    task_management_functions,
    timestamp,
    unit_state,
)
from odx_target.scsi.commands.blocks import (
    block_transfer,
    capacity,
    compare_and_write,
    defect_data,
    format_unit,
    lba_status,
    orwrite,
    sanitize,
    unmap,
    verify,
    write_atomic,
    write_same,
)
from odx_target.scsi.commands.blocks import cache as cache_commands
from odx_target.scsi.reservations import persistent_reserve_in, reserve_release

_FAMILIES = (
    unit_state,
    report_luns,
    report_target_port_groups,
    task_management_functions,
    capacity,
    data_buffers,
    defect_data,
    diagnostics,
    format_unit,
    identification,
    timestamp,
    mode_sense,
    log_sense,
    block_transfer,
    compare_and_write,
    orwrite,
    write_atomic,
    verify,
    cache_commands,
    lba_status,
    unmap,
    write_same,
    sanitize,
    persistent_reserve_in,
    reserve_release,
)


def standard_commands() -> list[CommandRow]:
    """Return the rows of these commands for the command table. A device server may also get rows of other packages."""
    return [row for family in _FAMILIES for row in family.ROWS]
