"""The work of EXTENDED COPY: copy the segments one after the other."""

from collections.abc import Sequence

from odx_target.copymgr.commands.segments import Segment
from odx_target.copymgr.copies import Copies
from odx_target.copymgr.copy_aborted import CopyAborted
from odx_target.copymgr.operations.job import Ending
from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus
from odx_target.copymgr.operations.segment_copy import SegmentCopy
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
        self._segments: Sequence[Segment] = ()

    def set_segments(self, segments: Sequence[Segment]) -> None:
        """Set the segments to copy. Raises CopyAborted if the command has not joined the task set of one of their logical
        units.

        This can only happen if the LUNs of the nexus have changed while the command waited.
        """
        for segment in segments:
            for place in (segment.source, segment.destination):
                if place.logical_unit is not self._receiver and place.logical_unit.tasks not in self._accesses:
                    raise CopyAborted(
                        COPY_TARGET_DEVICE_NOT_REACHABLE,
                        segment=segment.number,
                        rule="the LUNs have changed while the command waited",
                    )
        self._segments = segments
        written_bytes = sum(segment.written_bytes for segment in segments)
        self.operation.requested_blocks = written_bytes // self._receiver.block_bytes

    async def work(self) -> Ending:
        for segment in self._segments:
            await SegmentCopy(self._copies, self.operation, segment, self._accesses).work()
            self.operation.segments_processed += 1
        self.operation.raise_if_ended()
        return Ending(CopyStatus.COMPLETED)

    def close(self, ending: Ending, now_s: float) -> None:
        pass
