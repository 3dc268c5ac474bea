"""All commands of a direct access block device that need neither a copy manager nor the device server itself."""

from odx_target.scsi import (
    block_transfer,
    cache_commands,
    capacity,
    compare_and_write,
    defect_data,
    inquiry,
    log_sense,
    mode_sense,
    orwrite,
    persistent_reserve_in,
    provisioning,
    unit_commands,
    verify,
    write_atomic,
)
from odx_target.scsi.command_table import CommandRow

_FAMILIES = (
    unit_commands,
    inquiry,
    capacity,
    defect_data,
    mode_sense,
    log_sense,
    block_transfer,
    compare_and_write,
    orwrite,
    write_atomic,
    verify,
    cache_commands,
    provisioning,
    persistent_reserve_in,
)


def standard_commands() -> list[CommandRow]:
    """The rows, to be given to a device server together with other packages' rows."""
    return [row for family in _FAMILIES for row in family.ROWS]
