"""The work of EXTENDED COPY: copy the segments one after the other."""

from odx_target.copymgr.commands.segments import CopyPlace, RemotePlace, Segment, SegmentPlan
from odx_target.copymgr.copy_aborted import CopyAborted
from odx_target.copymgr.operations.job import Ending
from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus
from odx_target.copymgr.operations.pushed_copy import PushedCopy
from odx_target.copymgr.operations.segment_copy import SegmentCopy
from odx_target.copymgr.shared_state import Copies
from odx_target.scsi.sense import COPY_TARGET_DEVICE_NOT_REACHABLE
from odx_target.scsi.tasks.task import Task


class ExtendedCopyJob:
    """Copies the segments of an EXTENDED COPY in their order. The first segment that fails ends the command.

    The command must be a member of the task sets of all logical units that its segments touch. The source of a segment is
    frozen when the segment begins, so a later segment sees the changes of the segments before it.
    """

    def __init__(self, copies: Copies, operation: CopyOperation, task: Task) -> None:
        self.operation = operation
        self._copies = copies
        self._accesses = task.logical_unit.tasks.accesses_of(task)
        self._receiver = task.logical_unit
        self._task = task
        self._plan = SegmentPlan(())

    def set_segments(self, plan: SegmentPlan) -> None:
        """Set the segments to copy. If the LUNs of the nexus have changed while the command waited, the command may not have
        joined the task set of a logical unit. Then only the segments before the first segment of this unit are copied.
        """
        number = next((index for index, segment in enumerate(plan.segments) if not self._may_copy(segment)), None)
        if number is not None:
            rule = "the LUNs have changed while the command waited"
            error = CopyAborted(COPY_TARGET_DEVICE_NOT_REACHABLE, segment=plan.segments[number].number, rule=rule)
            plan = SegmentPlan(plan.segments[:number], error)
        self._plan = plan
        written_bytes = sum(segment.written_bytes for segment in plan.segments)
        self.operation.requested_blocks = written_bytes // self._receiver.block_bytes

    def raise_if_nothing_is_copied(self) -> None:
        """Raise CopyAborted if the first segment cannot be copied."""
        if self._plan.error is not None and not self._plan.segments:
            raise self._plan.error

    def _may_copy(self, segment: Segment) -> bool:
        """True if the command has joined the task sets of both logical units of a segment."""
        places = (segment.source, segment.destination)
        units = [place.logical_unit for place in places if isinstance(place, CopyPlace)]
        return all(unit is self._receiver or unit.tasks in self._accesses for unit in units)

    async def work(self) -> Ending:
        for segment in self._plan.segments:
            if isinstance(segment.destination, RemotePlace):
                is_last = segment is self._plan.segments[-1]
                on_token = self._touches_no_more if is_last else None
                await PushedCopy(self._copies, self.operation, segment, self._accesses, on_token).work()
            else:
                await SegmentCopy(self._copies, self.operation, segment, self._accesses).work()
            self.operation.segments_processed += 1
        self.operation.raise_if_ended()
        if self._plan.error is not None:
            raise self._plan.error
        return Ending(CopyStatus.COMPLETED)

    def _touches_no_more(self) -> None:
        """Free the blocks of the source for later tasks, because the last token has its data.

        They would wait for the other array. An EXTENDED COPY of the other array to the same blocks would wait for this one, and
        this one for it.
        """
        self._receiver.tasks.touches_no_more(self._task)

    def close(self, ending: Ending, now_s: float) -> None:
        pass
