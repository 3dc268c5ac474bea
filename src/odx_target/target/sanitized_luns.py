"""Checks that keep the old data of a LUN from coming back, or from being copied, while the LUN is sanitized (SBC-4 4.11)."""

from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.sanitize_operation import has_record
from odx_target.store.api import Pool, Volume
from odx_target.target.config.error import ConfigError


def check_not_sanitized(logical_unit: LogicalUnit) -> None:
    """Raise ConfigError if a sanitize operation of the logical unit is running or has failed, because a restore would bring old
    data back.
    """
    if logical_unit.sanitize_operation is not None:
        state = "has failed to be sanitized" if logical_unit.sanitize_operation.has_failed else "is being sanitized"
        raise ConfigError(f"volume {logical_unit.volume.name} {state}, and cannot be restored now")


def has_old_data(pool: Pool, volume: Volume) -> bool:
    """True if a sanitize operation of a volume is running, waits or has failed, so that the volume may have old data."""
    return has_record(pool, volume.identity)


def check_no_old_data(pool: Pool, volume: Volume) -> None:
    """Raise ConfigError if a volume may have old data, because a snapshot or clone would keep the data."""
    if has_old_data(pool, volume):
        raise ConfigError(
            f"volume {volume.name} is being sanitized or has failed to be sanitized: no snapshot or clone of it can be made now"
        )
