"""The operations on groups: list, create, switch over and delete."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from odx_target.replica.sync.anchors.forced_promotion import PossibleLoss
from odx_target.replica.sync.group_states import NotServing
from odx_target.replica.sync.limits import OUT_OF_SYNC_S, READ_RATE_BYTES
from odx_target.target.config.error import ConfigError
from odx_target.target.config.group_settings import parse_out_of_sync
from odx_target.target.config.path_settings import parse_path_name
from odx_target.target.control import arguments
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.groups import answers
from odx_target.target.control.groups.checks import GROUP_NAME, check_volume, group_volume, one_line
from odx_target.target.control.groups.describe import (
    describe_group,
    describe_groups,
    group_named,
    grouping_of,
    maintenance_of,
    settled_group,
)
from odx_target.target.control.groups.volumes import VOLUME_OPERATIONS
from odx_target.target.control.operation import Operation
from odx_target.target.control.storage.luns import changing, lun_number
from odx_target.target.control.storage.names import find_own_volume
from odx_target.target.control.storage.storage import Storage

if TYPE_CHECKING:
    from odx_target.target.array import Array


async def _groups(array: "Array") -> answers.Groups:
    """List the groups of which the array is a member or the witness."""
    return await describe_groups(array)


async def _status(array: "Array", name: str) -> answers.Group:
    """Describe a group of which the array is a member."""
    return describe_group(array, group_named(array, name))


async def create_group(
    array: "Array",
    name: str,
    volumes: Sequence[str],
    path: str,
    witness: str,
    luns: Mapping[str, int],
    out_of_sync_s: float,
) -> answers.Group:
    """Keep volumes equal at another array from now on. The array is the primary at first."""
    grouping = grouping_of(array)
    found = [find_own_volume(array.pool, each) for each in volumes]
    for each in luns:
        if each not in volumes:
            raise ManagementError(f"the group has no volume {each}", is_usage=True)
    storage = Storage(array.pool, array.environment, array)
    with ExitStack() as changes:
        for volume in {each.identity: each for each in found}.values():
            check_volume(array, volume)
            changes.enter_context(changing(storage, volume))  # The other member makes it with its present size.
        members = [group_volume(array, volume, luns.get(volume.name)) for volume in found]
        group = await grouping.create(name, members, path, witness, out_of_sync_s)
        with suppress(NotServing):  # The answer has the condition of the group.
            await group.settled()  # Until then, hosts are refused.
    return describe_group(array, group)


async def _delete(array: "Array", name: str, *, keep_copies: bool, force: bool) -> answers.DeletedGroup:
    """Delete a group. Its volumes stay at the primary."""
    left = await grouping_of(array).delete(name, keeps_copies=keep_copies, is_forced=force)
    await array.make_durable()
    return {"name": name, "left": left}


async def _switchover(array: "Array", name: str) -> answers.Group:
    """Make the other member the primary. Hosts go on by their other path."""
    group = await settled_group(array, name)
    with one_line():
        await group.switchover()
    return describe_group(array, group)


async def _witness(array: "Array", name: str, witness: str) -> answers.Group:
    """Use another witness for a group, or one that has lost its records. Both members tell it what they know."""
    group = await settled_group(array, name)
    await grouping_of(array).change_witness(group, witness)
    return describe_group(array, group)


async def _isolate(array: "Array", name: str) -> answers.Group:
    """Go on without the other member, until a resync is requested."""
    group = await settled_group(array, name)
    with one_line():
        await maintenance_of(array, name).isolate()
    await array.make_durable()
    return describe_group(array, group)


async def _resync(array: "Array", name: str) -> answers.Group:
    """End an isolation, and bring the other member up to date."""
    group = group_named(array, name)
    with one_line():
        await maintenance_of(array, name).resync()
    await array.make_durable()
    return describe_group(array, group)


async def _verify(array: "Array", name: str, *, read: bool, rate: int) -> answers.VerifiedGroup:
    """Compare both members by the digests of all data. If `read` is true, then read and compare all data in the background."""
    await settled_group(array, name)
    maintenance = maintenance_of(array, name)
    with one_line():
        if read:
            await maintenance.read_and_verify(rate)
            return {"name": name, "is_equal": True, "reads": True}
        return {"name": name, "is_equal": await maintenance.verify(), "reads": False}


async def _promote(array: "Array", name: str, *, force: bool) -> answers.PromotedGroup:
    """Make a secondary the primary although the primary is lost and nobody can agree, or only tell what hosts may lose."""
    maintenance = maintenance_of(array, name)
    with one_line():
        loss = await maintenance.promote_by_force() if force else maintenance.possible_loss()
    if force:
        await array.make_durable()
    return {
        "name": name,
        "is_promoted": force,
        "is_anchor_restored": loss.is_anchor_restored,
        "anchor_age_s": loss.anchor_age_s,
        "loss": _loss_words(loss),
    }


def _loss_words(loss: PossibleLoss) -> str:
    if loss.is_primary:
        return "what hosts have written at the other member, if it has taken over or had more after a loss of power"
    if loss.is_anchor_restored:
        return f"all writes of the last {loss.anchor_age_s or 0.0:.0f} s: a resync was interrupted here"
    return "all writes after both members were last connected and in sync"


def _luns(value: object) -> Mapping[str, int]:
    if not isinstance(value, dict):
        raise ConfigError("luns: want LUN numbers by the names of volumes")
    return {str(name): lun_number(number) for name, number in value.items()}


def _volumes(value: object) -> Sequence[str]:
    if value == []:
        raise ConfigError("want a list of names that is not empty")
    return arguments.names(value)


GROUP_OPERATIONS = (
    Operation("groups", _groups),
    Operation("group-status", _status, (GROUP_NAME,)),
    Operation(
        "group-create",
        create_group,
        (
            GROUP_NAME,
            Argument("volumes", "a list of names of volumes", _volumes),
            Argument("path", "the name of the path to the other member", parse_path_name),
            Argument("witness", "the name of the path to the witness", parse_path_name),
            Argument("luns", "LUN numbers at the other member by the names of volumes; default: as here", _luns, {}),
            Argument("out_of_sync_s", "seconds until the primary goes on alone", parse_out_of_sync, OUT_OF_SYNC_S),
        ),
    ),
    Operation(
        "group-delete",
        _delete,
        (
            GROUP_NAME,
            Argument("keep_copies", "true to keep the copies of the other member as other volumes", arguments.flag, False),
            Argument("force", "true to delete the group here although other arrays cannot be reached", arguments.flag, False),
        ),
    ),
    Operation("group-switchover", _switchover, (GROUP_NAME,)),
    Operation(
        "group-witness", _witness, (GROUP_NAME, Argument("witness", "the name of the path to the witness", parse_path_name))
    ),
    Operation("group-isolate", _isolate, (GROUP_NAME,)),
    Operation("group-resync", _resync, (GROUP_NAME,)),
    Operation(
        "group-verify",
        _verify,
        (
            GROUP_NAME,
            Argument("read", "true to read and compare all data too, in the background", arguments.flag, False),
            Argument("rate", "bytes per second that each member reads, or a text such as 64M", arguments.rate, READ_RATE_BYTES),
        ),
    ),
    Operation(
        "group-promote",
        _promote,
        (GROUP_NAME, Argument("force", "true to promote; false only tells what may be lost", arguments.flag, False)),
    ),
    *VOLUME_OPERATIONS,
)
"""The operations on groups."""
