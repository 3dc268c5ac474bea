"""The receiving side: it fills copies with the snapshots of peers, compares their digests, and publishes them.

Hosts cannot see a copy. To receive a snapshot, the copy first becomes its base again, which is one record in the log. Then it
gets the differences. When the peer requests it, the content is compared with the digest of the peer's snapshot, and becomes a
snapshot with the same guid. If it differs, it is kept as a snapshot with another guid and a name that begins with `rejected`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from odx_target.environment import Environment
from odx_target.replica.blocks.fill import BUSY, HOLES, Fill, forget_marks, mark_of
from odx_target.replica.blocks.hint_tables import HintTables
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import ChannelEnded, PeerFault
from odx_target.replica.link.messages import Message, read_message
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.request_table import Group, Row
from odx_target.replica.snapshots import messages
from odx_target.replica.snapshots.holds import Holds
from odx_target.replica.snapshots.limits import MAX_RECEIVES, MAX_REJECTED_SNAPSHOTS, MAX_SERVED_REPLICATIONS
from odx_target.replica.snapshots.moments import moment_text
from odx_target.replica.snapshots.protection import (
    CLASS_ATTRIBUTE,
    COPY_ATTRIBUTE,
    KEPT_ATTRIBUTE,
    KEPT_REJECTED,
    NAME_PREFIX,
    Copy,
    Role,
)
from odx_target.replica.snapshots.pruning import prune, rejected
from odx_target.replica.snapshots.records import ReplicationRecords, ReplicationRefused, volume_with
from odx_target.replica.snapshots.sender import BLOCK_ATTRIBUTE, SIZE_ATTRIBUTE, Report
from odx_target.replica.snapshots.transfer import Activity, Transfer
from odx_target.store.api import BLOCK_BYTES, AdoptedSnapshot, Pool, Snapshot, StoreError, Volume

MAX_NAME_BYTES = 255
"""Maximum length of the name of a volume or snapshot in UTF-8."""

MAX_CREATED_US = 1 << 62
"""Largest time of a snapshot. A larger number cannot be stored."""

OWN_ATTRIBUTES = frozenset({"lun", "read_only", "compression", "tier", "schedule", COPY_ATTRIBUTE, KEPT_ATTRIBUTE})
"""Attributes that a peer cannot give to a snapshot, because each array chooses them itself."""

REPLICATION = Group("replication", MAX_SERVED_REPLICATIONS)

UNEQUAL = "a received snapshot is not equal to that of the peer"
KEPT = "received snapshots are kept beyond their retention"


class _Item(NamedTuple):
    """One snapshot of a request to publish."""

    volume: bytes
    guid: bytes
    name: str
    created_us: int
    size_blocks: int
    digest: bytes


class SnapshotReceiver:
    """Serves the requests of the sending sides of all paths."""

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        records: ReplicationRecords,
        holds: Holds,
        hints: HintTables,
        report: Report,
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._records = records
        self._holds = holds
        self._hints = hints
        self._report = report
        self._busy: set[bytes] = set()
        """Identities of the volumes that are filled or published now."""
        self._receives: Counter[bytes] = Counter()
        """Number of snapshots that are received now, by the pool of the peer."""
        self.activities: dict[bytes, Activity] = {}
        """The activity of each copy, by the identity of its volume."""

    def rows(self) -> dict[str, Row]:
        """Return the functions that serve the requests, for the table of requests."""
        return {
            messages.BASES_REQUEST: Row(Right.REPLICATE, self._serve_bases, REPLICATION),
            messages.RECEIVE_REQUEST: Row(Right.REPLICATE, self._serve_receive, REPLICATION),
            messages.PUBLISH_REQUEST: Row(Right.REPLICATE, self._serve_publish, REPLICATION),
            messages.SETTLE_REQUEST: Row(Right.REPLICATE, self._serve_settle, REPLICATION),
        }

    @contextmanager
    def changing(self, volumes: Iterable[bytes]) -> Iterator[None]:
        """Reserve copies for one change. Raises RequestDenied if one of them is filled, published or changed now."""
        wanted = set(volumes)
        if wanted & self._busy:
            raise RequestDenied(BUSY, "the copy is in use")
        self._busy |= wanted
        try:
            yield
        finally:
            self._busy -= wanted

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

    def activity(self, volume: bytes) -> Activity:
        """Return what a copy does now, and what it has done since the start of the array."""
        return self.activities.get(volume) or Activity()

    def is_busy(self, volume: bytes) -> bool:
        """True if a copy is filled, published or changed now."""
        return volume in self._busy

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
            raise RequestDenied("absent", "the base of the snapshot was deleted")
        try:
            copy, volume = await self._copy(path, found)
            self._check_receiving(copy.volume)
            if guid not in self._pool.snapshots:
                with self._receiving(path.settings.peer_pool), self.changing([volume.identity]):
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
        with self.changing([peer_pool + identity]):
            if self._records.copy_of(peer_pool, identity) is not None:
                raise RequestDenied(BUSY, "the copy has just been made")
            return await self._make_copy(path, found)

    async def _make_copy(self, path: Path, found: Message) -> tuple[Copy, Volume]:
        peer_pool, identity = path.settings.peer_pool, found.content("volume")
        made: list[Volume] = []
        attributes = {**_lun_attributes(found), COPY_ATTRIBUTE: identity.hex()}

        def make() -> None:
            peer_name = found.text("name").replace("@", "_")  # COPY@SNAPSHOT names a snapshot
            name = self._free_name(f"{NAME_PREFIX}/{path.settings.name}/{peer_name}", identity)
            made.append(self._pool.create_volume(name, found.number("size_blocks"), attributes))

        await self._holds.change(make)
        copy = Copy(made[0].identity, path.settings.name, peer_pool, identity, found.text("name"))
        try:
            await self._holds.change(lambda: self._records.put_copy(copy))
        except ReplicationRefused:
            await self._holds.change(lambda: self._pool.delete_volume(made[0].name))
            raise
        return copy, made[0]

    def _free_name(self, name: str, identity: bytes) -> str:
        """Return a name for a new copy. Another volume may have the name already, for instance that of a deleted volume."""
        name = _shortened(name, MAX_NAME_BYTES)
        return name if name not in self._pool.volumes else _made_unique(name, identity)

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
        activity = self.activities.setdefault(volume.identity, Activity())
        now_s = self._environment.monotonic()
        transfer = activity.begin(Transfer(guid.hex(), 0.0, found.number("changed_blocks"), now_s))

        def check() -> None:
            if not exchange.is_open:
                raise ChannelEnded("the peer has given up the transfer")
            self._check_receiving(volume.identity)

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

    async def _serve_publish(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        found = read_message(messages.PUBLISH_FIELDS, document)
        items = _items(found)
        try:
            copies = [self._receiving_copy(path, item) for item in items]
            with self.changing([copy.volume for copy in copies]):
                await self._publish(found, items, copies)
                await self._prune([copy.volume for copy in copies], are_settled=False)
        except StoreError as error:
            raise RequestDenied("storage", str(error)) from error
        exchange.answer({})

    def _receiving_copy(self, path: Path, item: _Item) -> Copy:
        copy = self._records.copy_of(path.settings.peer_pool, item.volume)
        if copy is None or volume_with(self._pool, copy.volume) is None:
            raise RequestDenied("absent", "the array has no copy of the volume")
        return self._check_receiving(copy.volume)

    async def _publish(self, found: Message, items: Sequence[_Item], copies: Sequence[Copy]) -> None:
        """Compare the copies with the snapshots, and take all snapshots in one batch, or none."""
        pool = self._pool
        new = [(item, copy) for item, copy in zip(items, copies, strict=True) if item.guid not in pool.snapshots]
        volumes = {copy.volume: volume_with(pool, copy.volume) for _, copy in new}
        unequal = []
        for item in items:
            present = pool.snapshots.get(item.guid)
            if present is not None and not await _is_equal(present, item):
                raise RequestDenied(messages.UNEQUAL, "the array has another snapshot with this guid")
        for item, copy in new:
            volume = volumes[copy.volume]
            assert volume is not None
            mark = mark_of(pool, item.guid)
            if mark is None or mark.volume != copy.volume or mark.end != item.size_blocks:
                raise RequestDenied("absent", "the snapshot has not been received")
            if mark.lost or volume.size_blocks != item.size_blocks or await self._digest(volume) != item.digest:
                unequal.append((volume, mark.lost))
        if unequal:
            await self._reject(unequal)
            raise RequestDenied(messages.UNEQUAL, _unequal_text(unequal))
        if new:
            adopted = [self._adopted(found, item, volumes[copy.volume]) for item, copy in new]

            def adopt() -> None:
                # A copy may have been promoted during the comparison.
                for copy in copies:
                    self._check_receiving(copy.volume)
                pool.adopt_snapshots(adopted)

            await self._holds.change(adopt)
        name, keep = found.text("class"), found.number("keep")
        for item, copy in zip(items, copies, strict=True):
            snapshot = pool.snapshots.get(item.guid)
            if snapshot is None:
                raise RequestDenied("absent", "the snapshot was deleted")
            await self._holds.hold(copy.path, [snapshot])
            await self._holds.change(partial(self._note_held, copy.volume, item.guid, name, keep))
            forget_marks(pool, copy.volume)
            results = self.activities.setdefault(copy.volume, Activity()).results
            results.remote_snapshot_timestamp = item.created_us / 1_000_000
        await self._holds.durable()

    def _note_held(self, volume: bytes, guid: bytes, name: str, keep: int) -> None:
        """Note that a copy has a snapshot, and how many of its class are kept. May raise the exceptions of `Volume.write`."""
        copy = self._check_receiving(volume)
        held = (*(each for each in copy.held if each != guid), guid)
        self._records.put_copy(replace(copy, held=held, keep={**copy.keep, name: keep}))

    def _note_settled(self, volume: bytes, guid: bytes) -> None:
        """Note that the peer holds a snapshot. Later ones stay. May raise the exceptions of `Volume.write`."""
        copy = self._records.copies.get(volume)
        if copy is not None and guid in copy.held:
            self._records.put_copy(replace(copy, held=copy.held[copy.held.index(guid) :]))

    def _check_receiving(self, volume: bytes) -> Copy:
        """Return the present record of a copy. Raises RequestDenied if the copy receives no more."""
        copy = self._records.copies.get(volume)
        if copy is None or copy.role is Role.PROMOTED:
            raise RequestDenied(messages.PROMOTED, "the peer has promoted its copy of the volume")
        return copy

    async def _digest(self, volume: Volume) -> bytes:
        frozen = volume.freeze()
        try:
            return await frozen.digest()
        finally:
            frozen.release()

    def _adopted(self, found: Message, item: _Item, volume: Volume | None) -> AdoptedSnapshot:
        assert volume is not None
        names, values = found.texts("attribute_names"), found.texts("attribute_values")
        given = {name: value for name, value in zip(names, values, strict=False) if name not in OWN_ATTRIBUTES}
        own = {name: volume.attributes[name] for name in (SIZE_ATTRIBUTE, BLOCK_ATTRIBUTE) if name in volume.attributes}
        attributes = {**given, **own, CLASS_ATTRIBUTE: found.text("class")}
        name = free_snapshot_name(volume, item.name, item.guid)
        return AdoptedSnapshot(volume.name, name, item.guid, item.created_us / 1_000_000, found.content("group"), attributes)

    async def _reject(self, unequal: Sequence[tuple[Volume, int]]) -> None:
        """Keep the latest content of copies that are not equal, and report it. The next attempt begins anew."""
        moment = moment_text(self._environment.time())
        for volume, _ in unequal:
            name = free_snapshot_name(volume, f"rejected-{moment}", self._environment.entropy(messages.GUID_BYTES))
            forget_marks(self._pool, volume.identity)
            for former in rejected(volume)[: -(MAX_REJECTED_SNAPSHOTS - 1)]:
                await self._holds.change(former.delete)
            await self._holds.change(
                lambda volume=volume, name=name: volume.snapshot(name, {KEPT_ATTRIBUTE: KEPT_REJECTED})  # type: ignore[misc]
            )
            self._report("error", UNEQUAL, cause=volume.name, volume=volume.name, snapshot=name)
            self.activities.setdefault(volume.identity, Activity()).problem = f"{UNEQUAL}; it is kept as {name}"
        await self._holds.durable()

    async def _prune(self, volumes: Sequence[bytes], *, are_settled: bool) -> None:
        """Delete received snapshots that the retention does not keep. A failure only delays it.

        Until they are settled, the former common snapshots are still held, so it is not reported that they are kept.
        """
        for identity in volumes:
            volume, copy = volume_with(self._pool, identity), self._records.copies.get(identity)
            if volume is None or copy is None:
                continue
            try:
                kept = await prune(self._pool, self._holds, volume, copy.keep)
                self._pool.commit()
            except StoreError as error:
                self._report("warning", "old received snapshots cannot be deleted now", cause=volume.name, error=str(error))
                continue
            if kept and are_settled:
                first = kept[0]
                self._report(
                    "info", KEPT, cause=volume.name, volume=volume.name, count=len(kept), first=first.snapshot.name,
                    reason=first.reason,
                )  # fmt: skip

    async def _serve_settle(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Remove the holds on all snapshots of a copy before the one that the peer holds."""
        found = read_message(messages.SETTLE_FIELDS, document)
        guid = found.content("snapshot")
        copy = self._records.copy_of(path.settings.peer_pool, found.content("volume"))
        snapshot: Snapshot | None = self._pool.snapshots.get(guid)
        if copy is None or snapshot is None or guid not in copy.held:
            raise RequestDenied("absent", "the array does not hold the snapshot")
        try:
            if copy.held[0] != guid:
                await self._holds.change(partial(self._note_settled, copy.volume, guid))
                await self._holds.release_unneeded(copy.path, copy.held)
                await self._holds.durable()
            await self._prune([copy.volume], are_settled=True)
        except StoreError as error:
            raise RequestDenied("storage", str(error)) from error
        exchange.answer({})


def _lun_attributes(found: Message) -> dict[str, str]:
    """Return the size and the logical block length of the LUN in a request to receive. Raises PeerFault."""
    block_bytes = found.number("block_bytes")
    if block_bytes not in (512, 4096):
        raise PeerFault("the logical block length of a snapshot is not 512 or 4096")
    return {SIZE_ATTRIBUTE: str(found.number("size_bytes")), BLOCK_ATTRIBUTE: str(block_bytes)}


def _items(found: Message) -> list[_Item]:
    """Return the snapshots of a request to publish. Raises PeerFault if its lists do not fit together."""
    guids = messages.decode_guids(found.texts("snapshots"))
    lists = (
        messages.decode_guids(found.texts("volumes")),
        guids,
        found.texts("names"),
        found.numbers("created_us"),
        found.numbers("sizes"),
        messages.decode_guids(found.texts("digests")),
    )
    if len({len(each) for each in lists}) > 1 or len(found.texts("attribute_names")) != len(found.texts("attribute_values")):
        raise PeerFault("the lists of a request to publish snapshots have different lengths")
    if len(set(guids)) < len(guids) or len(set(lists[0])) < len(guids):
        raise PeerFault("a request to publish snapshots names a snapshot or a volume twice")
    if any(not name for name in found.texts("names")):
        raise PeerFault("a snapshot has no name")
    if any(not 0 <= each <= MAX_CREATED_US for each in found.numbers("created_us")):
        raise PeerFault("a snapshot has a time that is out of range")
    return [_Item(*each) for each in zip(*lists, strict=True)]


async def _is_equal(snapshot: Snapshot, item: _Item) -> bool:
    return snapshot.size_blocks == item.size_blocks and await snapshot.digest() == item.digest


def free_snapshot_name(volume: Volume, name: str, guid: bytes) -> str:
    """Return a name for a new snapshot of a volume, which may have a snapshot of this name already."""
    return name if name not in volume.snapshots else _made_unique(name, guid)


def _made_unique(name: str, identity: bytes) -> str:
    """Return a name that nothing else has, with an identity at its end."""
    suffix = f"~{identity.hex()}"
    return _shortened(name, MAX_NAME_BYTES - len(suffix)) + suffix


def _shortened(name: str, size_bytes: int) -> str:
    """Return the beginning of a name that fits into a size in UTF-8."""
    return name.encode()[:size_bytes].decode(errors="ignore")


def _unequal_text(unequal: Sequence[tuple[Volume, int]]) -> str:
    lost = sum(count for _, count in unequal)
    if lost:
        return f"{lost} blocks of the snapshot cannot be read"
    return "the copy has another digest than the snapshot"
