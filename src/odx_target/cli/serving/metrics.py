"""The metrics of an array. `odx-target serve` offers them over HTTP if the settings contain an address for metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from odx_target.target.array import Array
from odx_target.target.config.settings import Portal
from odx_target.target.event_log import log
from odx_target.target.loopback import is_loopback


def metrics_descriptors(address: Portal | None) -> int:
    """Return the number of file descriptors that the metrics need: a listening socket, its clients, and one refused client."""
    if address is None:
        return 0
    from odx_target.target.metrics.server import MAX_SCRAPERS

    return MAX_SCRAPERS + 2


@asynccontextmanager
async def served_metrics(address: Portal | None, array: Array) -> AsyncIterator[None]:
    """Serve the metrics of an array at an address while the body runs. Do nothing if the address is None. Raises OSError."""
    if address is None:
        yield
        return
    # An array without metrics does not load the modules.
    from odx_target.target.metrics.collection import metrics_text
    from odx_target.target.metrics.server import PATH, serve_metrics

    async with serve_metrics(address, partial(metrics_text, array)) as portal:
        log.info("metrics are served", url=f"http://{portal}{PATH}")
        if not is_loopback(portal.host):
            log.warning("every host that can reach this address can read the metrics", address=str(portal))
        yield
