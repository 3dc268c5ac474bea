"""Which volumes belong to groups, and checks of changes that only the commands of groups make at both arrays."""

from enum import Enum

from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import Pool, Volume
from odx_target.target.config.error import ConfigError

GROUP_KEYS = "sync/group/"
"""Prefix of the keys of groups in a pool. It is here so that an array without groups loads nothing more to look for them."""


def has_groups(pool: Pool) -> bool:
    """True if a pool knows any group of which its array is a member."""
    return bool(pool.remembered_keys(GROUP_KEYS))


def is_in_group(volume: Volume, pool: Pool) -> bool:
    """True if a volume belongs to a group, or if it may belong to one whose record cannot be read."""
    if not has_groups(pool):
        return False
    from odx_target.replica.sync.group_records import GroupRecords, InvalidGroupRecord

    for key in pool.remembered_keys(GROUP_KEYS):
        try:
            records = GroupRecords(pool, key.removeprefix(GROUP_KEYS))
            if volume.identity in records.held_volumes(records.settings()):
                return True
        except InvalidGroupRecord:
            return True
    return False


class Change(Enum):
    """A change of a volume or LUN that a group must follow. The value says what the operator can do instead."""

    LEAVE = "take it out of the group before, with `odx-target group remove`"
    RESIZE = "change its size with `odx-target group resize`"
    RESTORE = "restore it with `odx-target group restore`"
    WRITE = "only hosts can write to it"


def check_not_in_group(logical_unit: LogicalUnit, change: Change) -> None:
    """Raise ConfigError if the other array of a group would not follow a change of a LUN.

    The logical unit may be one that no host can reach.
    """
    if logical_unit.group is not None or is_in_group(logical_unit.volume, logical_unit.pool):
        raise ConfigError(refusal(logical_unit.volume, change))


def refusal(volume: Volume, change: Change) -> str:
    """Return the line for an operator who cannot change a volume of a group by the command for single volumes."""
    return f"volume {volume.name} belongs to a group of two arrays: {change.value}"
