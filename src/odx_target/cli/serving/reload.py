"""SIGHUP: the configuration file is read again, and its changed keys are applied to the array that runs."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import trio

from odx_target.cli.serving.access_warnings import warn_of_missing_volumes, warn_of_open_portals
from odx_target.cli.serving.logging import set_log_level
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, ServeConfig
from odx_target.target.config.settings_file import load_config, load_serve_config
from odx_target.target.event_log import log

SERVE_KEYS = {
    "pcap_snap_bytes": "pcap-snap-length",
    "record_limit_bytes": "record-limit",
    "paths": "path",
    "protections": "protect",
    "groups": "group",
}
"""The keys of the file whose words differ from the fields of `ServeConfig`. Only a restart applies the fields."""


class Settings(NamedTuple):
    """All settings of the command `serve`: those of the array, and those of the command itself."""

    array: Config
    serve: ServeConfig


def load_settings(path: Path) -> Settings:
    """Return all settings in a file. Raises ConfigError."""
    return Settings(load_config(path), load_serve_config(path))


class Reloader:
    """Reads a configuration file again, and applies the keys that have changed to a running array.

    `read` returns the settings in the file. The command line may replace some of them. `current` has the settings that
    were applied last; by default, those of the array. If there is no file, `path` is None.
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
        self.current = current or Settings(array.config, ServeConfig())
        self._read = read

    async def reload(self) -> None:
        """Apply the file as it is now. An error is logged on one line, and the array continues to run.

        The array continues even after an internal error, which is logged with its traceback. The next call then tries again.
        """
        if self._path is None:
            log.warning("settings cannot be read again: there is no --config FILE.toml")
            return
        try:
            await self._apply(await trio.to_thread.run_sync(self._read, self._path))
        except ConfigError as error:
            log.error("settings are not read again", reason=str(error))
        except Exception as error:
            text = "settings are not read again, or only in part, because of an internal error"
            log.error(text, error=repr(error), exc_info=error)

    async def _apply(self, settings: Settings) -> None:
        from odx_target.target.reconfiguration import reconfigure  # The start of an array does not need it.

        applied = await reconfigure(self._array, self.current.array, settings.array)
        if settings.array.log_level != self.current.array.log_level:
            set_log_level(settings.array.log_level)
        if _access_differs(settings.array, self.current.array):
            warn_of_open_portals(self._array.targets)
        warn_of_missing_volumes(self._array.targets)
        if waiting := keys_that_wait(self.current, settings):
            log.warning("changed settings that only a restart applies", keys=waiting)
        self.current = Settings(applied, settings.serve)  # The next call tries again to apply what was refused.


def keys_that_wait(before: Settings, after: Settings) -> list[str]:
    """Return the keys of the file that have changed, and that only a restart applies."""
    from odx_target.target.reconfiguration import fields_that_wait, key_of  # The start of an array does not need it.

    waiting = [key_of(name) for name in fields_that_wait(before.array, after.array) if name != "log_level"]
    serve = [each.name for each in fields(ServeConfig) if getattr(before.serve, each.name) != getattr(after.serve, each.name)]
    return waiting + [SERVE_KEYS.get(name, name.replace("_", "-")) for name in serve]


def _access_differs(one: Config, other: Config) -> bool:
    return any(
        getattr(one, name) != getattr(other, name) for name in ("portals", "targets", "chap_users", "target_chap", "iqn")
    )
