"""The content that a resync ships before the stream is complete."""

from collections.abc import AsyncIterator, Iterable, Sequence

from odx_target.environment import Environment
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.sync.anchors.changed_blocks import ChangedRange, RangeList, changed_since
from odx_target.replica.sync.stream.documents import all_snapshots, all_tokens, lineage_changed, volumes_set
from odx_target.replica.sync.stream.items import Item, ItemKind
from odx_target.replica.sync.stream.shipping import NeedsResync, Shipped
from odx_target.replica.sync.stream.snapshot_chain import SnapshotChain, parts
from odx_target.replica.sync.stream.volume_values import present_values
from odx_target.store.api import DamagedBlock, FrozenMap, Pool, Volume


async def whole_content(
    exchange: Exchange,
    pool: Pool,
    environment: Environment,
    volumes: Sequence[Volume],
    tokens: Iterable[tuple[bytes, bytes]] = (),
) -> AsyncIterator[Shipped]:
    """Yield changes after which the other member has the content of `volumes`, whatever it has now.

    Raises NeedsResync, and ChannelEnded if the exchange ends.
    """
    for item in _around_content(pool, volumes, tokens):
        yield item
    for index, volume in enumerate(volumes):
        yield Item(ItemKind.RESIZE, index, count_blocks=volume.size_blocks)
        yield lineage_changed(index, volume.lineage)
        yield Item(ItemKind.UNMAP, index, 0, volume.size_blocks)
    try:
        async for each in changed_since(exchange, pool, environment, (), volumes):
            for part in parts(each):
                yield part
    except DamagedBlock as error:
        raise NeedsResync(str(error)) from error


async def content_since(
    exchange: Exchange,
    pool: Pool,
    environment: Environment,
    volumes: Sequence[Volume],
    others: Sequence[ChangedRange],
    chain: SnapshotChain,
    tokens: Iterable[tuple[bytes, bytes]] = (),
) -> AsyncIterator[Shipped]:
    """Yield the content that has changed since the anchor of the chain: at this member, and in the ranges `others` at the other
    member. The snapshots of the chain come first.

    Raises NeedsResync, and ChannelEnded if the exchange ends.
    """
    for item in _around_content(pool, volumes, tokens):
        yield item
    try:
        if chain.guids:
            async for shipped in chain.walk(exchange, environment, others):
                yield shipped
        for index, volume in enumerate(volumes):
            yield Item(ItemKind.RESIZE, index, count_blocks=volume.size_blocks)
            yield lineage_changed(index, volume.lineage)
            if index >= len(chain.last):  # The volume came to the group after the anchor.
                yield Item(ItemKind.UNMAP, index, 0, volume.size_blocks)
        known = RangeList([each for each in others if each.volume not in chain.volumes])
        for each in known:
            for part in parts(each):
                yield part
        async for changed in changed_since(exchange, pool, environment, chain.last, volumes):
            for each in known.outside(changed):
                for part in parts(each):
                    yield part
    except DamagedBlock as error:
        raise NeedsResync(str(error)) from error


async def blocks_to_ship(
    exchange: Exchange,
    pool: Pool,
    environment: Environment,
    volumes: Sequence[Volume],
    anchor: Sequence[FrozenMap] | None,
    others: Sequence[ChangedRange],
) -> int:
    """Return the number of blocks that a resync would ship now; see `content_since`, and `whole_content` without an anchor.

    Raises NeedsResync, and ChannelEnded if the exchange ends.
    """
    known = RangeList(others)
    count = sum(each.count_blocks for each in known)
    try:
        async for changed in changed_since(exchange, pool, environment, anchor or (), volumes):
            count += sum(each.count_blocks for each in known.outside(changed))
    except DamagedBlock as error:
        raise NeedsResync(str(error)) from error
    return count


def _around_content(pool: Pool, volumes: Sequence[Volume], tokens: Iterable[tuple[bytes, bytes]]) -> list[Item]:
    """Return items that give the other member the list of volumes, their values, and the names of the snapshots and tokens."""
    own = {volume.identity for volume in volumes}
    items = list(volumes_set(volumes, [each.identity for each in volumes]))
    items += list(all_snapshots(each for each in pool.snapshots.values() if each.volume_identity in own))
    for index, volume in enumerate(volumes):
        items += present_values(pool, index, volume)
    items += all_tokens(tokens)
    return items
