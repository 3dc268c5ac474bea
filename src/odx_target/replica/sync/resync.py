"""The content that a resync ships before the stream is complete."""

from collections.abc import AsyncIterator, Sequence

from odx_target.environment import Environment
from odx_target.replica.sync.items import Item, ItemKind
from odx_target.replica.sync.limits import FILL_BLOCKS
from odx_target.replica.sync.shipping import NeedsResync, Range, Shipped
from odx_target.store.api import DamagedBlock, Pool, StoreError, Volume

RETRY_S = 0.2
"""Pause before a part of a map is read again that could not be read."""


async def whole_content(pool: Pool, environment: Environment, volumes: Sequence[Volume]) -> AsyncIterator[Shipped]:
    """Yield changes after which the other member has the content of `volumes`, whatever it has now. Raises NeedsResync."""
    for index, volume in enumerate(volumes):
        yield Item(ItemKind.RESIZE, index, count_blocks=volume.size_blocks)
        yield Item(ItemKind.UNMAP, index, 0, volume.size_blocks)
        block = 0
        while block < volume.size_blocks:
            stream = pool.changed_ranges(None, volume, block)
            try:
                async for part in stream:
                    for first, count, _ in part.ranges():
                        for at in range(first, first + count, FILL_BLOCKS):
                            yield Range(index, at, min(FILL_BLOCKS, first + count - at))
                    block = part.end
            except DamagedBlock as error:
                raise NeedsResync(str(error)) from error
            except StoreError:
                await environment.sleep(RETRY_S)
            else:
                break
            finally:
                await stream.aclose()
