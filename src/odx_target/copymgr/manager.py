"""The copy manager of an array: one for all its sessions, logical units and ports.

A token made through one nexus may be used through every other and on every logical unit. A list identifier belongs to the
nexus and the logical unit that it was used with.
"""

from collections.abc import Callable

from odx_target.copymgr.commands.parameter_lists import ServiceAction
from odx_target.copymgr.commands.rows import command_rows
from odx_target.copymgr.commands.third_party_copy_page import THIRD_PARTY_COPY, third_party_copy_page
from odx_target.copymgr.counters import Counters
from odx_target.copymgr.limits import STEPS_ON_THE_WAY, CopyLimits, CopyOptions
from odx_target.copymgr.operations.copy_rate import CopyRate
from odx_target.copymgr.operations.job import BeforeStep
from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus
from odx_target.copymgr.operations.records import RecordTable
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.refusal_log import RefusalLog
from odx_target.copymgr.status import operation_data, token_data
from odx_target.copymgr.tokens.change_watch import ChangeWatch
from odx_target.copymgr.tokens.durable import DurableTokens
from odx_target.copymgr.tokens.issuer import TokenIssuer
from odx_target.copymgr.tokens.judgement import TokenJudge
from odx_target.copymgr.tokens.rod_token import RodToken, TokenEnd
from odx_target.copymgr.tokens.table import TokenTable
from odx_target.environment import Environment
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.sense import INSUFFICIENT_RESOURCES, CheckCondition, SenseKey
from odx_target.scsi.tasks.task import Task
from odx_target.store.api import Pool
from odx_target.turns import Steps


class CopyManager:
    """Tokens and copy operations over one pool.

    Give `commands()` to the device server, attach the logical units, and await `start` before the first command. `expire` is
    called now and then to give back what is over, in pieces; whether something is over is judged by the clock when it is used.
    `before_step` may delay or fail each step of each operation. `on_internal_error` hears of exceptions that are nobody's
    fault but ours, where no command is left to answer.
    """

    def __init__(
        self, pool: Pool, environment: Environment, limits: CopyLimits | None = None, options: CopyOptions | None = None
    ) -> None:
        self.pool = pool
        self.environment = environment
        self.limits = limits or CopyLimits()
        self.options = options or CopyOptions()
        self.copy_rate = CopyRate(self.limits)
        self.before_step: BeforeStep | None = None
        self.on_internal_error: Callable[[BaseException], None] | None = None
        self.logical_units: list[LogicalUnit] = []
        self.operations: dict[CopyOperation, None] = {}
        """All that are under way, in the order in which they began."""
        self.remote_logical_units: set[LogicalUnit] = set()
        """Those whose blocks pass for another copy manager's, as their owner chose: no tokens are made of them."""
        self.counters = Counters()
        self.refusals = RefusalLog()
        self.records = RecordTable(self.limits)
        self.tokens = TokenTable(self.limits)
        self.issuer = TokenIssuer(pool, environment)
        self.durable_tokens = DurableTokens(pool, environment)
        self.watch = ChangeWatch(self._cancel)
        self._identities: set[bytes] = set()
        self.judge = TokenJudge(self.issuer, self.tokens, self.options, self._identities)
        self.tokens.on_end += [self.watch.remove, self.durable_tokens.remove]

    def commands(self) -> list[CommandRow]:
        """The rows for the command table."""
        return command_rows(self)

    async def start(self) -> None:
        """Find the persistent tokens again. Raises PoolFull, PoolFailed where not even the secret can be kept."""
        self.issuer.open()
        for token in self.durable_tokens.load():
            self.tokens.add(token)
            used_at_s = token.used_at_s
            self.tokens.issue(token, used_at_s)
        await self.expire_in_turns(self.pool.commit)
        self.pool.commit()
        await self.pool.flush()

    def attach_logical_unit(self, logical_unit: LogicalUnit) -> None:
        """Offer third-party copy on a logical unit; does nothing the second time."""
        if logical_unit in self.logical_units:
            return
        self.logical_units.append(logical_unit)
        self._identities.add(logical_unit.identity)
        logical_unit.third_party_copy = True
        logical_unit.added_vpd_pages[THIRD_PARTY_COPY] = lambda unit: third_party_copy_page(unit, self.limits, self.options)
        logical_unit.on_reset.append(self.logical_unit_reset)

    def detach_logical_unit(self, logical_unit: LogicalUnit) -> None:
        """A logical unit goes away: its operations end. Its tokens stay, but for those whose source nobody can watch."""
        if logical_unit not in self.logical_units:
            return
        self.logical_unit_reset(logical_unit)
        self.logical_units.remove(logical_unit)
        self.remote_logical_units.discard(logical_unit)
        self._identities.discard(logical_unit.identity)
        logical_unit.third_party_copy = False
        logical_unit.added_vpd_pages.pop(THIRD_PARTY_COPY, None)
        logical_unit.on_reset.remove(self.logical_unit_reset)
        for token in self.watch.tokens_of(logical_unit.volume):
            self._cancel(token)

    def holds_blocks_of(self, logical_unit: LogicalUnit) -> bool:
        """True if tokens of a logical unit are this copy manager's to make."""
        return logical_unit.pool is self.pool and logical_unit not in self.remote_logical_units

    def logical_unit_reset(self, logical_unit: LogicalUnit) -> None:
        """Logical unit reset (SPC-4 5.16.4.5): operations end, records are gone, tokens live on."""
        for operation in [each for each in self.operations if each.logical_unit is logical_unit]:
            self.terminate(operation)
        self.records.drop_logical_unit(logical_unit)

    def nexus_lost(self, nexus: Nexus) -> None:
        """I_T nexus loss: commands end, background operations go on, and nobody can ask about them any more."""
        for operation in [each for each in self.operations if each.nexus is nexus and each.task is not None]:
            self.terminate(operation)
        self.records.drop_nexus(nexus)

    def nexus_preempted(self, nexus: Nexus, logical_unit: LogicalUnit) -> None:
        """PREEMPT AND ABORT: operations end as by COPY OPERATION ABORT, in the background too (SPC-4 5.13.11.2.6)."""
        for operation in [each for each in self.operations if (each.nexus, each.logical_unit) == (nexus, logical_unit)]:
            self.terminate(operation)

    def revoke(self, identifier: int) -> bool:
        """Management ends a token; False if there is none with that identifier."""
        token = self.tokens.live.get(identifier)
        if token is None:
            return False
        self.tokens.finish(token, TokenEnd.REVOKED, self.environment.monotonic())
        return True

    def expire(self, now_s: float, steps: Steps) -> bool:
        """Give back what tokens and records hold whose time is over, as far as the steps go; `now_s` is monotonic.

        True if something may be left.
        """
        tokens_left = self.tokens.expire(now_s, steps)
        return self.records.expire(now_s, steps) or tokens_left

    async def expire_in_turns(self, commit: Callable[[], None]) -> None:
        """Give it all back, a piece in each turn of the loop; each is committed. Raises what `commit` does."""
        turns = self.environment.turns
        await turns.next_if_spent()
        while self.expire(self.environment.monotonic(), turns):
            commit()
            await turns.next()
        commit()

    def next_expiry(self) -> float | None:
        """Before this monotonic time `expire` has nothing to do; None: there is nothing to expire."""
        times = [time_s for time_s in (self.tokens.next_expiry(), self.records.next_expiry()) if time_s is not None]
        return min(times, default=None)

    def status(self) -> dict[str, object]:
        """Tokens, operations, counters and the latest refusals as plain data."""
        now_s = self.environment.monotonic()
        return {
            "tokens": [token_data(token, now_s) for token in self.tokens.issued()],
            "tokens_ended": {end.name.lower(): count for end, count in self.tokens.ended.items()},
            "tombstones": len(self.tokens.tombstones),
            "copy_rate_bytes_per_s": self.copy_rate.bytes_per_s,
            "operations": [operation_data(operation, now_s) for operation in self.operations],
            "records": len(self.records),
            "record_bytes": self.records.total_bytes,
            "records_evicted": self.records.evictions,
            "damaged_durable_tokens": self.durable_tokens.damaged,
            "counters": self.counters.as_data(),
            "refusal_counts": self.refusals.counts,
            "latest_refusals": self.refusals.latest,
        }

    def is_in_progress(self, task: Task, list_identifier: int) -> bool:
        """True if the identifier of a command names an operation under way."""
        operation = self.records.find(task.nexus, task.logical_unit, list_identifier)
        return operation is not None and operation.is_in_progress

    def require_room(self, nexus: Nexus) -> None:
        """Raises Refusal when no further operation may begin, as ABORTED COMMAND: Windows then copies by reads and writes."""
        limit = None
        if len(self.operations) >= self.limits.max_concurrent_copies:
            limit = ("TOTAL CONCURRENT COPIES", self.limits.max_concurrent_copies)
        elif not self.records.has_room(nexus):
            limit = ("MAXIMUM_RECORDS_PER_NEXUS", self.limits.max_records_per_nexus)
        if limit is not None:
            raise Refusal(
                INSUFFICIENT_RESOURCES,
                key=SenseKey.ABORTED_COMMAND,
                rule="too many operations are under way",
                limit=limit[0],
                allowed=limit[1],
            )

    def begin(
        self, service_action: ServiceAction, list_identifier: int, requested_blocks: int, task: Task, *, in_background: bool
    ) -> CopyOperation:
        """An operation begins; every check has been made."""
        now_s = self.environment.monotonic()
        self.counters.operations_started += 1
        number = self.counters.operations_started
        operation = CopyOperation(
            service_action, list_identifier, requested_blocks, task, now_s, in_background=in_background, number=number
        )
        self.records.expire(now_s, Steps(STEPS_ON_THE_WAY))
        self.records.add(operation)
        self.operations[operation] = None
        return operation

    def operation_ended(self, operation: CopyOperation, now_s: float) -> None:
        """The last thing that whoever works for an operation says."""
        self.operations.pop(operation, None)
        self.counters.operations_terminated += operation.status is CopyStatus.TERMINATED
        self.records.finished(operation, now_s)

    def terminate(self, operation: CopyOperation) -> None:
        """End an operation from outside; from now on it changes nothing."""
        operation.terminate()

    def note_refusal(self, nexus: Nexus, service_action: ServiceAction, check: CheckCondition) -> None:
        """Remember why a command was refused or fell short."""
        self.refusals.note(nexus, service_action, check)

    def report_internal_error(self, error: BaseException) -> None:
        if self.on_internal_error is not None:
            self.on_internal_error(error)

    def _cancel(self, token: RodToken) -> None:
        self.tokens.finish(token, TokenEnd.CANCELLED, self.environment.monotonic())
