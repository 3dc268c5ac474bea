"""Faults of copies: they are injected before a step of a copy that has done a chosen part of its work."""

from odx_target.copymgr.commands.parameter_lists import ServiceAction
from odx_target.copymgr.operations.operation import CopyOperation, CutShort
from odx_target.copymgr.refusal import INJECTED, Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.environment import Environment
from odx_target.scsi.sense import COPY_TARGET_DEVICE_DATA_UNDERRUN, CheckCondition
from odx_target.target.faults.command_faults import STORE_ERRORS
from odx_target.target.faults.effects import Effects
from odx_target.target.faults.nexus_facts import isid_of
from odx_target.target.faults.occurrence import Occurrence, Point
from odx_target.target.faults.pauses import Pauses, is_pausing
from odx_target.target.faults.rule import Rule
from odx_target.target.faults.rules import FaultRules

WHOLE = 100


class CopyFaults:
    """Injects faults into the copies of a copy manager while there are rules for copies. A rule meets each copy once."""

    def __init__(self, rules: FaultRules, copies: Copies, environment: Environment, effects: Effects) -> None:
        self._rules = rules
        self._copies = copies
        self._environment = environment
        self._pauses = Pauses(rules, environment)
        self._effects = effects
        self._met: dict[CopyOperation, set[Rule]] = {}
        """The rules that each running copy has met."""
        rules.on_change.append(self._rules_changed)
        self._rules_changed()

    def _rules_changed(self) -> None:
        is_watched = bool(self._rules.active(Point.COPY))
        self._copies.before_step = self._before_step if is_watched else None
        self._copies.next_stop = self._next_stop if is_watched else None

    def _next_stop(self, operation: CopyOperation) -> int | None:
        """Return the number of blocks at which the next step must end, because a rule waits for this part of the work."""
        stops = [
            -(-operation.requested_blocks * rule.values.get("copy", 0) // WHOLE) for rule in self._rules.active(Point.COPY)
        ]
        later = [int(stop) for stop in stops if stop > operation.transfer_count_blocks]
        return min(later, default=None)

    async def _before_step(self, operation: CopyOperation) -> None:
        """Inject the faults of the rules for the present part of a copy. Raises CheckCondition, StoreError, CutShort."""
        for ended in [each for each in self._met if each not in self._copies.operations]:
            del self._met[ended]
        met = self._met.setdefault(operation, set())
        seen = self._occurrence(operation)
        here = [rule for rule in self._rules.active(Point.COPY) if rule not in met and rule.is_here(seen)]
        hits = self._rules.hits(seen, without=met)
        met.update(here)
        for rule in hits:
            await self._inject(operation, rule)

    async def _inject(self, operation: CopyOperation, rule: Rule) -> None:
        values = rule.values
        if is_pausing(rule):
            await self._pauses.of(rule)()
            operation.raise_if_ended()
        if "tokens" in values:
            self._effects.end_tokens(values["tokens"])
        if "restart" in values:
            self._effects.restart()
        if "close" in values:
            self._effects.cut(operation.nexus)
        if "restart" in values or "close" in values:
            await self._environment.sleep(0)  # A copy in the foreground ends here with its connection, without an answer.
        if "sense" in values:
            raise Refusal(values["sense"], rule=INJECTED, field=f"fault rule {rule.name}")
        if "error" in values:
            raise STORE_ERRORS[values["error"]](0)
        if "partial" in values:
            if operation.service_action is ServiceAction.WRITE_USING_TOKEN:
                raise CutShort
            raise CheckCondition(COPY_TARGET_DEVICE_DATA_UNDERRUN)

    def _occurrence(self, operation: CopyOperation) -> Occurrence:
        nexus, unit = operation.nexus, operation.logical_unit
        is_out = operation.service_action < ServiceAction.COPY_OPERATION_ABORT
        done = WHOLE * operation.transfer_count_blocks / operation.requested_blocks if operation.requested_blocks else 0.0
        return Occurrence(
            Point.COPY,
            command=(0x83 if is_out else 0x84, int(operation.service_action)),
            lun=nexus.lun_of(unit) or 0,
            volume=unit.volume.name,
            initiator=nexus.initiator_name,
            target=nexus.target_name,
            isid=isid_of(nexus.initiator_port_name),
            list_identifier=operation.list_identifier,
            percent=done,
        )
