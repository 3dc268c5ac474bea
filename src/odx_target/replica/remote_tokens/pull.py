"""One request for a range of the data of a token. Its parts are staged one after the other."""

from collections.abc import Callable

from odx_target.environment import Environment
from odx_target.replica.blocks.fingerprints import fingerprint_key
from odx_target.replica.blocks.hints import Hints
from odx_target.replica.blocks.limits import MAX_WAIT_S
from odx_target.replica.blocks.receiver import BlockReceiver
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.path import Path
from odx_target.replica.remote_tokens.limits import TOKEN_PART_BLOCKS
from odx_target.replica.remote_tokens.messages import BLOCKS_REQUEST
from odx_target.replica.remote_tokens.staging import StagedData
from odx_target.store.api import Pool, Volume


class Pull:
    """A request for the blocks from `first` to `end` - 1 of a leased token. `on_part` is called after each part is staged."""

    def __init__(self, path: Path, link: Link, lease: bytes, first: int, end: int, on_part: Callable[[], None]) -> None:
        self.next = first
        """The first block that has not arrived."""
        self.end = end
        self.link_bytes = 0
        self._path = path
        self._link = link
        self._lease = lease
        self._on_part = on_part
        self._exchange: Exchange | None = None
        self._is_stopped = False

    async def run(self, pool: Pool, staged: StagedData, volume: Volume, hints: Hints, environment: Environment) -> None:
        """Request the blocks, and stage them. Raises LinkError, and the exceptions of `Volume.write`."""
        if self._is_stopped:
            return
        document: dict[str, Json] = {
            "request": BLOCKS_REQUEST,
            "lease": self._lease.hex(),
            "first": self.next,
            "count": self.end - self.next,
        }
        exchange = self._exchange = await self._link.request(document, TrafficClass.TOKEN, MAX_WAIT_S)

        def stage(first: int, count: int) -> None:
            lost = [block for block in receiver.totals.lost_blocks if first <= block < first + count]
            # The maker leaves out blocks without data, and the volume has no data there either.
            staged.stage(self.next, first + count - self.next, lost)
            self.next = first + count
            self.link_bytes = receiver.totals.link_bytes
            self._on_part()

        key = fingerprint_key(self._path)
        receiver = BlockReceiver(
            exchange, pool, volume, key, hints, environment, stage, has_base=True, part_blocks=TOKEN_PART_BLOCKS
        )
        try:
            if self._is_stopped:
                raise ChannelEnded("the token was closed")
            await receiver.run(self.next, self.end - self.next)
        finally:
            self.link_bytes = receiver.totals.link_bytes
            exchange.close()

    def stop(self) -> None:
        """End the request early. `run` raises ChannelEnded soon."""
        self._is_stopped = True
        if self._exchange is not None:
            self._exchange.note_end(ChannelEnded("the token was closed"))
