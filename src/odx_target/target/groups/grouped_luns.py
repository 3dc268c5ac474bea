"""Which volumes belong to groups, and checks of the changes that a group does not follow yet."""

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
            if volume.identity in GroupRecords(pool, key.removeprefix(GROUP_KEYS)).settings().volumes:
                return True
        except InvalidGroupRecord:
            return True
    return False


def check_not_in_group(logical_unit: LogicalUnit, change: str) -> None:
    """Raise ConfigError if the other array of a group would not follow a change of a LUN. `change` is a past participle.

    The logical unit may be one that no host can reach.
    """
    if logical_unit.group is not None or is_in_group(logical_unit.volume, logical_unit.pool):
        raise ConfigError(f"LUN {logical_unit.volume.name} belongs to a group of two arrays, and cannot be {change} in it")
