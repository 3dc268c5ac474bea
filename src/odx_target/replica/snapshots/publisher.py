"""Publication of received snapshots: their content is compared with the digests of the peer, and then they are taken.

If the content of a copy differs from the peer's snapshot, it is kept as a snapshot with another guid and a name that begins
with `rejected`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from odx_target.environment import Environment
from odx_target.replica.blocks.fill import forget_marks, mark_of
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.messages import Message, read_message
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.request_table import Row
from odx_target.replica.snapshots import messages
from odx_target.replica.snapshots.free_names import free_snapshot_name
from odx_target.replica.snapshots.holds import Holds
from odx_target.replica.snapshots.limits import MAX_REJECTED_SNAPSHOTS
from odx_target.replica.snapshots.moments import moment_text
from odx_target.replica.snapshots.protection import (
    CLASS_ATTRIBUTE,
    COPY_ATTRIBUTE,
    KEPT_ATTRIBUTE,
    KEPT_REJECTED,
    SIZES,
    Copy,
)
from odx_target.replica.snapshots.pruning import rejected
from odx_target.replica.snapshots.received_copies import REPLICATION, ReceivedCopies
from odx_target.replica.snapshots.records import ReplicationRecords, volume_with
from odx_target.replica.snapshots.reporting import Report
from odx_target.store.api import AdoptedSnapshot, Pool, Snapshot, StoreError, Volume

MAX_CREATED_US = 1 << 62
"""Largest time of a snapshot. A larger number cannot be stored."""

OWN_ATTRIBUTES = frozenset({"lun", "read_only", "compression", "tier", "schedule", COPY_ATTRIBUTE, KEPT_ATTRIBUTE})
"""Attributes that a peer cannot give to a snapshot, because each array chooses them itself."""

UNEQUAL = "a received snapshot is not equal to that of the peer"


class _Item(NamedTuple):
    """One snapshot of a request to publish."""

    volume: bytes
    guid: bytes
    name: str
    created_us: int
    size_blocks: int
    digest: bytes


class SnapshotPublisher:
    """Serves the requests of peers to publish the snapshots that this array has received."""

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        records: ReplicationRecords,
        holds: Holds,
        received: ReceivedCopies,
        report: Report,
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._records = records
        self._holds = holds
        self._received = received
        self._report = report

    def rows(self) -> dict[str, Row]:
        """Return the functions that serve the requests, for the table of requests."""
        return {
            messages.PUBLISH_REQUEST: Row(Right.REPLICATE, self._serve_publish, REPLICATION),
            messages.SETTLE_REQUEST: Row(Right.REPLICATE, self._serve_settle, REPLICATION),
        }

    async def _serve_publish(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        found = read_message(messages.PUBLISH_FIELDS, document)
        items = _items(found)
        try:
            copies = [self._receiving_copy(path, item) for item in items]
            with self._received.changing([copy.volume for copy in copies]):
                await self._publish(found, items, copies)
                await self._received.prune([copy.volume for copy in copies], are_settled=False)
        except StoreError as error:
            raise RequestDenied("storage", str(error)) from error
        exchange.answer({})

    def _receiving_copy(self, path: Path, item: _Item) -> Copy:
        copy = self._records.copy_of(path.settings.peer_pool, item.volume)
        if copy is None or volume_with(self._pool, copy.volume) is None:
            raise RequestDenied(messages.ABSENT, "the array has no copy of the volume")
        return self._received.check_receiving(copy.volume)

    async def _publish(self, found: Message, items: Sequence[_Item], copies: Sequence[Copy]) -> None:
        """Compare the copies with the snapshots, and take all snapshots in one batch, or none."""
        pool = self._pool
        new = [(item, copy) for item, copy in zip(items, copies, strict=True) if item.guid not in pool.snapshots]
        volumes = {copy.volume: volume_with(pool, copy.volume) for _, copy in new}
        await self._check_equal(items, new, volumes)
        if new:
            adopted = [self._adopted(found, item, volumes[copy.volume]) for item, copy in new]

            def adopt() -> None:
                # A copy may have been promoted during the comparison.
                for copy in copies:
                    self._received.check_receiving(copy.volume)
                pool.adopt_snapshots(adopted)

            await self._holds.change(adopt)
        name, keep = found.text("class"), found.number("keep")
        for item, copy in zip(items, copies, strict=True):
            snapshot = pool.snapshots.get(item.guid)
            if snapshot is None:
                raise RequestDenied(messages.ABSENT, "the snapshot was deleted")
            await self._holds.hold(copy.path, [snapshot])
            await self._holds.change(partial(self._note_held, copy.volume, item.guid, name, keep))
            forget_marks(pool, copy.volume)
            results = self._received.begin_activity(copy.volume).results
            results.remote_snapshot_timestamp = item.created_us / 1_000_000
        await self._holds.durable()

    async def _check_equal(
        self, items: Sequence[_Item], new: Sequence[tuple[_Item, Copy]], volumes: Mapping[bytes, Volume | None]
    ) -> None:
        """Compare all snapshots with those of the peer. Raises RequestDenied if one differs, and keeps its content."""
        pool = self._pool
        for item in items:
            present = pool.snapshots.get(item.guid)
            if present is not None and not await _is_equal(present, item):
                raise RequestDenied(messages.UNEQUAL, "the array has another snapshot with this guid")
        unequal = []
        for item, copy in new:
            volume = volumes[copy.volume]
            assert volume is not None
            mark = mark_of(pool, item.guid)
            if mark is None or mark.volume != copy.volume or mark.end != item.size_blocks:
                raise RequestDenied(messages.ABSENT, "the snapshot has not been received")
            if mark.lost or volume.size_blocks != item.size_blocks or await self._digest(volume) != item.digest:
                unequal.append((volume, mark.lost))
        if unequal:
            await self._reject(unequal)
            raise RequestDenied(messages.UNEQUAL, _unequal_text(unequal))

    def _note_held(self, volume: bytes, guid: bytes, name: str, keep: int) -> None:
        """Note that a copy has a snapshot, and how many of its class are kept. May raise the exceptions of `Volume.write`."""
        copy = self._received.check_receiving(volume)
        held = (*(each for each in copy.held if each != guid), guid)
        self._records.put_copy(replace(copy, held=held, keep={**copy.keep, name: keep}))

    def _note_settled(self, volume: bytes, guid: bytes) -> None:
        """Note that the peer holds a snapshot. Later ones stay. May raise the exceptions of `Volume.write`."""
        copy = self._records.copies.get(volume)
        if copy is not None and guid in copy.held:
            self._records.put_copy(replace(copy, held=copy.held[copy.held.index(guid) :]))

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
        own = {name: volume.attributes[name] for name in SIZES if name in volume.attributes}
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
            self._received.begin_activity(volume.identity).problem = f"{UNEQUAL}; it is kept as {name}"
        await self._holds.durable()

    async def _serve_settle(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Remove the holds on all snapshots of a copy before the one that the peer holds."""
        found = read_message(messages.SETTLE_FIELDS, document)
        guid = found.content("snapshot")
        copy = self._records.copy_of(path.settings.peer_pool, found.content("volume"))
        snapshot: Snapshot | None = self._pool.snapshots.get(guid)
        if copy is None or snapshot is None or guid not in copy.held:
            raise RequestDenied(messages.ABSENT, "the array does not hold the snapshot")
        self._received.check_receiving(copy.volume)
        try:
            if copy.held[0] != guid:
                await self._holds.change(partial(self._note_settled, copy.volume, guid))
                await self._holds.release_unneeded(copy.path, copy.held)
                await self._holds.durable()
            await self._received.prune([copy.volume], are_settled=True)
        except StoreError as error:
            raise RequestDenied("storage", str(error)) from error
        exchange.answer({})


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


def _unequal_text(unequal: Sequence[tuple[Volume, int]]) -> str:
    lost = sum(count for _, count in unequal)
    if lost:
        return f"{lost} blocks of the snapshot cannot be read"
    return "the copy has another digest than the snapshot"
