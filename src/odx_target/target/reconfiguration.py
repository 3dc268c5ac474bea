"""Changes of the settings of an array while it runs. `CHANGES` is the table of all settings that need no restart."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import fields, replace
from typing import NamedTuple, TypeAlias

from odx_target.scsi.unit.thresholds import thresholds_at
from odx_target.store.api import ChangeableOptions, StoreError
from odx_target.target.access.targets import all_ports, target_ports_of
from odx_target.target.array import Array
from odx_target.target.config.copy_settings import copy_limits_of, copy_options_of
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.control.storage import volumes
from odx_target.target.control.storage.storage import Storage
from odx_target.target.event_log import log
from odx_target.target.logical_units import LUN_ATTRIBUTE, apply_choices, logical_units_named
from odx_target.target.personality.application import with_block_length
from odx_target.target.schedules.templates import add_schedules

Apply: TypeAlias = Callable[[Array, Config], Awaitable[None]]

KEYS = {
    "pool_dir": "pool",
    "luns": "lun",
    "portals": "portal",
    "targets": "target",
    "portal_groups": "portal-group",
    "port_groups": "target-port-group",
    "transition_time_s": "transition-time",
    "schedules": "schedule",
    "chap_users": "chap",
    "announced": "announce",
    "redirects": "redirect",
    "pool_limit_bytes": "pool-limit",
    "capacity_limit_bytes": "capacity-limit",
    "memory_limit_bytes": "memory-limit",
    "map_memory_bytes": "map-memory",
    "copy_budget_s": "copy-budget",
    "step_aside_latency_s": "step-aside-latency",
    "copy_rate_bytes_per_s": "copy-rate",
}
"""The keys of the configuration file whose names differ from the fields of `Config`."""


class Change(NamedTuple):
    """Fields of `Config`, and the function that applies them to an array.

    The function is called if one of the fields has changed. If `always` is True, it is called in any case.
    """

    fields: tuple[str, ...]
    apply: Apply
    always: bool = False


def key_of(field: str) -> str:
    """Return the key of the configuration file for a field of `Config`."""
    return KEYS.get(field, field.replace("_", "-"))


def changed_fields(before: Config, after: Config) -> list[str]:
    """Return the fields of `Config` whose values differ."""
    return [each.name for each in fields(Config) if getattr(before, each.name) != getattr(after, each.name)]


def fields_that_wait(before: Config, after: Config) -> list[str]:
    """Return the fields that have changed, and that only a restart applies."""
    applied = {name for change in CHANGES for name in change.fields}
    waiting = [name for name in changed_fields(before, after) if name not in applied]
    numbers = {target.iqn: target.relative_target_port for target in before.targets}
    if any(target.relative_target_port != numbers.get(target.iqn, target.relative_target_port) for target in after.targets):
        waiting = list(dict.fromkeys([*waiting, "relative_target_port"]))
    return waiting


async def reconfigure(array: Array, before: Config, after: Config) -> Config:
    """Apply changed settings to an array. `before` has the settings that were applied last. Returns the settings that are
    applied now: `after`, but with the values of `before` for settings that could not be applied.

    Raises ConfigError if the targets, their portals or their access rules cannot be changed. Then nothing has changed. Other
    settings that cannot be applied are logged and keep their values.
    """
    await array.target_changes.apply(after)
    ports = all_ports(array.targets)
    await array.port_group_states.set_ports(target_ports_of(after).port_groups(ports), ports)
    if array.group_luns is not None:
        array.group_luns.ports_changed()
    changed, former = set(changed_fields(before, after)), array.config
    array.config = array.lun_changes.config = replace(
        array.config, **{name: getattr(after, name) for change in CHANGES for name in change.fields if name in changed}
    )
    for change in CHANGES:
        if change.always or changed.intersection(change.fields):
            try:
                await change.apply(array, after)
            except (ConfigError, StoreError) as error:
                keys = [key_of(name) for name in change.fields if name in changed or change.always]
                log.error("settings are not applied", keys=keys, reason=str(error))
                refused = changed.intersection(change.fields)
                array.config = array.lun_changes.config = _with_values(array.config, former, refused)
                after = _with_values(after, before, refused)
    return after


def _with_values(config: Config, source: Config, names: Iterable[str]) -> Config:
    """Return `config` with some values of `source`."""
    return replace(config, **{name: getattr(source, name) for name in names})


async def _targets(_array: Array, _config: Config) -> None:
    """Do nothing, because `reconfigure` changes the targets and their ports before everything else."""


async def _luns(array: Array, config: Config) -> None:
    for lun in config.luns:
        try:
            await _lun(array, with_block_length(lun, array.config.personality))
        except (ConfigError, StoreError) as error:
            log.error("LUN is not changed", lun=lun.name, reason=str(error))


async def _lun(array: Array, lun: LunConfig) -> None:
    storage = Storage(array.pool, array.environment, array)
    volume = array.pool.volumes.get(lun.name)
    if volume is None:
        await volumes.create(storage, lun, lun=True)
        log.info("LUN is new", lun=lun.name, size_bytes=lun.size_bytes)
        return
    if await storage.when_ready(lambda: apply_choices(lun, volume)):
        await storage.make_durable()
    if lun.grows and LUN_ATTRIBUTE in volume.attributes and await array.resize_lun(lun.name, lun.size_bytes):
        log.info("LUN has grown", lun=lun.name, size_bytes=lun.size_bytes)


async def _pool_options(array: Array, config: Config) -> None:
    """Change the options of the pool. The thresholds are shares of its room, so they change with its limit."""
    limit_bytes = array.pool.status().limit_bytes
    array.pool.change_options(
        ChangeableOptions(
            limit_bytes=config.pool_limit_bytes,
            capacity_limit_bytes=config.capacity_limit_bytes,
            capacity_compression=config.capacity_compression,
            cleaning=config.cleaning,
            cleaning_share=config.cleaning_share,
            map_memory_bytes=config.map_memory_bytes,
        )
    )
    if config.pool_limit_bytes != limit_bytes:
        await _soft_thresholds(array, config)


async def _memory_limit(array: Array, config: Config) -> None:
    array.memory_budget.set_limit(config.memory_limit_bytes)


async def _copy_options(array: Array, config: Config) -> None:
    config = replace(config, personality=array.config.personality)  # only a restart changes the personality
    array.copy_manager.copies.options = copy_options_of(config)
    array.copy_manager.copies.limits = copy_limits_of(config)


async def _copy_rate(array: Array, config: Config) -> None:
    array.copy_manager.copies.copy_rate.set(config.copy_rate_bytes_per_s)


async def _remote_luns(array: Array, config: Config) -> None:
    units = logical_units_named(array.logical_units, config.remote_luns)
    remote = array.copy_manager.copies.remote_logical_units
    remote.clear()
    remote.update(units)


async def _soft_thresholds(array: Array, config: Config) -> None:
    turns, thresholds = array.environment.turns, thresholds_at(config.soft_thresholds, array.pool.usage())
    for logical_unit in list(array.logical_units.values()):
        turns.take()
        await turns.next_if_spent()
        if logical_unit.set_default_thresholds(thresholds):
            array.device_server.mode_parameters_changed(logical_unit)
    array.threshold_watch.check_soon()


async def _schedules(array: Array, config: Config) -> None:
    await add_schedules(array.schedules.book, config.schedules, array.environment)


async def _port_groups(array: Array, config: Config) -> None:
    await array.port_group_states.apply(config.port_groups)


async def _polling(array: Array, config: Config) -> None:
    array.set_polling(polls=config.polling)


CHANGES: tuple[Change, ...] = (
    Change(("luns",), _luns, always=True),
    Change(
        (
            "iqn",
            "portals",
            "access",
            "targets",
            "max_sessions",
            "max_commands",
            "memory_share",
            "chap_users",
            "target_chap",
            "chap_discovery",
            "announced",
            "redirects",
            "port_group",
            "portal_groups",
            "asymmetric_access",
            "transition_time_s",
        ),
        _targets,
    ),
    Change(
        (
            "strict_list_identifiers",
            "copy_budget_s",
            "step_aside_copies",
            "step_aside_latency_s",
            "report_token_causes",
            "accept_zero_token",
            "token_access",
            "unreachable_sense",
        ),
        _copy_options,
    ),
    Change(
        (
            "pool_limit_bytes",
            "capacity_limit_bytes",
            "capacity_compression",
            "cleaning",
            "cleaning_share",
            "map_memory_bytes",
        ),
        _pool_options,
    ),
    Change(("memory_limit_bytes",), _memory_limit),
    Change(("copy_rate_bytes_per_s",), _copy_rate),
    Change(("remote_luns",), _remote_luns),
    Change(("soft_thresholds",), _soft_thresholds),
    Change(("schedules",), _schedules),
    Change(("port_groups",), _port_groups, always=True),
    Change(("polling",), _polling),
)
"""The settings that are applied to a running array. All other settings wait for a restart."""
