"""Faults of SCSI commands: they are injected after all checks of the device server, just before the handler would run."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from odx_target.copymgr.commands.parameter_lists import THIRD_PARTY_COPY_OUT, ListFlag, ServiceAction
from odx_target.copymgr.refusal import INJECTED, Refusal
from odx_target.environment import Environment
from odx_target.scsi.buffers import buffers_bytes
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.extent import Extent
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import UNANSWERED, Reply
from odx_target.scsi.sense import CheckCondition
from odx_target.scsi.tasks.outcome import Outcome, Waiting, run_unless_aborted
from odx_target.scsi.tasks.task import Task
from odx_target.store.api import (
    BLOCK_BYTES,
    DamagedBlock,
    OutOfResources,
    PoolBusy,
    PoolFull,
    Refused,
    StoreError,
    Unreadable,
    Unwritable,
)
from odx_target.target.faults.effects import Effects
from odx_target.target.faults.names import TRANSFER_COMMANDS, command_code
from odx_target.target.faults.nexus_facts import isid_of, list_identifier_of
from odx_target.target.faults.occurrence import Occurrence, Point
from odx_target.target.faults.pauses import Pauses, is_pausing
from odx_target.target.faults.rule import Rule
from odx_target.target.faults.rules import FaultRules
from odx_target.target.faults.values import Part
from odx_target.target.faults.words.table import WORDS

REASON = "a fault was injected"
_OF_A_NEXUS = ("lun", "initiator", "target", "session")
"""Words whose conditions depend only on the nexus and the LUN."""

IMMEDIATE_COMMANDS = frozenset(
    (THIRD_PARTY_COPY_OUT, int(action)) for action in (ServiceAction.POPULATE_TOKEN, ServiceAction.WRITE_USING_TOKEN)
)
FLAGS_BYTE = 2
"""Byte of their parameter lists that has IMMED (SBC-4 5.24, 5.55)."""

STORE_ERRORS: dict[str, Callable[[int], StoreError]] = {
    # name: function that makes the exception for a block of the store
    "pool-full": lambda _block: PoolFull(REASON),
    "pool-busy": lambda _block: PoolBusy(REASON),
    "out-of-resources": lambda _block: OutOfResources(REASON),
    "damaged-block": lambda block: DamagedBlock(block, REASON),
    "unreadable": lambda block: Unreadable(block, REASON),
    "unwritable": lambda _block: Unwritable(REASON),
    "refused": lambda _block: Refused(REASON),
}


@dataclass(slots=True)
class _Plan:
    """The faults of all rules that have fired at one command. If rules contradict each other, the first one counts."""

    pauses: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    effects: list[Rule] = field(default_factory=list)
    end: Rule | None = None
    """The rule whose sense data, status or error ends the command."""
    transfer: Part | None = None
    is_answered: bool = True
    is_cut: bool = False

    @property
    def waits(self) -> bool:
        return bool(self.pauses or self.transfer or self.is_cut or not self.is_answered)


class CommandFaults:
    """Injects faults into the commands of a device server while there are rules for commands."""

    def __init__(self, rules: FaultRules, server: DeviceServer, environment: Environment, effects: Effects) -> None:
        self._rules = rules
        self._server = server
        self._pauses = Pauses(rules, environment)
        self._effects = effects
        rules.on_change.append(self._rules_changed)
        self._rules_changed()

    def _rules_changed(self) -> None:
        """Watch the commands only if there are rules, so that an array without rules pays nothing."""
        is_watched = bool(self._rules.active(Point.COMMAND))
        self._server.before_command = self._before_command if is_watched else None
        self._server.is_transfer_watched = self._is_transfer_watched if is_watched else None

    def _is_transfer_watched(self, nexus: Nexus, lun: int) -> bool:
        """True if a rule may apply to reads and writes of a nexus on a LUN. Otherwise the short lane executes them."""
        unit = nexus.logical_units.get(lun)
        seen = Occurrence(
            Point.COMMAND,
            lun=lun,
            volume="" if unit is None else unit.volume.name,
            initiator=nexus.initiator_name,
            target=nexus.target_name,
            isid=isid_of(nexus.initiator_port_name),
        )
        return any(_may_apply(rule, seen) for rule in self._rules.active(Point.COMMAND))

    def _before_command(self, task: Task) -> Outcome | None:
        hits = self._rules.hits(self._occurrence(task))
        if not hits:
            return None
        plan = _plan_of(hits)
        plan.pauses = [self._pauses.of(rule) for rule in hits if is_pausing(rule)]
        if plan.waits:
            return Waiting(self._run, task, plan)
        self._act(task, plan)
        return None if plan.end is None else self._ending(task, plan.end)

    def _occurrence(self, task: Task) -> Occurrence:
        nexus, unit = task.nexus, task.logical_unit
        return Occurrence(
            Point.COMMAND,
            command=command_code(task.cdb),
            lun=task.lun,
            volume=unit.volume.name if unit.is_present else "",
            extents=lambda: self._extents(task),
            initiator=nexus.initiator_name,
            target=nexus.target_name,
            isid=isid_of(nexus.initiator_port_name),
            list_identifier=list_identifier_of(task),
        )

    def _extents(self, task: Task) -> Sequence[Extent]:
        try:
            extents = self._server.commands.find(task.cdb).extents
            return () if extents is None else extents(task)
        except CheckCondition:
            return ()

    async def _run(self, task: Task, plan: _Plan) -> Reply:
        for pause in plan.pauses:
            await pause()
        task.raise_if_aborted()
        self._act(task, plan)
        if plan.is_cut:
            self._effects.cut(task.nexus)
            return UNANSWERED
        outcome = self._server.commands.find(task.cdb).handler(task) if plan.end is None else self._ending(task, plan.end)
        reply = outcome if isinstance(outcome, Reply) else await run_unless_aborted(task, outcome)
        if plan.transfer is not None:
            reply = _shortened(reply, plan.transfer)
        return reply if plan.is_answered else UNANSWERED

    def _act(self, task: Task, plan: _Plan) -> None:
        for rule in plan.effects:
            if "immediate" in rule.values:
                make_immediate(task)
            if "tokens" in rule.values:
                self._effects.end_tokens(rule.values["tokens"])
            if "restart" in rule.values:
                self._effects.restart()

    def _ending(self, task: Task, rule: Rule) -> Reply:
        """Return the reply by which a rule ends a command. Raises CheckCondition, StoreError."""
        values = rule.values
        if "sense" in values:
            raise Refusal(values["sense"], rule=INJECTED, field=f"fault rule {rule.name}")
        if "error" in values:
            extents = self._extents(task)
            lba = extents[0].lba if extents else 0
            raise STORE_ERRORS[values["error"]](lba * task.logical_unit.block_bytes // BLOCK_BYTES)
        return Reply(values["status"])


def make_immediate(task: Task) -> None:
    """Set IMMED in the parameter list of a POPULATE TOKEN or WRITE USING TOKEN. Other commands stay as they are."""
    data = bytearray(b"".join(task.data_out))
    if command_code(task.cdb) in IMMEDIATE_COMMANDS and len(data) > FLAGS_BYTE:
        data[FLAGS_BYTE] |= ListFlag.IMMED
        task.data_out = (bytes(data),)


def _plan_of(hits: Sequence[Rule]) -> _Plan:
    plan = _Plan()
    for rule in hits:
        values = rule.values
        if not {"tokens", "restart", "immediate"}.isdisjoint(values):
            plan.effects.append(rule)
        if plan.end is None and not {"sense", "status", "error"}.isdisjoint(values):
            plan.end = rule
        plan.transfer = plan.transfer or values.get("transfer")
        plan.is_answered &= "drop" not in values and "restart" not in values
        plan.is_cut |= "close" in values
    return plan


def _may_apply(rule: Rule, seen: Occurrence) -> bool:
    """True if a rule may apply to a read or write of the nexus and the LUN in `seen`."""
    values = rule.values
    if "command" in values and TRANSFER_COMMANDS.isdisjoint(values["command"]):
        return False
    words = (WORDS[key] for key in _OF_A_NEXUS if key in values)
    return all(word.matches is None or word.matches(values[word.key], seen) for word in words)


def _shortened(reply: Reply, part: Part) -> Reply:
    """Return a reply with only the first part of its data. The transport computes the residual count from its length."""
    data = b"".join(reply.data_in)
    size_bytes = part.of(buffers_bytes(reply.data_in))
    return Reply(reply.status, (data[:size_bytes],) if size_bytes else (), size_bytes, reply.sense)
