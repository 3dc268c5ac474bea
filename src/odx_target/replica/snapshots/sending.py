"""The steps of a transfer at the sending side.

A snapshot is sent in four steps. The sender finds a base, which both arrays have. It requests the peer to receive the snapshot,
and the peer then requests its blocks. It requests the peer to publish the snapshot, which the peer does only if the digests are
equal. At last it moves its hold from the former common snapshot to this one, after the peer has confirmed that it is durable,
and requests the peer to do the same. If a step fails, all steps that are not complete are repeated. The peer continues where it
was cut, so nothing is sent twice but a few blocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from odx_target.environment import Environment
from odx_target.replica.blocks.limits import MAX_WAIT_S
from odx_target.replica.blocks.requests import HOLES
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.messages import Field, Message, read_message, shortened
from odx_target.replica.paths.exchange import RequestDenied
from odx_target.replica.paths.link import Link
from odx_target.replica.snapshots import messages
from odx_target.replica.snapshots.choice import base_questions, count_changes, next_snapshots
from odx_target.replica.snapshots.holds import Holds
from odx_target.replica.snapshots.limits import MAX_BASE_QUESTIONS, MAX_REJECTIONS, MIN_PUBLISHED_BLOCKS_PER_S, MIN_RETRY_S
from odx_target.replica.snapshots.protection import BLOCK_ATTRIBUTE, MANUAL, SIZE_ATTRIBUTE, Protection
from odx_target.replica.snapshots.records import ReplicationRecords, volume_with
from odx_target.replica.snapshots.reporting import Report
from odx_target.replica.snapshots.transfer import Activity, Transfer
from odx_target.store.api import BLOCK_BYTES, Absent, DamagedBlock, Pool, Snapshot, Unreadable

UNREADABLE = "a snapshot cannot be read, and so not be sent"
NOTHING_TO_SETTLE = frozenset({messages.ABSENT, messages.PROMOTED})
"""Codes of denials after which the peer holds no former snapshot of the copy for this array."""
REJECTED = "the peer has rejected a snapshot, because its copy is not equal"


class SnapshotClass(NamedTuple):
    """The class of a snapshot for the retention at the peer, and the number of its snapshots to keep; 0 keeps all of them."""

    name: str
    keep: int


ClassOf = Callable[[Snapshot], SnapshotClass | None]
"""Returns the class of a snapshot. None if no schedule has taken it."""


@dataclass
class Sending(Activity):
    """The state of a protection. `rejections` counts them by guid, and `failed` are snapshots that are not sent any more."""

    retry_at_s: float = 0.0
    retry_s: float = MIN_RETRY_S
    rejections: dict[bytes, int] = field(default_factory=dict)
    failed: set[bytes] = field(default_factory=set)
    held: set[bytes] = field(default_factory=set)
    """Guids of the snapshots that were held for attempts, and that may not be needed any more."""
    settled: set[bytes] = field(default_factory=set)
    """Guids of the common snapshots before which the peer holds none. After a start, the peer is asked again."""


class SendingSteps:
    """Sends the next snapshots of a protection. `class_of` returns the class of a snapshot."""

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        records: ReplicationRecords,
        holds: Holds,
        class_of: ClassOf,
        report: Report,
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._records = records
        self._holds = holds
        self._class_of = class_of
        self._report = report

    async def send_next(self, protection: Protection, link: Link, sending: Sending) -> bool:
        """Send the next snapshots of a protection. Returns False if there are none.

        Raises RequestDenied, PeerFault, ChannelEnded, ConnectionEnded, TooManyChannels, and the exceptions of `Volume.write`.
        """
        targets = await next_snapshots(self._pool, protection, sending.failed)
        if not targets:
            await self._settle(protection, link, sending)
            return False
        guids = [each.guid for each in targets]
        with self._holds.in_flight(protection.path, guids):
            sending.held.update(guids)
            await self._holds.hold(protection.path, targets)
            await self._holds.durable()
            try:
                for step, target in enumerate(targets, 1):
                    await self._send(protection, link, sending, target, (step, len(targets)))
                await self._publish(protection, link, sending, targets)
            except (DamagedBlock, Unreadable) as error:
                self._rejected(protection, sending, targets, UNREADABLE, str(error))
                raise
            await self._note_common(protection, targets)
        await self._holds.release_unneeded(protection.path, [*protection.common.values(), *sending.held])
        sending.held.clear()
        await self._pool.committed()
        await self._settle(protection, link, sending)
        return True

    async def _settle(self, protection: Protection, link: Link, sending: Sending) -> None:
        """Request the peer to hold no snapshot before the common ones."""
        present = self._present(protection)
        common = {} if present is None else present.common
        for volume, guid in common.items():
            if guid not in sending.settled:
                document: dict[str, Json] = {"volume": volume.hex(), "snapshot": guid.hex()}
                try:
                    await self._ask(link, messages.SETTLE_REQUEST, document, ())
                except RequestDenied as denied:
                    if denied.code not in NOTHING_TO_SETTLE:
                        raise
                sending.settled.add(guid)
        sending.settled &= set(common.values())

    def _present(self, protection: Protection) -> Protection | None:
        """Return the present record of a protection, or None if it was removed, or is sent elsewhere now."""
        present = self._records.protections.get(protection.name)
        return present if present is not None and present.peer_pool == protection.peer_pool else None

    async def _note_common(self, protection: Protection, targets: Sequence[Snapshot]) -> None:
        """Remember that both arrays have these snapshots, unless the protection was removed meanwhile."""
        present = self._present(protection)
        if present is None:
            return
        common = {**present.common, **{each.volume_identity: each.guid for each in targets}}
        await self._holds.change(lambda: self._records.put_protection(replace(present, common=common)))
        await self._holds.durable()

    async def _send(
        self, protection: Protection, link: Link, sending: Sending, target: Snapshot, place: tuple[int, int]
    ) -> None:
        """Send one snapshot. The peer does not publish it yet."""
        volume = volume_with(self._pool, target.volume_identity)
        if volume is None:
            raise Absent(f"the volume {target.volume_name!r} was deleted")
        base = HOLES if target.guid in sending.rejections else await self._base(protection, link, target)
        older = self._pool.snapshots.get(base)
        if older is not None:
            # A base of another volume is held only for this transfer.
            sending.held.add(base)
            await self._holds.hold(protection.path, [older])
        elif base != HOLES:
            raise Absent("the base of a snapshot was deleted")
        changed = await count_changes(self._pool, older, target)
        now_s = self._environment.monotonic()
        transfer = sending.begin(Transfer(target.name, target.created_s, changed, now_s, *place))
        size_bytes, block_bytes = _lun_size(target)
        document: dict[str, Json] = {
            "volume": target.volume_identity.hex(),
            "name": shortened(volume.name),
            "lineage": target.lineage.hex(),
            "snapshot": target.guid.hex(),
            "base": base.hex(),
            "size_blocks": target.size_blocks,
            "size_bytes": size_bytes,
            "block_bytes": block_bytes,
            "changed_blocks": changed,
        }
        await self._ask(link, messages.RECEIVE_REQUEST, document, (), progress=transfer.progress)
        sending.results.note(transfer, self._environment.monotonic())

    async def _base(self, protection: Protection, link: Link, target: Snapshot) -> bytes:
        """Return the guid of the newest snapshot that both arrays have, or HOLES."""
        common = protection.common.get(target.volume_identity)
        if common is not None and common in self._pool.snapshots and await self._peer_has(link, [common]) is not None:
            return common
        count = 0
        async for question in base_questions(self._pool, target, self._environment):
            found = await self._peer_has(link, question)
            if found is not None and found in self._pool.snapshots:
                return found
            count += 1
            if count >= MAX_BASE_QUESTIONS:
                break
        return HOLES

    async def _peer_has(self, link: Link, guids: Sequence[bytes]) -> bytes | None:
        """Return the first of these snapshots that the peer has too."""
        document: dict[str, Json] = {"snapshots": [each.hex() for each in guids]}
        answer = await self._ask(link, messages.BASES_REQUEST, document, messages.BASES_ANSWER_FIELDS)
        found = answer.number("found")
        return guids[found] if found < len(guids) else None

    async def _publish(self, protection: Protection, link: Link, sending: Sending, targets: Sequence[Snapshot]) -> None:
        digests = [await each.digest() for each in targets]
        first = targets[0]
        found = self._class_of(first) or SnapshotClass(MANUAL, 0)
        attributes = messages.sendable_attributes(first.attributes)
        document: dict[str, Json] = {
            "group": first.group.hex(),
            "volumes": [each.volume_identity.hex() for each in targets],
            "snapshots": [each.guid.hex() for each in targets],
            "names": [shortened(each.name) for each in targets],
            "created_us": [max(0, round(each.created_s * 1_000_000)) for each in targets],
            "sizes": [each.size_blocks for each in targets],
            "digests": [each.hex() for each in digests],
            "class": found.name,
            "keep": protection.keep_there.get(found.name, found.keep),
            "attribute_names": list(attributes),
            "attribute_values": list(attributes.values()),
        }
        try:
            size_blocks = sum(each.size_blocks for each in targets)
            await self._ask(link, messages.PUBLISH_REQUEST, document, (), size_blocks / MIN_PUBLISHED_BLOCKS_PER_S)
        except RequestDenied as denied:
            if denied.code == messages.UNEQUAL:
                self._rejected(protection, sending, targets, REJECTED, str(denied))
            raise

    def _rejected(self, protection: Protection, sending: Sending, targets: Sequence[Snapshot], event: str, text: str) -> None:
        """Note that snapshots cannot be read, or that their copies were not equal. Send each once more as a whole, and then
        no more.
        """
        name = protection.name
        self._report("error", event, cause=name, protection=name, snapshot=targets[0].name, error=text)
        for target in targets:
            sending.rejections[target.guid] = sending.rejections.get(target.guid, 0) + 1
            if sending.rejections[target.guid] >= MAX_REJECTIONS:
                sending.failed.add(target.guid)

    async def _ask(
        self,
        link: Link,
        name: str,
        document: dict[str, Json],
        fields: Sequence[Field],
        more_s: float = 0.0,
        progress: Callable[[], int] | None = None,
    ) -> Message:
        """Make a request, and return the answer.

        The peer has `MAX_WAIT_S` and `more_s` for the answer, from the last change of `progress` on. Then the request is given
        up, and all steps are repeated later. The peer completes what it has begun, or continues it.
        """
        exchange = link.begin({"request": name, **document}, TrafficClass.SNAPSHOT, MAX_WAIT_S + more_s)
        exchange.progress = progress
        try:
            return read_message(fields, await exchange.answered())
        finally:
            exchange.close()


def _lun_size(snapshot: Snapshot) -> tuple[int, int]:
    """Return the size and the logical block length of the LUN at the time of a snapshot."""
    attributes = snapshot.attributes
    most_bytes = snapshot.size_blocks * BLOCK_BYTES
    return min(int(attributes.get(SIZE_ATTRIBUTE, most_bytes)), most_bytes), int(
        attributes.get(BLOCK_ATTRIBUTE, str(BLOCK_BYTES))
    )
