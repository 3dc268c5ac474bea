"""Protections from the configuration file. Each is added when its path is paired, if the pool does not have it."""

from functools import partial
from typing import TYPE_CHECKING

from odx_target.replica.link.errors import LinkError
from odx_target.store.api import Absent, StoreError, Volume
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import ProtectTemplate
from odx_target.target.control.storage.names import find_own_volume
from odx_target.target.schedules.schedule import Schedule
from odx_target.target.schedules.templates import new_schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odx_target.target.array import Array
    from odx_target.target.peers.peering import Peering

LOOK_S = 1.0
"""Time between two looks if the path of a protection is paired now."""

NOT_ADDED = "a protection of the configuration cannot be added"


async def add_protections(array: "Array", peering: "Peering", templates: "Sequence[ProtectTemplate]") -> None:
    """Add the protections that the pool does not have, as soon as their paths are paired. Returns when all are added.

    A protection that cannot be added is reported once, and not tried again.
    """
    waiting = [each for each in templates if each.name not in peering.replication.records.protections]
    while waiting:
        ready = [each for each in waiting if each.path in peering.paths]
        for template in ready:
            try:
                await _add(array, peering, template)
            except (LinkError, StoreError, ConfigError) as error:
                name = template.name
                array.reporter.report("error", NOT_ADDED, cause=name, protection=name, error=str(error))
        waiting = [each for each in waiting if each not in ready]
        if waiting:
            await array.environment.sleep(LOOK_S)


async def _add(array: "Array", peering: "Peering", template: ProtectTemplate) -> None:
    volumes = [find_own_volume(array.pool, name) for name in template.volumes]
    schedules = await _schedules(array, peering, template)
    await peering.replication.protect(
        template.name,
        peering.paths.existing(template.path),  # The path may have been removed meanwhile.
        volumes,
        is_group=template.is_group,
        trigger=template.trigger,
        keep_there=template.keep_there,
    )
    if schedules is not None:
        for volume in volumes:
            await peering.replication.holds.change(partial(array.schedules.book.assign, volume, schedules))
        await array.make_durable()


async def _schedules(array: "Array", peering: "Peering", template: ProtectTemplate) -> list[Schedule] | None:
    """Return the schedules of a protection, and make those that are to be made for it. None keeps those of the volumes."""
    book = array.schedules.book
    if template.schedules is not None:
        return [book.find(name) for name in template.schedules]
    found = []
    for every, keep in template.snapshots.items():
        name = f"{template.name}-{every}"
        try:
            found.append(book.find(name))
        except Absent:
            schedule, seen = new_schedule(name, {"every": every, "keep": keep}, array.environment)
            no_volumes: list[Volume] = []
            await peering.replication.holds.change(partial(book.add, schedule, seen, no_volumes))
            found.append(schedule)
    return found or None
