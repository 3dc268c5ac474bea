"""Checks of changes of volumes that belong to groups of two arrays. The other array does not follow all changes."""

from collections.abc import Iterable

from odx_target.replica.grouping.copies import GROUP_ATTRIBUTE
from odx_target.replica.sync.group_records import SETTINGS_PREFIX, GroupRecords, InvalidGroupRecord
from odx_target.replica.sync.group_states import NotServing
from odx_target.store.api import Pool, Volume
from odx_target.target.config.error import ConfigError
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.storage.storage import Storage
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


async def acknowledged(storage: Storage, identities: Iterable[bytes]) -> None:
    """Wait until both members have the present content of those volumes that belong to groups.

    Otherwise, a snapshot or clone could show data that a failover takes back. Raises ManagementError if it is not known whether
    the content stays.
    """
    groups = None if storage.array is None else storage.array.groups
    wanted = set(identities)
    for group in [] if groups is None else [each for each in groups.groups.values() if wanted & set(each.list.identities)]:
        if group.driver.member.is_primary:
            try:
                await storage.pool.committed()
                await group.acknowledged(storage.pool.committed_osn)
            except NotServing as error:
                raise ManagementError(f"nobody knows whether the other member has the content: {error}") from error


def check_not_left_over(pool: Pool, volume: Volume) -> None:
    """Raise ConfigError if a volume was made for a group that does not exist here.

    It has the identity of another array's volume, so hosts would take both for one disk.
    """
    if GROUP_ATTRIBUTE in volume.attributes and not is_in_group(volume, pool):
        raise ConfigError(
            f"volume {volume.name} was made for a group that is not complete: delete the volume, or make the group"
        )
