"""The checks just before each change of an EXTENDED COPY, and the exception that ends a segment."""

from collections.abc import Callable, Mapping

from odx_target.copymgr.commands.segments import DESTINATION_LBA_FIELD, SOURCE_LBA_FIELD, CopyPlace, RemotePlace, Segment
from odx_target.copymgr.copy_aborted import CopyAborted
from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.scsi.access_kind import Access
from odx_target.scsi.failures import BUSY_FAILURES, failure_of
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.sense import COPY_TARGET_DEVICE_NOT_REACHABLE, THIRD_PARTY_DEVICE_FAILURE, CheckCondition, Condition
from odx_target.scsi.tasks.member import OtherTaskSet, QueuedTask
from odx_target.scsi.unit.logical_unit import LogicalUnit


class SegmentChecks:
    """Checks if a segment may still be copied.

    `accesses` are the members of the command in the task sets of other logical units, whose abort ends the copy.
    `missing_blocks` returns the number of destination blocks that were not written, or None if nothing was copied.
    """

    def __init__(
        self,
        operation: CopyOperation,
        segment: Segment,
        accesses: Mapping[OtherTaskSet, QueuedTask],
        missing_blocks: Callable[[], int | None],
    ) -> None:
        self._operation = operation
        self._segment = segment
        self._accesses = accesses
        self._missing_blocks = missing_blocks

    def check(self) -> None:
        """Raise an exception if the segment must not be copied any further: CopyAborted, or one of
        `CopyOperation.raise_if_ended`.
        """
        self._operation.raise_if_ended()
        segment = self._segment
        for place, size_bytes, access, field in (
            (segment.source, segment.size_bytes, Access.READS, SOURCE_LBA_FIELD),
            (segment.destination, segment.written_bytes, Access.WRITES, DESTINATION_LBA_FIELD),
        ):
            if isinstance(place, RemotePlace):
                continue  # Its array checks it.
            reply = self._refusal_of(place.logical_unit, access)
            if reply is not None:
                source, destination = (reply, None) if access is Access.READS else (None, reply)
                rule = "a logical unit does not accept the copy"
                raise self.aborted(THIRD_PARTY_DEVICE_FAILURE, rule, source=source, destination=destination)
            if _is_beyond_end(place, size_bytes):
                raise self.aborted(COPY_TARGET_DEVICE_NOT_REACHABLE, "the segment lies beyond the last block", field=field)

    def aborted(
        self,
        condition: Condition,
        rule: str,
        *,
        source: Reply | None = None,
        destination: Reply | None = None,
        field: int | None = None,
    ) -> CopyAborted:
        """Return the exception that ends the copy in this segment."""
        return CopyAborted(
            condition,
            segment=self._segment.number,
            information=self._missing_blocks(),
            rule=rule,
            source=source,
            destination=destination,
            segment_field=field,
        )

    def reply_of(self, error: Exception, bad_lba: int | None = None) -> Reply:
        """Return the reply that a read or write would get for an exception. `bad_lba` is the block that cannot be read."""
        if isinstance(error, BUSY_FAILURES):
            return Reply(Status.BUSY)
        condition, key = failure_of(error)
        return self.sense_reply(CheckCondition(condition, key=key, information=bad_lba))

    def sense_reply(self, check: CheckCondition) -> Reply:
        """Return the reply of a logical unit, whose sense data is forwarded."""
        return check.reply_for(self._operation.logical_unit)

    def _refusal_of(self, logical_unit: LogicalUnit, access: Access) -> Reply | None:
        """Return the reply of a logical unit that does not accept a read or write of the copy. Return None if it accepts it."""
        other = self._accesses.get(logical_unit.tasks)
        if other is not None and other.aborted:
            return Reply(Status.TASK_ABORTED)
        if logical_unit.is_kept_out(self._operation.nexus, access):
            return Reply(Status.RESERVATION_CONFLICT)
        check = self._operation.nexus.access_refusal(logical_unit, writes=access is Access.WRITES) or self._pass(logical_unit)
        return None if check is None else self.sense_reply(check)

    def _pass(self, logical_unit: LogicalUnit) -> CheckCondition | None:
        """Make the reply wait for the group of a logical unit, which may not have served when the command began. Return the
        sense data if it does not serve now. Raises the exceptions of `Volume.write` in a group.
        """
        group, task = logical_unit.group, self._operation.task
        if group is not None and task is not None and group not in task.gates:
            try:
                task.pass_gate(group)
            except CheckCondition as check:
                return check
        return None


def _is_beyond_end(place: CopyPlace, size_bytes: int) -> bool:
    return place.offset_bytes + size_bytes > place.logical_unit.capacity_blocks * place.logical_unit.block_bytes
