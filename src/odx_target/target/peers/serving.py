"""The link port of a running array."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from odx_target.scsi.nexus import Nexus
from odx_target.scsi.sense import INQUIRY_DATA_HAS_CHANGED
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.config.settings import GroupTemplate, Portal, ProtectTemplate
from odx_target.target.control.groups.member_luns import ArrayLuns
from odx_target.target.job_nursery import JobNursery
from odx_target.target.listening_sockets import bind_portals, close_sockets
from odx_target.target.peers.configured_groups import make_groups
from odx_target.target.peers.group_alarms import watch_groups
from odx_target.target.peers.peering import STOP_TIME_S, TokenSharing, open_peering
from odx_target.target.peers.protections import add_protections
from odx_target.target.peers.snapshot_classes import class_of
from odx_target.target.peers.socket_pairing import pair_with_pool
from odx_target.target.trio_environment import TrioEnvironment

if TYPE_CHECKING:
    from odx_target.target.array import Array


@asynccontextmanager
async def serve_peers(
    address: Portal,
    array: "Array",
    protections: Sequence[ProtectTemplate] = (),
    pair: Collection[Path] = (),
    groups: Sequence[GroupTemplate] = (),
) -> AsyncIterator[Portal]:
    """Open the link port and the paths of an array while the body runs. Yields the actual address.

    `protections` and `groups` are those of the configuration. In the background, the array is paired with the arrays that serve
    the pools in `pair` on this machine. Raises OSError if the address cannot be bound.
    """
    bound = await bind_portals([address])
    try:
        async with trio.open_nursery() as nursery:
            jobs = JobNursery()
            await nursery.start(jobs.run)
            # Peers answer in real time, so links do not use a clock that testers advance.
            environment = TrioEnvironment(jobs.nursery)
            copies = array.copy_manager.copies
            tokens = TokenSharing(
                copies,
                array.device_server,
                partial(_is_mapped, array),
                partial(_nexus_of, array),
                partial(_tokens_changed, array),
            )
            maker = copies.issuer.maker
            classes = partial(class_of, array.schedules.book)
            peering = await open_peering(array.pool, environment, maker, array.reporter, array.make_durable, tokens, classes)
            await array.make_durable()
            peering.serve_grouping(array.pool, ArrayLuns(array))
            peering.start(bound[0], jobs.nursery)
            array.peering = peering
            array.groups, group_luns = peering.groups, array.make_group_luns()
            group_luns.peer_ports.add_to(peering.requests)
            group_luns.open(peering.groups, environment)
            environment.start_soon(add_protections, array, peering, protections)
            environment.start_soon(make_groups, array, peering, groups)
            environment.start_soon(watch_groups, array, peering)
            peering.pairing_places += pair
            for place in pair:
                jobs.nursery.start_soon(pair_with_pool, place, array, peering)
            try:
                yield bound[0].address
            finally:
                array.peering = array.groups = None
                with trio.CancelScope(shield=True):
                    await group_luns.stop()
                peering.stop()
                with trio.CancelScope(shield=True):
                    await trio.sleep(STOP_TIME_S)
                    await jobs.stop()
    finally:
        close_sockets(bound)


def _is_mapped(array: "Array", initiator_name: str, logical_unit: LogicalUnit) -> bool:
    """True if an initiator has a LUN for a logical unit at any target of the array."""
    maps = (target.lun_maps.map_of(initiator_name) for target in array.targets)
    return any(lun_map is not None and lun_map.lun_of(logical_unit) is not None for lun_map in maps)


def _nexus_of(array: "Array", initiator_name: str, logical_unit: LogicalUnit) -> Nexus | None:
    """Return a nexus of an initiator with the LUN that it has for a logical unit, at the first target that has one."""
    for target in array.targets:
        lun_map = target.lun_maps.map_of(initiator_name)
        lun = None if lun_map is None else lun_map.lun_of(logical_unit)
        if lun_map is not None and lun is not None:
            port = target.ports[min(target.ports)]
            return Nexus(initiator_name, initiator_name, port, {lun: logical_unit}, lun_map.read_only, {logical_unit: lun})
    return None


def _tokens_changed(array: "Array") -> None:
    """Notify all hosts that VPD page 8Fh has changed."""
    for logical_unit in array.logical_units.values():
        array.device_server.tell_all(logical_unit, INQUIRY_DATA_HAS_CHANGED)
