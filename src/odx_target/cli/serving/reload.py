"""Reloading of the settings after SIGHUP: LUNs grow to the sizes in the file."""

from pathlib import Path

import structlog
import trio

from odx_target.store.api import StoreError
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings_file import load_config

log = structlog.get_logger()


async def reload(array: Array, path: Path | None) -> None:
    """Read a configuration file again, and grow the LUNs of the array to the sizes in it. An error is logged on one line, and
    the array continues to run.
    """
    if path is None:
        log.warning("settings cannot be read again: there is no --config FILE.toml")
        return
    try:
        luns = (await trio.to_thread.run_sync(load_config, path)).luns
    except ConfigError as error:
        log.error("settings are not read again", reason=str(error))
        return
    for lun in luns:
        try:
            if await array.resize_lun(lun.name, lun.size_bytes):
                log.info("LUN has grown", lun=lun.name, size_bytes=lun.size_bytes)
        except (ConfigError, StoreError) as error:
            log.error("LUN keeps its size", lun=lun.name, reason=str(error))
