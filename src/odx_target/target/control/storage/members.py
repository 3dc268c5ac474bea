"""Checks of changes of volumes that belong to groups of two arrays. The other array does not follow all changes."""

from odx_target.replica.grouping.copies import GROUP_ATTRIBUTE
from odx_target.replica.sync.group_records import SETTINGS_PREFIX, GroupRecords, InvalidGroupRecord
from odx_target.store.api import Pool, Volume
from odx_target.target.config.error import ConfigError
from odx_target.target.groups.grouped_luns import Change, is_in_group, refusal


def check_no_member(pool: Pool, volume: Volume) -> None:
    """Raise ConfigError if a volume belongs to a group. It must leave the group before its LUN changes or it is deleted."""
    if is_in_group(volume, pool):
        raise ConfigError(refusal(volume, Change.LEAVE))


def check_not_secondary(pool: Pool, identity: bytes, name: str) -> None:
    """Raise ConfigError if another array is the primary of the group of a volume, which is named by its identity.

    The primary does not follow changes of the snapshots of this array, and a resync deletes new ones.
    """
    for key in pool.remembered_keys(SETTINGS_PREFIX):
        records = GroupRecords(pool, key.removeprefix(SETTINGS_PREFIX))
        try:
            is_secondary = records.member().register.primary != pool.identity.hex()
            if is_secondary and identity in records.settings().volumes:
                raise ConfigError(f"volume {name} belongs to a group: take and change its snapshots at the primary")
        except InvalidGroupRecord:
            continue


def check_not_left_over(pool: Pool, volume: Volume) -> None:
    """Raise ConfigError if a volume was made for a group that does not exist here.

    It has the identity of another array's volume, so hosts would take both for one disk.
    """
    if GROUP_ATTRIBUTE in volume.attributes and not is_in_group(volume, pool):
        raise ConfigError(
            f"volume {volume.name} was made for a group that is not complete: delete the volume, or make the group"
        )
