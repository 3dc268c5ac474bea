"""A copy operation that is running or has ended, and the status that other commands report (SPC-4 5.16.4).

    none --accepted--> IN_FOREGROUND or IN_BACKGROUND --+--> COMPLETED, COMPLETED_WITH_ERROR, PARTIAL
                                                        +--> TERMINATED by COPY OPERATION ABORT, reset, task management

The `CopyOperation` object is also the record that RECEIVE ROD TOKEN INFORMATION and RECEIVE COPY STATUS report.
"""

from collections.abc import Awaitable, Callable, Set
from enum import IntEnum
from typing import TypeAlias

from odx_target.copymgr.commands.parameter_lists import EXTENDED_COPIES, OUT_CDB, Lid1Receive, ServiceAction
from odx_target.copymgr.limits import RECORD_OVERHEAD_BYTES
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Status
from odx_target.scsi.sense import COMMANDS_CLEARED_BY_DEVICE_SERVER, CheckCondition
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit


class CopyStatus(IntEnum):
    """COPY OPERATION STATUS (SPC-4 table 338)."""

    COMPLETED = 0x01
    COMPLETED_WITH_ERROR = 0x02
    PARTIAL = 0x03
    """The operation ended without an error, but wrote fewer blocks than requested."""
    RESIDUAL = 0x04
    """Only EXTENDED COPY uses this status."""
    IN_PROGRESS = 0x10
    IN_FOREGROUND = 0x11
    IN_BACKGROUND = 0x12
    TERMINATED = 0x60


class CopyOperation:
    """One POPULATE TOKEN, WRITE USING TOKEN or EXTENDED COPY. An operation with a higher `number` began later.

    `task` is the command of a foreground operation, and None for a background operation. `transfer_count_blocks` is the number
    of finished blocks. Blocks are finished in the order of the command, so the finished blocks are its first blocks. Times are
    monotonic seconds.
    """

    __slots__ = (
        "_status",
        "completion_status",
        "copied_bytes",
        "counter",
        "delivered",
        "list_bytes",
        "list_identifier",
        "logical_unit",
        "nexus",
        "number",
        "requested_blocks",
        "segments_processed",
        "sense",
        "service_action",
        "started_at_s",
        "task",
        "token",
        "token_delivered",
        "transfer_count_blocks",
    )

    def __init__(
        self,
        service_action: ServiceAction,
        list_identifier: int,
        requested_blocks: int,
        task: Task,
        now_s: float,
        *,
        in_background: bool,
        number: int = 0,
    ) -> None:
        self.number = number
        self.service_action = service_action
        self.list_identifier = list_identifier
        self.requested_blocks = requested_blocks
        self.nexus: Nexus = task.nexus
        self.logical_unit: LogicalUnit = task.logical_unit
        self.task: Task | None = None if in_background else task
        self.started_at_s = now_s
        _, self.list_bytes = OUT_CDB.unpack_from(task.cdb)
        """Length of the parameter list. The reply reports this number of bytes as transferred."""
        self.transfer_count_blocks = 0
        self.counter = 0
        self.copied_bytes = 0
        """Number of bytes that an EXTENDED COPY has written."""
        self.segments_processed = 0
        self.delivered: Set[Lid1Receive] = frozenset()
        """The commands that have reported the result of an EXTENDED COPY. Each of them reports it only once."""
        self.completion_status = Status.GOOD
        self.sense = b""
        self.token = b""
        """The token that the operation made. The value is empty before the token is issued and after
        `RecordTable.release_token`.
        """
        self.token_delivered = False
        self._status = CopyStatus.IN_BACKGROUND if in_background else CopyStatus.IN_FOREGROUND

    @property
    def status(self) -> CopyStatus:
        """The status of the operation. If the task has been aborted, the status is TERMINATED, even before the job ends."""
        if self.task is not None and self.task.aborted and self._status is CopyStatus.IN_FOREGROUND:
            self.terminate()
        return self._status

    @property
    def is_in_progress(self) -> bool:
        return CopyStatus.IN_PROGRESS <= self.status <= CopyStatus.IN_BACKGROUND

    @property
    def is_extended_copy(self) -> bool:
        return self.service_action in EXTENDED_COPIES

    @property
    def waiting_connection(self) -> int | None:
        """Number of the connection whose host waits for the end of the operation. None in the background."""
        return None if self.task is None else self.task.nexus.connection

    @property
    def requested_bytes(self) -> int:
        """Number of bytes that the command asked for."""
        return self.requested_blocks * self.logical_unit.block_bytes

    @property
    def done_bytes(self) -> int:
        """Number of bytes that the operation has finished."""
        if self.is_extended_copy:
            return self.copied_bytes
        return self.transfer_count_blocks * self.logical_unit.block_bytes

    @property
    def holds_token(self) -> bool:
        """True if the record holds a token that the initiator has not yet received completely."""
        return bool(self.token) and not self.token_delivered

    @property
    def record_bytes(self) -> int:
        """Approximate memory of the record."""
        return RECORD_OVERHEAD_BYTES + len(self.sense) + len(self.token)

    def finish(self, status: CopyStatus, check: CheckCondition | None) -> None:
        """Note that the operation has ended with `status`. Does nothing if the operation was terminated."""
        if not self.is_in_progress:
            return
        self._status = status
        if check is not None:
            self.completion_status = Status.CHECK_CONDITION
            self.sense = check.sense_for(self.logical_unit)

    def add_copied(self, size_bytes: int) -> None:
        """Count bytes that an EXTENDED COPY has written."""
        self.copied_bytes += size_bytes
        self.transfer_count_blocks = self.copied_bytes // self.logical_unit.block_bytes
        self.counter += 1

    def terminate(self) -> None:
        """End the operation early, so that it does not change anything any more. Does nothing if the operation has already
        ended.
        """
        if CopyStatus.IN_PROGRESS <= self._status <= CopyStatus.IN_BACKGROUND:
            self._status = CopyStatus.TERMINATED
            self.completion_status = Status.TASK_ABORTED

    def forget_task(self) -> None:
        """Remove the reference to the command and its data, because the record is stored for a long time."""
        self.task = None

    def raise_if_ended(self) -> None:
        """Raise an exception if the operation was terminated: CheckCondition after COPY OPERATION ABORT, otherwise TaskAborted.

        The work of the operation calls this method before each change.
        """
        if self.status is CopyStatus.TERMINATED:
            if self.task is not None:
                self.task.raise_if_aborted()
            raise CheckCondition(COMMANDS_CLEARED_BY_DEVICE_SERVER)


class CutShort(Exception):
    """A WRITE USING TOKEN must end now with the blocks that it has written, as if its time were up."""


BeforeStep: TypeAlias = Callable[[CopyOperation], Awaitable[None] | None]
"""Function that is called before each step of each operation.

The function may wait, and may raise the same exceptions as a step. Before a step of WRITE USING TOKEN, it may also raise
CutShort.
"""
