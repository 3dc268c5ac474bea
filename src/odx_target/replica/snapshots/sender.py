"""The sending side: it decides which protections send now, and tries again after a failure.

`sending` has the steps of a transfer.
"""

from collections.abc import Callable, Iterable

from odx_target.environment import Environment
from odx_target.replica.blocks.requests import BUSY
from odx_target.replica.blocks.sender import BlockSender
from odx_target.replica.link.errors import ChannelEnded, ConnectionEnded, PeerFault, TooManyChannels
from odx_target.replica.link.hello import Farewell
from odx_target.replica.paths.exchange import RequestDenied
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.paths.waker import Waker
from odx_target.replica.snapshots.holds import Holds
from odx_target.replica.snapshots.limits import MAX_RETRY_S, MAX_SENDS, MIN_RETRY_S
from odx_target.replica.snapshots.protection import Protection
from odx_target.replica.snapshots.records import ReplicationRecords, volume_with
from odx_target.replica.snapshots.reporting import Report
from odx_target.replica.snapshots.sending import ClassOf, Sending, SendingSteps
from odx_target.replica.snapshots.transfer import Activity
from odx_target.store.api import Pool, Snapshot, StoreError

NO_PATH = "there is no path to the array"
NO_RIGHT = "the path does not give the peer the right to replicate"
NO_VOLUME = "a volume of the protection was deleted, so nothing is sent"
INTERNAL = "a transfer of a snapshot failed inside the array"
NOT_SENT = "a snapshot cannot be sent now"
NOT_RELEASED = "holds that the replication no longer needs cannot be removed now"


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
        class_of: ClassOf,
        report: Report,
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._records = records
        self._holds = holds
        self._path_to = path_to
        self._report = report
        self._steps = SendingSteps(pool, environment, records, holds, class_of, report)
        self._waker = Waker(environment)
        self._sendings: dict[str, Sending] = {}
        self._running: dict[str, bytes] = {}
        """Names of the protections that send now, with the pools of their peers."""
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
        sending = self._sendings.setdefault(name, Sending())
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
            peer_pool = protection.peer_pool
            path = self._path_to(peer_pool)
            if name in self._running or path is None or path.link is None or Right.REPLICATE not in path.settings.rights:
                continue
            sending = self._sendings.setdefault(name, Sending())
            if sending.retry_at_s > now_s:
                next_s = min(next_s, sending.retry_at_s)
            elif sum(each == peer_pool for each in self._running.values()) < MAX_SENDS:
                self._running[name] = peer_pool
                del self._due[name]
                self._environment.start_soon(self._run_once, protection, path.link)
        return next_s

    async def _run_once(self, protection: Protection, link: Link) -> None:
        name = protection.name
        sending = self._sendings[name]
        is_due = True
        try:
            is_due = await self._steps.send_next(protection, link, sending)
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
                sending.problem = f"the other array refuses: {denied}"
                sending.retry_at_s = self._environment.monotonic() + MIN_RETRY_S
            else:
                self._failed(protection, sending, f"the other array refuses: {denied}")
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

    async def _release_removed(self, protection: Protection, sending: Sending) -> None:
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

    def _failed(self, protection: Protection, sending: Sending, problem: str) -> None:
        """Note a problem, and try again later."""
        if problem != sending.problem:
            self._report("warning", NOT_SENT, cause=protection.name, protection=protection.name, error=problem)
        sending.problem = problem
        sending.retry_at_s = self._environment.monotonic() + sending.retry_s
        sending.retry_s = min(2 * sending.retry_s, MAX_RETRY_S)
