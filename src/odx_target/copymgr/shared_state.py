"""The state that the commands and the operations of a copy manager share."""

from collections.abc import Callable

from odx_target.copymgr.commands.parameter_lists import Lid1Receive, ServiceAction
from odx_target.copymgr.counters import Counters
from odx_target.copymgr.initiator_totals import InitiatorTotals
from odx_target.copymgr.limits import STEPS_ON_THE_WAY, CopyLimits, CopyOptions, UnreachableSense
from odx_target.copymgr.operations.arrivals import Arrivals
from odx_target.copymgr.operations.copy_rate import CopyRate
from odx_target.copymgr.operations.operation import BeforeStep, CopyOperation, CopyStatus
from odx_target.copymgr.operations.operation_records import RecordTable
from odx_target.copymgr.operations.step_choice import StepKind
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.refusal_log import NOT_BEGUN, Progress, RefusalLog
from odx_target.copymgr.stepping_aside import SteppingAside
from odx_target.copymgr.tokens.change_watch import ChangeWatch
from odx_target.copymgr.tokens.durable import DurableTokens
from odx_target.copymgr.tokens.issuer import TokenIssuer
from odx_target.copymgr.tokens.judgement import TokenJudge
from odx_target.copymgr.tokens.remote import RemoteTokens
from odx_target.copymgr.tokens.rod_token import RodToken, TokenEnd
from odx_target.copymgr.tokens.table import TokenTable
from odx_target.environment import Environment
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.sense import (
    COPY_TARGET_DEVICE_NOT_REACHABLE,
    INSUFFICIENT_RESOURCES,
    UNREACHABLE_COPY_TARGET,
    Condition,
    SenseKey,
)
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import Pool
from odx_target.turns import Steps

UNREACHABLE_CONDITIONS: dict[UnreachableSense, Condition] = {
    UnreachableSense.STANDARD: COPY_TARGET_DEVICE_NOT_REACHABLE,
    UnreachableSense.WINDOWS: UNREACHABLE_COPY_TARGET,
}
"""The condition that reports that the array of a token cannot be reached."""


class Copies:
    """The tokens, the running copy operations, and the records of operations of one pool.

    `before_step` is called before each step of each operation, and may delay the step or make it fail. `on_internal_error` is
    called with each exception that a fault of this program caused, because a reply cannot describe the fault.
    """

    def __init__(
        self, pool: Pool, environment: Environment, limits: CopyLimits | None = None, options: CopyOptions | None = None
    ) -> None:
        self.pool = pool
        self.environment = environment
        self.limits = limits or CopyLimits()
        self._options = options or CopyOptions()
        self.copy_rate = CopyRate(self.limits)
        self.stepping_aside = SteppingAside(self.options)
        self.before_step: BeforeStep | None = None
        self.next_stop: Callable[[CopyOperation], int | None] | None = None
        """Function that returns the number of finished blocks at which the next step of an operation must end, or None."""
        self.on_internal_error: Callable[[BaseException], None] | None = None
        self.logical_units: set[LogicalUnit] = set()
        self.operations: dict[CopyOperation, None] = {}
        """All running operations, in the order in which they began."""
        self.arrivals = Arrivals()
        """Commands that wait for a turn of their own, or for earlier commands with the same list identifier."""
        self.remote_logical_units: set[LogicalUnit] = set()
        """Logical units that the configuration assigns to another copy manager.

        This copy manager makes no tokens for their blocks.
        """
        self.counters = Counters()
        self.totals = InitiatorTotals()
        self.refusals = RefusalLog()
        self.records = RecordTable(self.limits)
        self.tokens = TokenTable(self.limits)
        self.issuer = TokenIssuer(pool, environment)
        self.durable_tokens = DurableTokens(pool, environment)
        self.watch = ChangeWatch(self.cancel)
        self.units_by_identity: dict[bytes, LogicalUnit] = {}
        self.judge = TokenJudge(self.issuer, self.tokens, self.options, self.units_by_identity.keys())
        self.judge.is_shared = self._is_shared
        self.tokens.on_end += [self.watch.remove, self.durable_tokens.remove]

    @property
    def options(self) -> CopyOptions:
        """The options of the owner of the array. New options are valid for all later commands, also for tokens made before."""
        return self._options

    @options.setter
    def options(self, options: CopyOptions) -> None:
        self._options = self.judge.options = options
        self.stepping_aside.set_thresholds(options)

    def _is_shared(self, identity: bytes) -> bool:
        """True if a logical unit belongs to a group, whose other member also makes tokens of it."""
        unit = self.units_by_identity.get(identity)
        return unit is not None and unit.group is not None

    @property
    def remote(self) -> RemoteTokens | None:
        """The tokens of other arrays. None if the array has no paths to other arrays."""
        return self.judge.remote

    @remote.setter
    def remote(self, remote: RemoteTokens | None) -> None:
        self.judge.remote = remote

    @property
    def accepts_remote(self) -> bool:
        """True if hosts may use the tokens of any other array."""
        return self.remote is not None and self.remote.are_accepted

    def unreachable(self, rule: str) -> Refusal:
        """Return the refusal of a command whose data is at an array that cannot be reached."""
        return Refusal(UNREACHABLE_CONDITIONS[self.options.unreachable_sense], rule=rule)

    def holds_blocks_of(self, logical_unit: LogicalUnit) -> bool:
        """True if this copy manager may make tokens for the blocks of a logical unit."""
        return logical_unit.pool is self.pool and logical_unit not in self.remote_logical_units

    def require_calm(self) -> None:
        """Raise Refusal (ILLEGAL REQUEST) if the array is under stress, so that hosts copy by reads and writes for a while."""
        self.stepping_aside.require_calm(len(self.operations), self.environment.monotonic())

    def require_room(self, nexus: Nexus) -> None:
        """Raise Refusal (ABORTED COMMAND) if no further operation may begin.

        After this refusal, Windows copies by reads and writes.
        """
        limit = None
        if len(self.operations) >= self.limits.max_concurrent_copies:
            limit = ("TOTAL CONCURRENT COPIES", self.limits.max_concurrent_copies)
        elif not self.records.has_room(nexus):
            limit = ("MAX_RECORDS_PER_NEXUS", self.limits.max_records_per_nexus)
        if limit is not None:
            raise Refusal(
                INSUFFICIENT_RESOURCES,
                key=SenseKey.ABORTED_COMMAND,
                rule="too many operations are under way",
                limit=limit[0],
                allowed=limit[1],
            )

    def begin(
        self,
        service_action: ServiceAction,
        list_identifier: int,
        requested_blocks: int,
        task: Task,
        *,
        in_background: bool,
        is_identified: bool = True,
    ) -> CopyOperation:
        """Begin an operation. The caller must have made all checks. If `is_identified` is False, no command can ask for the
        result of the operation.
        """
        now_s = self.environment.monotonic()
        self.counters.operations_started += 1
        number = self.counters.operations_started
        operation = CopyOperation(
            service_action, list_identifier, requested_blocks, task, now_s, in_background=in_background, number=number
        )
        self.records.expire(now_s, Steps(STEPS_ON_THE_WAY))
        if is_identified:
            self.records.add(operation)
        self.operations[operation] = None
        self.arrivals.remove(task, list_identifier)
        return operation

    def operation_ended(self, operation: CopyOperation, now_s: float) -> None:
        """Note the end of an operation. The job of the operation calls this method at its end."""
        self.operations.pop(operation, None)
        self.counters.operations_terminated += operation.status is CopyStatus.TERMINATED
        self.records.finished(operation, now_s)

    def terminate(self, operation: CopyOperation) -> None:
        """End an operation on request of another command or an operator. The operation changes nothing after this call."""
        operation.terminate()

    def expire(self, now_s: float, steps: Steps) -> bool:
        """Remove expired tokens and records, and release their resources, until the budget `steps` is used up.

        Returns True if there may be more expired tokens or records. `now_s` is monotonic.
        """
        tokens_left = self.tokens.expire(now_s, steps)
        return self.records.expire(now_s, steps) or tokens_left

    def note_refusal(
        self,
        initiator_name: str,
        lun_name: str,
        service_action: ServiceAction | Lid1Receive,
        error: Exception,
        progress: Progress = NOT_BEGUN,
    ) -> None:
        """Store the reason why a command was refused or did only a part of its work."""
        if self.refusals.note(initiator_name, lun_name, service_action, error, self.environment.time(), progress):
            self.totals.add_refusal(initiator_name, progress)

    def note_step(self, operation: CopyOperation, kind: StepKind, size_bytes: int) -> None:
        """Count a finished step of an operation."""
        self.counters.add_step(kind, size_bytes)
        self.totals.add_step(operation.nexus.initiator_name, kind, size_bytes)

    def report_internal_error(self, error: BaseException) -> None:
        if self.on_internal_error is not None:
            self.on_internal_error(error)

    def cancel(self, token: RodToken) -> None:
        """End a token because its source has changed or can no longer be watched."""
        self.tokens.finish(token, TokenEnd.CANCELLED, self.environment.monotonic())
