"""The copy of one segment of an EXTENDED COPY whose destination is a logical unit of another array.

This array makes a token for the source, and requests the other array to write by it. The other array gets the blocks as for any
token, so only blocks that it does not have cross the link.
"""

from collections.abc import Callable, Mapping

from odx_target.copymgr.commands.segments import DESTINATION_ID_FIELD, CopyPlace, RemotePlace, Segment
from odx_target.copymgr.commands.unit_token import issue_unit_token
from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.copymgr.operations.segment_checks import SegmentChecks
from odx_target.copymgr.operations.step_choice import StepKind
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.remote import RemoteWrite
from odx_target.copymgr.tokens.rod_token import RodToken, TokenEnd
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.sense import COPY_TARGET_DEVICE_NOT_REACHABLE, THIRD_PARTY_DEVICE_FAILURE
from odx_target.scsi.tasks.member import OtherTaskSet, QueuedTask
from odx_target.store.api import PoolBusy, StoreError

PUSH_TIMEOUT_S = 30.0
"""Time without a further block after which the segment ends. Hosts wait longer for an EXTENDED COPY."""

PAUSE_S = 0.1
"""Pause after a request by which nothing was written, so that an array that answers at once is not asked without end."""


class PushedCopy:
    """Copies one segment, and counts the blocks that the other array has written.

    `accesses` are the members of the command in the task sets of other logical units, whose abort ends the copy. `on_token` is
    called when the data of the source is frozen.
    """

    def __init__(
        self,
        copies: Copies,
        operation: CopyOperation,
        segment: Segment,
        accesses: Mapping[OtherTaskSet, QueuedTask],
        on_token: Callable[[], None] | None = None,
    ) -> None:
        assert isinstance(segment.source, CopyPlace)
        assert isinstance(segment.destination, RemotePlace)
        self._copies = copies
        self._operation = operation
        self._segment = segment
        self._source: CopyPlace = segment.source
        self._destination: RemotePlace = segment.destination
        self._checks = SegmentChecks(operation, segment, accesses, self._missing_blocks)
        self._on_token = on_token
        self._done_blocks = 0

    @property
    def _count_blocks(self) -> int:
        return self._segment.size_bytes // self._destination.block_bytes

    def _missing_blocks(self) -> int | None:
        """Return the number of blocks that the other array has not written. None if it has written nothing."""
        return self._count_blocks - self._done_blocks if self._done_blocks else None

    async def work(self) -> None:
        """Copy the segment. Raises CopyAborted if the copy fails, and the exceptions of `CopyOperation.raise_if_ended`."""
        if not self._segment.size_bytes:
            return
        copies = self._copies
        await copies.environment.turns.next_if_spent()
        try:
            self._checks.check()
            if self._source.logical_unit.group is not None:
                rule = "the source belongs to a group of two arrays, and may have data that a failover takes back"
                raise self._checks.aborted(COPY_TARGET_DEVICE_NOT_REACHABLE, rule)
            token = await self._token()
            if self._on_token is not None:
                self._on_token()
            try:
                await self._write_all(token)
            finally:
                copies.tokens.finish(token, TokenEnd.DELETED, copies.environment.monotonic())
        except (StoreError, MemoryError) as error:
            reply = self._checks.reply_of(error)
            raise self._checks.aborted(THIRD_PARTY_DEVICE_FAILURE, f"the source: {error}", source=reply) from error

    async def _token(self) -> RodToken:
        """Make a token for the source as it is now."""
        source, size_bytes = self._source, self._segment.size_bytes
        while True:
            try:
                return issue_unit_token(
                    self._copies, source.logical_unit, self._operation.nexus.initiator_name, source.offset_bytes, size_bytes
                )
            except PoolBusy:
                await source.logical_unit.volume.room_made()
                self._checks.check()
            except Refusal as refusal:
                raise self._checks.aborted(COPY_TARGET_DEVICE_NOT_REACHABLE, refusal.rule or str(refusal)) from refusal

    async def _write_all(self, token: RodToken) -> None:
        environment = self._copies.environment
        until_s = environment.monotonic() + PUSH_TIMEOUT_S
        while self._done_blocks < self._count_blocks:
            blocks, reply = await self._write_more(token, until_s)
            self._done_blocks += blocks
            size_bytes = blocks * self._destination.block_bytes
            self._operation.add_copied(size_bytes)
            self._copies.note_step(self._operation, StepKind.MOVE, size_bytes)
            self._checks.check()
            if reply is not None:
                raise self._checks.aborted(
                    THIRD_PARTY_DEVICE_FAILURE, "the other array cannot write the blocks", destination=reply
                )
            if blocks:
                until_s = environment.monotonic() + PUSH_TIMEOUT_S
            elif environment.monotonic() >= until_s:
                raise self._checks.aborted(COPY_TARGET_DEVICE_NOT_REACHABLE, "the other array is slow")
            else:
                await environment.sleep(PAUSE_S)

    async def _write_more(self, token: RodToken, until_s: float) -> tuple[int, Reply | None]:
        """Request the other array to write on. Returns how many blocks it has written, and its reply if it cannot go on."""
        copies, destination, done = self._copies, self._destination, self._done_blocks
        try:
            if copies.remote is None:
                raise copies.unreachable("this array has no paths to other arrays any more")
            written = await copies.remote.write(
                RemoteWrite(
                    token.data,
                    destination.identity,
                    self._operation.nexus.initiator_name,
                    destination.block_bytes,
                    destination.offset_bytes // destination.block_bytes + done,
                    self._count_blocks - done,
                    done,
                    until_s,
                    lambda: not self._operation.is_in_progress,
                )
            )
        except Refusal as refusal:
            rule = refusal.rule or str(refusal)
            raise self._checks.aborted(COPY_TARGET_DEVICE_NOT_REACHABLE, rule, field=DESTINATION_ID_FIELD) from refusal
        has_failed = written.status != Status.GOOD and not written.is_partial
        blocks = min(written.blocks, self._count_blocks - done)
        return blocks, Reply(written.status, sense=written.sense) if has_failed else None
