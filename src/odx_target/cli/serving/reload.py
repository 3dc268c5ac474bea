"""Reloading of the settings after SIGHUP."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TypeAlias

import structlog
import trio

from odx_target.store.api import StoreError
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, ServeConfig
from odx_target.target.config.settings_file import load_config, load_serve_config

log = structlog.get_logger()

APPLIED = {
    "luns",
    "access",
    "targets",
    "chap_users",
    "target_chap",
    "chap_discovery",
    "copy_rate_bytes_per_s",
    "announced",
    "redirects",
}
"""Fields of `Config` that a reload applies: of `targets`, the access rules and the CHAP settings, and of `luns`, the sizes."""

KEYS = {
    "pool_dir": "pool",
    "luns": "lun",
    "portals": "portal",
    "targets": "target",
    "schedules": "schedule",
    "chap_users": "chap",
    "pool_limit_bytes": "pool-limit",
    "capacity_limit_bytes": "capacity-limit",
    "memory_limit_bytes": "memory-limit",
    "map_memory_bytes": "map-memory",
    "copy_budget_s": "copy-budget",
    "step_aside_latency_s": "step-aside-latency",
    "copy_rate_bytes_per_s": "copy-rate",
    "pcap_snap_bytes": "pcap-snap-length",
}
"""The keys of the file whose names differ from the fields of `Config` and `ServeConfig`."""

Settings: TypeAlias = tuple[Config, ServeConfig]


def load_settings(path: Path) -> Settings:
    """Return the settings in a TOML file. Raises ConfigError."""
    return load_config(path), load_serve_config(path)


class Reloader:
    """Reads a configuration file again, and applies the keys that have changed to a running array.

    `read` returns the settings in the file. The command line may replace some of them. `current` has the settings that the
    array was started with. If there is no file, `path` is None.
    """

    def __init__(
        self,
        array: Array,
        path: Path | None,
        current: Settings | None = None,
        read: Callable[[Path], Settings] = load_settings,
    ) -> None:
        self._array = array
        self._path = path
        self._current = current or (array.config, ServeConfig())
        self._read = read

    async def reload(self) -> None:
        """Apply the file as it is now. An error is logged on one line, and the array continues to run."""
        if self._path is None:
            log.warning("settings cannot be read again: there is no --config FILE.toml")
            return
        try:
            settings = await trio.to_thread.run_sync(self._read, self._path)
            config, _ = settings
            await self._array.access_changes.apply(config)
        except ConfigError as error:
            log.error("settings are not read again", reason=str(error))
            return
        await self._grow_luns(config)
        if config.copy_rate_bytes_per_s != self._current[0].copy_rate_bytes_per_s:
            self._array.copy_manager.copies.copy_rate.set(config.copy_rate_bytes_per_s)
        if waiting := keys_that_wait(self._current, settings):
            log.warning("changed settings that only a restart applies", keys=waiting)
        self._current = settings

    async def _grow_luns(self, config: Config) -> None:
        for lun in config.luns:
            if not lun.grows:
                continue
            try:
                if await self._array.resize_lun(lun.name, lun.size_bytes):
                    log.info("LUN has grown", lun=lun.name, size_bytes=lun.size_bytes)
            except (ConfigError, StoreError) as error:
                log.error("LUN keeps its size", lun=lun.name, reason=str(error))


def keys_that_wait(before: Settings, after: Settings) -> list[str]:
    """Return the keys of the file that have changed, and that only a restart applies."""
    (old, old_files), (new, new_files) = before, after
    waiting = [*_changed_keys(old, new), *_changed_keys(old_files, new_files)]
    if not _without_sizes(new) <= _without_sizes(old):
        waiting.append("lun")
    places = [[(target.iqn, target.portals, target.max_sessions) for target in config.targets] for config in (old, new)]
    return [*waiting, *(["target"] if places[0] != places[1] else [])]


def _changed_keys(before: Config | ServeConfig, after: Config | ServeConfig) -> list[str]:
    """Return the keys of the fields that differ, without those that a reload applies at least in part."""
    names = [each.name for each in fields(before) if each.name not in APPLIED]
    return [KEYS.get(name, name.replace("_", "-")) for name in names if getattr(before, name) != getattr(after, name)]


def _without_sizes(config: Config) -> set[tuple[str, str | None, str | None]]:
    return {(lun.name, lun.compression, lun.tier) for lun in config.luns}
