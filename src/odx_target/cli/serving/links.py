"""The link port of an array. `odx-target serve` opens it if the settings contain an address for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Portal, ServeConfig
from odx_target.target.event_log import log


def link_descriptors(address: Portal | None) -> int:
    """Return the number of file descriptors that links need: a listening socket, unknown peers, and those of each path."""
    if address is None:
        return 0
    from odx_target.replica.edge.greetings import MAX_GREETINGS
    from odx_target.replica.paths.settings import MAX_PATH_CONNECTIONS, MAX_PATHS

    return 1 + MAX_GREETINGS + MAX_PATH_CONNECTIONS * MAX_PATHS


@asynccontextmanager
async def served_links(files: ServeConfig, array: Array) -> AsyncIterator[None]:
    """Open the link port and the paths of an array while the body runs, and pair it with the arrays of the pools of `--pair`.

    Do nothing if it has no link port. Raises ConfigError if there are paths, protections, groups or pairs without a link port.
    Raises OSError.
    """
    address = files.link_port
    if address is None:
        if files.paths:
            raise ConfigError("path: an array with paths needs a link port; give link-port or --link-port HOST:PORT")
        if files.pair:
            raise ConfigError("--pair needs a link port: give --link-port HOST:PORT too")
        if files.protections:
            raise ConfigError("protect: an array with protections needs a link port; give link-port or --link-port HOST:PORT")
        if files.groups:
            raise ConfigError("group: an array with groups needs a link port; give link-port or --link-port HOST:PORT")
        yield
        return
    # An array without links does not load the modules.
    from odx_target.target.peers.configured_paths import open_configured_paths
    from odx_target.target.peers.serving import serve_peers

    async with serve_peers(address, array, files.protections, files.pair, files.groups) as portal:
        log.info("other arrays can connect", address=str(portal))
        assert array.peering is not None
        await open_configured_paths(array.peering, files.paths, array.reporter)
        yield
