"""The receiving side: it fills copies with the snapshots of peers.

Hosts cannot see a copy. To receive a snapshot, the copy first becomes its base again, which is one record in the log. Then it
gets the differences. When the peer requests it, the snapshot is published; see `publisher`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from odx_target.environment import Environment
from odx_target.replica.blocks.fill import Fill, forget_marks
from odx_target.replica.blocks.hint_tables import HintTables
from odx_target.replica.blocks.requests import BUSY, HOLES
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import ChannelEnded, PeerFault
from odx_target.replica.link.messages import Message, read_message
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.request_table import Row
from odx_target.replica.snapshots import messages
from odx_target.replica.snapshots.free_names import free_volume_name
from odx_target.replica.snapshots.holds import Holds
from odx_target.replica.snapshots.limits import MAX_RECEIVES
from odx_target.replica.snapshots.protection import BLOCK_ATTRIBUTE, COPY_ATTRIBUTE, NAME_PREFIX, SIZE_ATTRIBUTE, Copy
from odx_target.replica.snapshots.received_copies import REPLICATION, ReceivedCopies
from odx_target.replica.snapshots.records import ReplicationRecords, ReplicationRefused, volume_with
from odx_target.replica.snapshots.transfer import Transfer
from odx_target.store.api import BLOCK_BYTES, Pool, StoreError, Volume


class SnapshotReceiver:
    """Serves the requests of the sending sides of all paths to receive snapshots."""

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        records: ReplicationRecords,
        holds: Holds,
        received: ReceivedCopies,
        hints: HintTables,
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._records = records
        self._holds = holds
        self._received = received
        self._hints = hints
        self._receives: Counter[bytes] = Counter()
        """Number of snapshots that are received now, by the pool of the peer."""

    def rows(self) -> dict[str, Row]:
        """Return the functions that serve the requests, for the table of requests."""
        return {
            messages.BASES_REQUEST: Row(Right.REPLICATE, self._serve_bases, REPLICATION),
            messages.RECEIVE_REQUEST: Row(Right.REPLICATE, self._serve_receive, REPLICATION),
        }

    @contextmanager
    def _receiving(self, peer_pool: bytes) -> Iterator[None]:
        """Count a snapshot that is received from a peer. Raises RequestDenied if the array receives too many from this peer."""
        if self._receives[peer_pool] >= MAX_RECEIVES:
            raise RequestDenied(BUSY, f"the array receives {MAX_RECEIVES} snapshots from this peer already")
        self._receives[peer_pool] += 1
        try:
            yield
        finally:
            self._receives[peer_pool] -= 1
            self._receives += Counter()  # Forget peers that send nothing.

    async def _serve_bases(self, _path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        guids = messages.decode_guids(read_message(messages.BASES_FIELDS, document).texts("snapshots"))
        found = next((index for index, guid in enumerate(guids) if guid in self._pool.snapshots), messages.NOT_FOUND)
        exchange.answer({"found": found})

    async def _serve_receive(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        found = read_message(messages.RECEIVE_FIELDS, document)
        guid, base = found.content("snapshot"), found.content("base")
        if found.number("size_bytes") > found.number("size_blocks") * BLOCK_BYTES:
            raise PeerFault("the LUN of a snapshot is larger than the snapshot")
        if base != HOLES and base not in self._pool.snapshots:
            raise RequestDenied(messages.ABSENT, "the base of the snapshot was deleted")
        try:
            copy, volume = await self._copy(path, found)
            self._received.check_receiving(copy.volume)
            if guid not in self._pool.snapshots:
                with self._receiving(path.settings.peer_pool), self._received.changing([volume.identity]):
                    await self._fill(path, exchange, volume, found)
        except (StoreError, ReplicationRefused) as error:
            raise RequestDenied("storage", str(error)) from error
        exchange.answer({})

    async def _copy(self, path: Path, found: Message) -> tuple[Copy, Volume]:
        """Return the copy of a volume of the peer, and make it if there is none."""
        peer_pool, identity = path.settings.peer_pool, found.content("volume")
        copy = self._records.copy_of(peer_pool, identity)
        volume = None if copy is None else volume_with(self._pool, copy.volume)
        if copy is not None and volume is not None:
            return copy, volume
        if copy is not None:
            self._records.remove_copy(copy.volume)
            await self._holds.release_unneeded(copy.path, copy.held)
        # A request of a link that has just been lost may still make the same copy.
        with self._received.changing([peer_pool + identity]):
            if self._records.copy_of(peer_pool, identity) is not None:
                raise RequestDenied(BUSY, "the copy has just been made")
            return await self._make_copy(path, found)

    async def _make_copy(self, path: Path, found: Message) -> tuple[Copy, Volume]:
        peer_pool, identity = path.settings.peer_pool, found.content("volume")
        made: list[Volume] = []
        attributes = {**_lun_attributes(found), COPY_ATTRIBUTE: identity.hex()}

        def make() -> None:
            peer_name = found.text("name").replace("@", "_")  # COPY@SNAPSHOT names a snapshot
            name = free_volume_name(self._pool, f"{NAME_PREFIX}/{path.settings.name}/{peer_name}", identity)
            made.append(self._pool.create_volume(name, found.number("size_blocks"), attributes))

        await self._holds.change(make)
        copy = Copy(made[0].identity, path.settings.name, peer_pool, identity, found.text("name"))
        try:
            await self._holds.change(lambda: self._records.put_copy(copy))
        except ReplicationRefused:
            await self._holds.change(lambda: self._pool.delete_volume(made[0].name))
            raise
        return copy, made[0]

    async def _fill(self, path: Path, exchange: Exchange, volume: Volume, found: Message) -> None:
        """Fill a copy with a snapshot, and continue where an earlier attempt was cut."""
        link = path.link
        if link is None:
            raise ChannelEnded("the link has ended")
        guid, size_blocks = found.content("snapshot"), found.number("size_blocks")
        fill = Fill(
            self._pool, path, volume, guid, self._hints.of(path.settings.secret), self._environment, found.content("base")
        )
        if fill.next_block is None or volume.size_blocks != size_blocks:
            await self._begin(fill, found)
        activity = self._received.begin_activity(volume.identity)
        now_s = self._environment.monotonic()
        transfer = activity.begin(Transfer(guid.hex(), 0.0, found.number("changed_blocks"), now_s))

        def check() -> None:
            if not exchange.is_open:
                raise ChannelEnded("the peer has given up the transfer")
            self._received.check_receiving(volume.identity)

        fill.on_part = check
        fill.on_receiver = transfer.follow
        try:
            await fill.attempt(link, 0, size_blocks)
            activity.problem = ""
            activity.results.note(transfer, self._environment.monotonic())
        except RequestDenied as denied:
            activity.problem = str(denied)
            raise
        finally:
            activity.transfer = None

    async def _begin(self, fill: Fill, found: Message) -> None:
        """Make the content of a copy that of the base again, and remember that the fill begins."""
        volume, size_blocks = fill.volume, found.number("size_blocks")
        change = self._holds.change
        # A mark must never outlive the content that it describes. A crash between these changes is followed by all of them.
        forget_marks(self._pool, volume.identity)
        if fill.base == HOLES:
            await change(lambda: volume.resize(1))
            await change(lambda: volume.unmap(0, 1))
        else:
            await change(lambda: volume.restore(self._pool.snapshots[fill.base]))
        if volume.size_blocks != size_blocks:
            await change(lambda: volume.resize(size_blocks))
        await change(lambda: volume.change_lineage(found.content("lineage")))
        sizes = _lun_attributes(found)
        if not sizes.items() <= volume.attributes.items():
            await change(lambda: volume.change_attributes({**volume.attributes, **sizes}))
        await change(fill.begin)


def _lun_attributes(found: Message) -> dict[str, str]:
    """Return the size and the logical block length of the LUN in a request to receive. Raises PeerFault."""
    block_bytes = found.number("block_bytes")
    if block_bytes not in (512, 4096):
        raise PeerFault("the logical block length of a snapshot is not 512 or 4096")
    return {SIZE_ATTRIBUTE: str(found.number("size_bytes")), BLOCK_ATTRIBUTE: str(block_bytes)}
