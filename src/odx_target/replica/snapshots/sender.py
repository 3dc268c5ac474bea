"""The sending side: it sends the new snapshots of each protection, and remembers which snapshots both arrays have.

A snapshot is sent in four steps. The sender finds a base, which both arrays have. It requests the peer to receive the snapshot,
and the peer then requests its blocks. It requests the peer to publish the snapshot, which the peer does only if the digests are
equal. At last it moves its hold from the former common snapshot to this one, after the peer has confirmed that it is durable.
If a step fails, all steps are repeated. The peer continues where it was cut, so nothing is sent twice but a few blocks.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from odx_target.environment import Environment
from odx_target.replica.blocks.fill import BUSY, HOLES
from odx_target.replica.blocks.sender import BlockSender
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded, ConnectionEnded, PeerFault, TooManyChannels
from odx_target.replica.link.hello import Farewell
from odx_target.replica.link.messages import Field, Message, read_message, shortened
from odx_target.replica.paths.exchange import RequestDenied
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.paths.waker import Waker
from odx_target.replica.snapshots import messages
from odx_target.replica.snapshots.choice import base_questions, count_changes, next_snapshots
from odx_target.replica.snapshots.holds import Holds
from odx_target.replica.snapshots.limits import (
    MAX_BASE_QUESTIONS,
    MAX_REJECTIONS,
    MAX_RETRY_S,
    MAX_SENDS,
    MIN_RETRY_S,
)
from odx_target.replica.snapshots.protection import MANUAL, Protection
from odx_target.replica.snapshots.records import ReplicationRecords, volume_with
from odx_target.replica.snapshots.transfer import Activity, Transfer
from odx_target.store.api import BLOCK_BYTES, Absent, DamagedBlock, Pool, Snapshot, StoreError, Unreadable

SIZE_ATTRIBUTE = "size_bytes"
BLOCK_ATTRIBUTE = "block_bytes"

NO_PATH = "there is no path to the array"
NO_RIGHT = "the path does not give the peer the right to replicate"
NO_VOLUME = "a volume of the protection was deleted, so nothing is sent"
INTERNAL = "a transfer of a snapshot failed inside the array"
NOT_SENT = "a snapshot cannot be sent now"
UNREADABLE = "a snapshot cannot be read, and so not be sent"
NOT_RELEASED = "holds that the replication no longer needs cannot be removed now"
REJECTED = "the peer has rejected a snapshot, because its copy is not equal"


class SnapshotClass(NamedTuple):
    """The class of a snapshot for the retention at the peer, and the number of its snapshots to keep; 0 keeps all of them."""

    name: str
    keep: int


class Report(Protocol):
    """Logs an event, as the reporter of the array does."""

    def __call__(self, level: str, event: str, /, *, cause: object = None, lines: int = 1, **fields: object) -> None: ...


@dataclass
class _Sending(Activity):
    """The state of a protection. `rejections` counts them by guid, and `failed` are snapshots that are not sent any more."""

    retry_at_s: float = 0.0
    retry_s: float = MIN_RETRY_S
    rejections: dict[bytes, int] = field(default_factory=dict)
    failed: set[bytes] = field(default_factory=set)
    held: set[bytes] = field(default_factory=set)
    """Guids of the snapshots that were held for attempts, and that may not be needed any more."""


class SnapshotSender:
    """Sends the snapshots of the protections. `path_to` returns the path to a pool. The owner runs `run` in the background.

    `class_of` returns the class of a snapshot. A snapshot that no schedule has taken is kept until it is deleted by hand.
    """

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        records: ReplicationRecords,
        holds: Holds,
        path_to: Callable[[bytes], Path | None],
        class_of: Callable[[Snapshot], SnapshotClass | None],
        report: Report,
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._records = records
        self._holds = holds
        self._path_to = path_to
        self._class_of = class_of
        self._report = report
        self._waker = Waker(environment)
        self._sendings: dict[str, _Sending] = {}
        self._running: dict[str, None] = {}
        self._due: dict[str, None] = {}
        """Names of the protections that may have something to send, the longest waiting first."""

    async def run(self) -> None:
        """Send snapshots until the task is cancelled."""
        self._pool.on_snapshot.append(self.snapshot_taken)
        self.snapshot_taken()
        while True:
            await self._waker.wait(self._start_due())

    def snapshot_taken(self) -> None:
        """Look for new snapshots of all protections."""
        self._due.update(dict.fromkeys(self._records.protections))
        self._waker.wake()

    def path_changed(self) -> None:
        """Look at all protections, because a path may be connected."""
        self._waker.wake()

    def try_again(self, peer_pool: bytes) -> None:
        """Try the protections of a peer without a further delay."""
        for name, sending in self._sendings.items():
            protection = self._records.protections.get(name)
            if protection is not None and protection.peer_pool == peer_pool:
                sending.retry_at_s, sending.retry_s = 0.0, MIN_RETRY_S
        self._waker.wake()

    def retry(self, name: str) -> None:
        """Try a protection again at once, and also those of its snapshots that have failed."""
        sending = self._sendings.setdefault(name, _Sending())
        sending.retry_at_s = 0.0
        sending.failed.clear()
        sending.rejections.clear()
        self._due[name] = None
        self._waker.wake()

    def forget(self, name: str) -> set[bytes]:
        """Forget the state of a protection that was removed. Returns the guids of the snapshots that were held for it."""
        self._due.pop(name, None)
        sending = self._sendings.get(name)
        held = set() if sending is None else sending.held
        if name not in self._running:
            self._sendings.pop(name, None)
        return held

    def activities(self) -> Iterable[Activity]:
        """Return the states of all protections."""
        return self._sendings.values()

    def activity(self, name: str) -> Activity:
        """Return what a protection does now, and what it has done."""
        return self._sendings.get(name) or Activity()

    def problem_of(self, protection: Protection) -> str:
        """Return why a protection does not send now, or an empty text."""
        path = self._path_to(protection.peer_pool)
        if path is None:
            return NO_PATH
        if Right.REPLICATE not in path.settings.rights:
            return NO_RIGHT
        if any(volume_with(self._pool, each) is None for each in protection.volumes):
            return NO_VOLUME
        return self.activity(protection.name).problem

    def follow(self, path: Path, snapshot: Snapshot, sender: BlockSender) -> None:
        """Note that blocks of a snapshot begin to be sent, for the progress."""
        for name in self._running:
            protection, transfer = self._records.protections.get(name), self.activity(name).transfer
            if protection is None or transfer is None or protection.peer_pool != path.settings.peer_pool:
                continue
            if snapshot.volume_identity in protection.volumes and transfer.name == snapshot.name:
                transfer.follow(sender)

    def _start_due(self) -> float:
        """Begin to send, and return the time at which the next protection is due."""
        now_s, next_s = self._environment.monotonic(), float("inf")
        for name in list(self._due):
            protection = self._records.protections.get(name)
            if protection is None:
                del self._due[name]
                continue
            path = self._path_to(protection.peer_pool)
            if name in self._running or path is None or path.link is None or Right.REPLICATE not in path.settings.rights:
                continue
            sending = self._sendings.setdefault(name, _Sending())
            if sending.retry_at_s > now_s:
                next_s = min(next_s, sending.retry_at_s)
            elif len(self._running) < MAX_SENDS:
                self._running[name] = None
                del self._due[name]
                self._environment.start_soon(self._run_once, protection, path.link)
        return next_s

    async def _run_once(self, protection: Protection, link: Link) -> None:
        name = protection.name
        sending = self._sendings[name]
        is_due = True
        try:
            is_due = await self._send_next(protection, link, sending)
            sending.problem, sending.retry_s = "", MIN_RETRY_S
        except (ChannelEnded, ConnectionEnded, TooManyChannels) as error:
            if link.ended is None or link.ended.code is Farewell.FAULT:
                self._failed(protection, sending, str(error))
            else:
                sending.retry_at_s = self._environment.monotonic() + MIN_RETRY_S
        except PeerFault as fault:
            link.end(Farewell.FAULT, str(fault))
            self._failed(protection, sending, str(fault))
        except RequestDenied as denied:
            if denied.code == BUSY:
                sending.problem = str(denied)
                sending.retry_at_s = self._environment.monotonic() + MIN_RETRY_S
            else:
                self._failed(protection, sending, str(denied))
        except StoreError as error:
            self._failed(protection, sending, str(error))
        except Exception as error:
            self._report("error", INTERNAL, cause=name, protection=name, error=repr(error), exc_info=error)
            self._failed(protection, sending, INTERNAL)
        finally:
            sending.transfer = None
            del self._running[name]
            if is_due:
                self._due[name] = None
            self._waker.wake()
        await self._release_removed(protection, sending)

    async def _release_removed(self, protection: Protection, sending: _Sending) -> None:
        """Remove the holds of a transfer whose protection was removed, or sent elsewhere, while the transfer ran."""
        present = self._records.protections.get(protection.name)
        if present is not None and (present.path, present.peer_pool) == (protection.path, protection.peer_pool):
            return
        held = set(sending.held)
        if present is None and self._sendings.get(protection.name) is sending:
            del self._sendings[protection.name]
        try:
            await self._holds.release_unneeded(protection.path, held)
            await self._pool.committed()
        except StoreError as error:
            # The next start tries it again.
            self._report("warning", NOT_RELEASED, cause=protection.name, protection=protection.name, error=str(error))

    def _failed(self, protection: Protection, sending: _Sending, problem: str) -> None:
        """Note a problem, and try again later."""
        if problem != sending.problem:
            self._report("warning", NOT_SENT, cause=protection.name, protection=protection.name, error=problem)
        sending.problem = problem
        sending.retry_at_s = self._environment.monotonic() + sending.retry_s
        sending.retry_s = min(2 * sending.retry_s, MAX_RETRY_S)

    async def _send_next(self, protection: Protection, link: Link, sending: _Sending) -> bool:
        """Send the next snapshots of a protection. Returns False if there are none."""
        targets = await next_snapshots(self._pool, protection, sending.failed)
        if not targets:
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
            is_present = await self._note_common(protection, targets)
        await self._holds.release_unneeded(protection.path, [*protection.common.values(), *sending.held])
        sending.held.clear()
        await self._pool.committed()
        for target in targets if is_present else ():
            document: dict[str, Json] = {"volume": target.volume_identity.hex(), "snapshot": target.guid.hex()}
            await self._ask(link, messages.SETTLE_REQUEST, document, ())
        return True

    async def _note_common(self, protection: Protection, targets: Sequence[Snapshot]) -> bool:
        """Remember that both arrays have these snapshots. Returns False if the protection was removed meanwhile."""
        present = self._records.protections.get(protection.name)
        if present is None or present.peer_pool != protection.peer_pool:
            return False
        common = {**present.common, **{each.volume_identity: each.guid for each in targets}}
        await self._holds.change(lambda: self._records.put_protection(replace(present, common=common)))
        await self._holds.durable()
        return True

    async def _send(
        self, protection: Protection, link: Link, sending: _Sending, target: Snapshot, place: tuple[int, int]
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
        await self._ask(link, messages.RECEIVE_REQUEST, document, ())
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

    async def _publish(self, protection: Protection, link: Link, sending: _Sending, targets: Sequence[Snapshot]) -> None:
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
            await self._ask(link, messages.PUBLISH_REQUEST, document, ())
        except RequestDenied as denied:
            if denied.code == messages.UNEQUAL:
                self._rejected(protection, sending, targets, REJECTED, str(denied))
            raise

    def _rejected(self, protection: Protection, sending: _Sending, targets: Sequence[Snapshot], event: str, text: str) -> None:
        """Note that snapshots cannot be read, or that their copies were not equal. Send each once more as a whole, and then
        no more.
        """
        name = protection.name
        self._report("error", event, cause=name, protection=name, snapshot=targets[0].name, error=text)
        for target in targets:
            sending.rejections[target.guid] = sending.rejections.get(target.guid, 0) + 1
            if sending.rejections[target.guid] >= MAX_REJECTIONS:
                sending.failed.add(target.guid)

    async def _ask(self, link: Link, name: str, document: dict[str, Json], fields: Sequence[Field]) -> Message:
        """Make a request, and return the answer."""
        exchange = await link.request({"request": name, **document}, TrafficClass.SNAPSHOT)
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
