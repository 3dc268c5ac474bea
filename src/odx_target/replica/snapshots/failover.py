"""Failover and failback: a copy becomes a volume of its own, and the former source becomes the copy.

A copy is promoted at the array that has received it, even if the other array is lost. The other array keeps its volume, which
hosts may have changed since the last common snapshot. When it is there again, its operator reverses the protection: the changes
are kept as a snapshot whose name begins with `diverged`, and the volume receives from then on. Both arrays have the last common
snapshot, so only differences are sent.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from odx_target.environment import Environment
from odx_target.replica.blocks.fill import forget_marks
from odx_target.replica.blocks.limits import MAX_WAIT_S
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded, ConnectionEnded, PeerFault, TooManyChannels
from odx_target.replica.link.hello import Farewell
from odx_target.replica.link.messages import Message, read_message, shortened
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.snapshots import messages
from odx_target.replica.snapshots.free_names import free_snapshot_name
from odx_target.replica.snapshots.holds import Holds
from odx_target.replica.snapshots.limits import MAX_KEEP
from odx_target.replica.snapshots.moments import moment_text
from odx_target.replica.snapshots.protection import (
    COPY_ATTRIBUTE,
    KEPT_ATTRIBUTE,
    SIZES,
    Copy,
    Protection,
    Role,
    Trigger,
)
from odx_target.replica.snapshots.received_copies import ReceivedCopies
from odx_target.replica.snapshots.records import ReplicationRecords, ReplicationRefused, volume_with
from odx_target.replica.snapshots.sender import SnapshotSender
from odx_target.scsi.unit.sanitize_operation import has_record
from odx_target.store.api import Pool, Snapshot, StoreError, Volume

WAIT_S = 0.05
"""Time between two looks if a copy that is to be promoted still receives."""

MAX_WAITS = 200
"""Number of these looks. A transfer ends at its next part, or with its link."""


class Failover:
    """Promotes copies, and reverses protections."""

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        records: ReplicationRecords,
        holds: Holds,
        sender: SnapshotSender,
        received: ReceivedCopies,
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._records = records
        self._holds = holds
        self._sender = sender
        self._received = received

    async def promote(self, copy: Copy, snapshot: Snapshot | None, restore: Callable[[Volume, Snapshot], object]) -> Volume:
        """Make a copy a volume of its own with the content of a snapshot, and receive no more. None is the newest received one.

        `restore` restores the snapshot to the volume, and may raise PoolBusy. After a crash, another call completes the change.
        Raises ReplicationRefused. May raise the exceptions of `Volume.write`.
        """
        volume = volume_with(self._pool, copy.volume)
        if volume is None or (copy.role is Role.PROMOTED and COPY_ATTRIBUTE not in volume.attributes):
            raise ReplicationRefused(f"the copy of {copy.peer_name} was promoted already, or deleted")
        change = self._holds.change
        await change(lambda: self._records.put_copy(replace(self._records.copies[copy.volume], role=Role.PROMOTED)))
        await self._holds.durable()
        for _ in range(MAX_WAITS):
            if not self._received.is_busy(copy.volume):
                break
            await self._environment.sleep(WAIT_S)
        try:
            with self._received.changing([copy.volume]):
                chosen = snapshot or self._newest(copy.volume)
                forget_marks(self._pool, copy.volume)
                await change(lambda: restore(volume, chosen))
                await change(lambda: volume.change_lineage(chosen.lineage))
                attributes = {name: value for name, value in volume.attributes.items() if name != COPY_ATTRIBUTE}
                await change(lambda: volume.change_attributes(attributes))
        except RequestDenied as denied:
            raise ReplicationRefused("the copy still receives; try again") from denied
        await self._holds.durable()
        return volume

    def _newest(self, volume: bytes) -> Snapshot:
        copy = self._records.copies[volume]
        found = self._pool.snapshots.get(copy.held[-1]) if copy.held else None
        if found is None:
            raise ReplicationRefused(f"the copy of {copy.peer_name} has no snapshot yet")
        return found

    async def reverse(
        self, protection: Protection, path: Path, withdraw: Callable[[Volume], Awaitable[None]]
    ) -> list[Snapshot]:
        """Receive the volumes of a protection from the peer, which has promoted its copies, instead of sending them.

        `withdraw` takes a volume away from hosts. Returns the snapshots with the changes that the peer does not have. After a
        crash or a cut, another call completes the change. Raises ReplicationRefused, and the exceptions of `Volume.write`.
        """
        peers = await self._peer_volumes(path, protection.volumes)
        for identity in protection.volumes:
            await withdraw(self._volume(protection, identity))
        kept = await self._demote(protection, peers)
        await self._ask(path, protection.volumes, begin=True, protection=protection)
        # A transfer that has just ended may have noted another common snapshot.
        common = self._records.protections.get(protection.name, protection).common
        self._records.remove_protection(protection.name)
        await self._holds.release_unneeded(protection.path, [*common.values(), *self._sender.forget(protection.name)])
        await self._holds.durable()
        return kept

    def _volume(self, protection: Protection, identity: bytes) -> Volume:
        volume = volume_with(self._pool, identity)
        if volume is None:
            raise ReplicationRefused(f"a volume of the protection {protection.name} was deleted")
        return volume

    async def _peer_volumes(self, path: Path, volumes: Sequence[bytes]) -> list[tuple[bytes, str]]:
        """Return the identities and names of the promoted copies of volumes at the peer.

        Raises ReplicationRefused if the peer has not promoted all of them.
        """
        answer = await self._ask(path, volumes, begin=False)
        identities = messages.decode_guids(answer.texts("volumes"))
        names = answer.texts("names")
        if len(identities) != len(volumes) or len(names) != len(volumes):
            raise ReplicationRefused("the peer has answered with another number of volumes")
        return list(zip(identities, names, strict=True))

    async def _demote(self, protection: Protection, peers: Sequence[tuple[bytes, str]]) -> list[Snapshot]:
        """Make the volumes of a protection copies of the peer's volumes. Returns the snapshots that keep their changes."""
        change, kept = self._holds.change, []
        for identity, (peer_volume, peer_name) in zip(protection.volumes, peers, strict=True):
            volume = self._volume(protection, identity)
            if COPY_ATTRIBUTE not in volume.attributes:
                kept += await self._keep_changes(volume, protection.common.get(identity))
            copy = self._begun(protection, identity, peer_volume)
            if copy is None:
                held = tuple(each for each in (protection.common.get(identity),) if each is not None)
                copy = Copy(identity, protection.path, protection.peer_pool, peer_volume, peer_name, held=held)
            await change(lambda copy=copy: self._records.put_copy(copy))  # type: ignore[misc]
            attributes = {**volume.attributes, COPY_ATTRIBUTE: peer_volume.hex()}
            await change(
                lambda volume=volume, attributes=attributes: volume.change_attributes(attributes)  # type: ignore[misc]
            )
        await self._holds.durable()
        return kept

    def _begun(self, protection: Protection, volume: bytes, peer_volume: bytes) -> Copy | None:
        """Return the copy that an earlier call of `reverse` has made, which may have received snapshots since."""
        copy = self._records.copies.get(volume)
        if copy is None or copy.role is not Role.RECEIVING:
            return None
        return copy if (copy.peer_pool, copy.peer_volume) == (protection.peer_pool, peer_volume) else None

    async def serve_reverse(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Serve the request of a peer whose volumes become copies of the promoted volumes of this array."""
        found = read_message(messages.REVERSE_FIELDS, document)
        identities = messages.decode_guids(found.texts("volumes"))
        names, counts = found.texts("keep_names"), found.numbers("keep_counts")
        if len(set(identities)) < len(identities) or len(names) != len(counts):
            raise PeerFault("a request to reverse names a volume twice, or has lists of different lengths")
        if found.text("trigger") not in list(Trigger) or not all(0 <= each <= MAX_KEEP for each in counts):
            raise PeerFault("a request to reverse has an unknown trigger, or a wrong number of snapshots to keep")
        volumes = [self._promoted(path, each) for each in identities]
        if found.number("begin"):
            try:
                await self._protect(path, found, volumes)
            except (StoreError, ReplicationRefused) as error:
                raise RequestDenied("storage", str(error)) from error
        exchange.answer(
            {"volumes": [each.identity.hex() for each in volumes], "names": [shortened(each.name) for each in volumes]}
        )

    def _promoted(self, path: Path, peer_volume: bytes) -> Volume:
        """Return the promoted copy of a volume of the peer, or the volume whose protection has begun already."""
        copy = self._records.copy_of(path.settings.peer_pool, peer_volume)
        volume = None if copy is None else volume_with(self._pool, copy.volume)
        if copy is None or volume is None or copy.role is not Role.PROMOTED or COPY_ATTRIBUTE in volume.attributes:
            raise RequestDenied(messages.ABSENT, "the array has not promoted its copy of the volume")
        other = self._records.protection_of(volume.identity)
        if other is not None and other.peer_pool != path.settings.peer_pool:
            raise RequestDenied(messages.ABSENT, "the array sends the promoted volume to another array already")
        return volume

    async def _protect(self, path: Path, found: Message, volumes: Sequence[Volume]) -> None:
        """Protect promoted volumes. The records of the copies stay until both arrays have a newer common snapshot."""
        is_group = found.number("is_group") == 1
        name = found.text("name") if is_group else volumes[0].name
        identities = tuple(each.identity for each in volumes)
        former = self._records.protection_of(volumes[0].identity)
        if former is not None and set(former.volumes) == set(identities):
            return
        if name in self._records.protections:
            raise ReplicationRefused(f"the array has a protection {name} already")
        for each in volumes:
            other = self._records.protection_of(each.identity)
            if other is not None:
                raise ReplicationRefused(f"volume {each.name} belongs to the protection {other.name} already")
        names, counts = found.texts("keep_names"), found.numbers("keep_counts")
        copies = self._records.sent_back(identities, path.settings.peer_pool)
        protection = Protection(
            name,
            path.settings.name,
            path.settings.peer_pool,
            identities,
            is_group,
            Trigger(found.text("trigger")),
            dict(zip(names, counts, strict=False)),
            {copy.volume: copy.held[-1] for copy in copies},
        )
        await self._holds.change(lambda: self._records.put_protection(protection))
        for copy in copies:
            await self._holds.release_unneeded(copy.path, copy.held)
        await self._holds.durable()
        self._sender.retry(name)

    async def _ask(self, path: Path, volumes: Sequence[bytes], *, begin: bool, protection: Protection | None = None) -> Message:
        """Make the request `reverse`. Raises ReplicationRefused."""
        link = path.link
        if link is None:
            raise ReplicationRefused(f"the path {path.settings.name} is not connected")
        keep = {} if protection is None else protection.keep_there
        document: dict[str, Json] = {
            "request": messages.REVERSE_REQUEST,
            "volumes": [each.hex() for each in volumes],
            "begin": int(begin),
            "is_group": int(protection is not None and protection.is_group),
            "name": "-" if protection is None else shortened(protection.name),
            "trigger": Trigger.EACH.value if protection is None else protection.trigger.value,
            "keep_names": list(keep),
            "keep_counts": list(keep.values()),
        }
        try:
            exchange = await link.request(document, TrafficClass.SNAPSHOT, MAX_WAIT_S)
            try:
                return read_message(messages.REVERSE_ANSWER_FIELDS, await exchange.answered())
            finally:
                exchange.close()
        except RequestDenied as denied:
            raise ReplicationRefused(f"the other array refuses: {denied}") from denied
        except (ChannelEnded, ConnectionEnded, TooManyChannels) as error:
            raise ReplicationRefused(str(error)) from error
        except PeerFault as fault:
            link.end(Farewell.FAULT, str(fault))
            raise ReplicationRefused(str(fault)) from fault

    async def _keep_changes(self, volume: Volume, common: bytes | None) -> list[Snapshot]:
        """Take a snapshot of a volume if it differs from the last common snapshot."""
        base = None if common is None else self._pool.snapshots.get(common)
        if base is not None and not await self._differs(base, volume):
            return []
        moment = moment_text(self._environment.time())
        name = free_snapshot_name(volume, f"diverged-{moment}", self._environment.entropy(messages.GUID_BYTES))
        # The class and the schedule of the base are left out: a retention must not delete what hosts have changed.
        sizes = {name: volume.attributes[name] for name in SIZES if name in volume.attributes}
        made: list[Snapshot] = []

        def keep() -> None:
            if has_record(self._pool, volume.identity):
                raise ReplicationRefused(f"volume {volume.name} is being sanitized: make it a LUN again until it is")
            made.append(volume.snapshot(name, {**sizes, KEPT_ATTRIBUTE: "diverged"}))

        await self._holds.change(keep)
        return made

    async def _differs(self, base: Snapshot, volume: Volume) -> bool:
        if base.size_blocks != volume.size_blocks:
            return True
        async with aclosing(self._pool.changed_ranges(base, volume)) as stream:
            async for part in stream:
                if len(part.blocks):
                    return True
        return False
