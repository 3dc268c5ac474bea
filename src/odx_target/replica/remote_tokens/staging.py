"""The volume that takes the arriving data of a token of another array, until copies share its blocks.

Hosts never see this volume. Block n of the volume is block n of the token's data. A block is *staged* when it is equal to that
of the token. It stays so until the volume is deleted. So a copy only shares staged blocks with its destination, and a further
copy of the same token needs no data from the link.
"""

from contextlib import suppress

from odx_target.copymgr.tokens.block_set import BlockSet
from odx_target.environment import Environment
from odx_target.replica.remote_tokens.staging_names import STAGING_ATTRIBUTE, VOLUME_PREFIX
from odx_target.store.api import BLOCK_BYTES, FrozenMap, Pool, StoreError, Volume, change_when_ready

_NAME_BYTES = 16


class StagedData:
    """The data of one token that has arrived. The volume is created when the first data is requested."""

    def __init__(self, pool: Pool, environment: Environment, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._pool = pool
        self._environment = environment
        self._volume: Volume | None = None
        self._staged = BlockSet()
        self._lost: set[int] = set()
        self.version = 0
        """Number that rises when more blocks are staged."""

    @property
    def size_blocks(self) -> int:
        return -(-self.size_bytes // BLOCK_BYTES)

    @property
    def has_volume(self) -> bool:
        return self._volume is not None

    async def volume(self) -> Volume:
        """Return the volume, and create it at the first call. May raise the exceptions of `Pool.create_volume`."""
        if self._volume is None:
            name = VOLUME_PREFIX + self._environment.entropy(_NAME_BYTES).hex()
            volume = await change_when_ready(
                self._pool,
                self._environment,
                lambda: self._pool.create_volume(name, self.size_blocks, {STAGING_ATTRIBUTE: "token"}),
            )
            assert self._volume is None, "only one task makes the volume"
            self._volume = volume
        return self._volume

    async def room_made(self) -> None:
        """Wait until the pool has room for a change that has raised PoolBusy."""
        if self._volume is not None:
            await self._volume.room_made()

    def stage(self, first: int, count: int, lost: list[int]) -> None:
        """Note that blocks have arrived, except for those that the maker of the token cannot read."""
        self._staged.add(first, first + count)
        self._lost.update(lost)
        self.version += 1

    def is_lost(self, block: int) -> bool:
        return block in self._lost

    def end_of_arrived(self, block: int) -> int:
        """Return the first block from `block` on about which nothing has arrived."""
        return self._staged.end_of_run(block)

    def next_arrived(self, block: int, limit: int) -> int:
        """Return the first block from `block` on that has arrived, or `limit` if there is none before it."""
        return self._staged.next_after(block, limit)

    def end_of_readable(self, block: int) -> int:
        """Return the first block from `block` on that is not staged."""
        end = self.end_of_arrived(block)
        return min((each for each in self._lost if block <= each < end), default=end) if self._lost else end

    def freeze(self) -> FrozenMap:
        """Freeze the present content. The caller releases the frozen map. May raise the exceptions of `Volume.write`."""
        assert self._volume is not None, "blocks are staged in the volume"
        return self._volume.freeze()

    async def delete(self) -> None:
        """Delete the volume. Nobody may write to it any more. Frozen maps stay.

        If the pool accepts no changes, the volume is deleted at the next start.
        """
        volume, self._volume = self._volume, None
        if volume is not None:
            with suppress(StoreError):
                await _delete(self._pool, self._environment, volume.name)


def left_over_volumes(pool: Pool) -> list[str]:
    """Return the names of the volumes that an earlier life of the array has left. Call this before tokens are used."""
    return [
        name
        for name, volume in pool.volumes.items()
        if name.startswith(VOLUME_PREFIX) and STAGING_ATTRIBUTE in volume.attributes
    ]


async def delete_volumes(pool: Pool, environment: Environment, names: list[str]) -> None:
    """Delete volumes. If the pool accepts no changes, they are deleted at the next start."""
    with suppress(StoreError):
        for name in names:
            await _delete(pool, environment, name)


async def _delete(pool: Pool, environment: Environment, name: str) -> None:
    await change_when_ready(pool, environment, lambda: pool.delete_volume(name))
    await pool.committed()
