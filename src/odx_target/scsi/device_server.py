"""The device server: checks commands, orders them, and runs their handlers (SAM-5 4.6.16)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import cast

from odx_target.environment import Buffer
from odx_target.scsi.admission import admit, check_port, check_reservation, check_state, take_precedence
from odx_target.scsi.asymmetric_access.set_target_port_groups import rows as set_target_port_groups_rows
from odx_target.scsi.command_table import PADDED_CDB_BYTES, CommandRow, CommandTable, Entry
from odx_target.scsi.commands.identification import rows as identification_rows
from odx_target.scsi.commands.inquiry import rows as inquiry_rows
from odx_target.scsi.commands.mode_select import rows as mode_select_rows
from odx_target.scsi.commands.operation_codes import operation_codes_row
from odx_target.scsi.commands.timestamp import rows as timestamp_rows
from odx_target.scsi.extent import Extent
from odx_target.scsi.failures import reply_for
from odx_target.scsi.limits import MAX_TASKS, STEPS_OF_A_WAITING_TASK
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.reservations.persistent_reserve_out import rows as persistent_reserve_out_rows
from odx_target.scsi.sense import CheckCondition, Condition
from odx_target.scsi.tasks.member import Arrival, Member
from odx_target.scsi.tasks.member_task import MemberTask
from odx_target.scsi.tasks.outcome import Outcome, Pending, Waiting, run_unless_aborted
from odx_target.scsi.tasks.place import Place
from odx_target.scsi.tasks.task import ReservationConflict, Task, TaskAborted
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from odx_target.scsi.tasks.task_manager import TaskManager
from odx_target.scsi.tasks.task_set import TaskSet
from odx_target.scsi.tasks.third_party_access import ThirdPartyAccess
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.missing_logical_unit import MissingLogicalUnit
from odx_target.store.api import StoreError

_EXPECTED_ERRORS = (CheckCondition, StoreError, MemoryError)


class DeviceServer(TaskManager):
    """Executes the commands of all nexuses on all logical units.

    `rows` are rows of the command table. The device server adds the rows of seven commands that use the device server itself.
    REPORT SUPPORTED OPERATION CODES lists all commands. INQUIRY counts target ports. PERSISTENT RESERVE OUT, MODE SELECT, SET
    IDENTIFYING INFORMATION, SET TIMESTAMP and SET TARGET PORT GROUPS notify other nexuses, and PERSISTENT RESERVE OUT also
    aborts tasks of other nexuses.

    `before_command(task)` returns None, or an outcome. If it returns an outcome, the handler is not called.
    `after_command(task, reply)` returns the reply to send. Both see every command. But if `is_transfer_watched(nexus, lun)` is
    given and returns False, a transport may execute the reads and writes of this nexus on this LUN without them.
    `on_internal_error(error)` is called for each exception that is a fault of the array itself. `on_failure(task, error)` is
    called for each exception that ends a command, except an abort of its task.
    """

    def __init__(self, rows: Iterable[CommandRow]) -> None:
        super().__init__()
        self.commands = CommandTable(rows)
        for row in (
            operation_codes_row(self.commands),
            *persistent_reserve_out_rows(self),
            *mode_select_rows(self),
            *identification_rows(self),
            *inquiry_rows(self),
            *timestamp_rows(self),
            *set_target_port_groups_rows(self),
        ):
            self.commands.add(row)
        self._plain = self.commands.without_service_action
        self._third_party_numbers = count(1)
        self.before_command: Callable[[Task], Outcome | None] | None = None
        self.after_command: Callable[[Task, Reply], Reply] | None = None
        self.is_transfer_watched: Callable[[Nexus, int], bool] | None = None
        self.on_internal_error: Callable[[BaseException], None] | None = None
        self.on_failure: Callable[[Task, Exception], None] | None = None
        self.replaced_conditions: Mapping[Condition, Condition] = {}
        """The conditions that sense data reports instead of others."""
        # Substitute for a missing logical unit. Only commands with the flag WITHOUT_LOGICAL_UNIT get the substitute. These
        # commands check `is_present`.
        self.missing_unit = cast(LogicalUnit, MissingLogicalUnit())

    def execute(
        self, nexus: Nexus, lun: int, cdb: bytes, data_out: Sequence[Buffer], attribute: int, tag: int
    ) -> tuple[Task, Outcome]:
        """Execute a command. No command of an initiator can make this method raise an exception.

        Returns the task and its outcome. The outcome is a reply or pending work. The caller must run or abandon pending work.
        If the task was aborted, the caller must not send the reply of its pending work. `data_out` is not used after this
        method has returned.
        """
        logical_unit = nexus.logical_units.get(lun)
        entry = self._plain.get(cdb[0]) if len(cdb) == PADDED_CDB_BYTES else None
        if (
            logical_unit is None
            or entry is None
            or nexus.unit_attentions.get(lun)
            or (logical_unit.tasks.members and _may_have_to_wait(logical_unit.tasks, entry, attribute))
            or not logical_unit.is_ready
            or logical_unit.is_reserved
            or (
                logical_unit.restricted is not None
                and logical_unit.group is None
                and nexus.target_port.target_port_group in logical_unit.restricted
            )
            or int.from_bytes(cdb, "big") & entry.forbidden
            or attribute > TaskAttribute.HEAD_OF_QUEUE
            or (entry.writes_medium and (logical_unit.write_protected or lun in nexus.read_only_luns))
            or self.before_command is not None
            or self.after_command is not None
            or (logical_unit.group is not None and not (entry.is_simple_in_group and logical_unit.group.is_open()))
        ):
            return self._execute_with_care(nexus, lun, cdb, data_out, attribute, tag)
        task = Task(nexus, logical_unit, cdb, data_out, attribute, tag, False, lun)
        if logical_unit.group is not None:
            task.gates = logical_unit.group.alone
        try:
            outcome = entry.handler(task)
        except Exception as error:
            outcome = self._reply_to(error, task, entry)
        if isinstance(outcome, Reply):
            return task, outcome
        return task, self._continue(task, entry, outcome)

    def watches_transfers(self, nexus: Nexus, lun: int) -> bool:
        """True if `before_command` or `after_command` must see the reads and writes of a nexus on a LUN."""
        if self.before_command is None and self.after_command is None:
            return False
        return self.is_transfer_watched is None or self.is_transfer_watched(nexus, lun)

    def reply_to_failed(
        self,
        error: Exception,
        nexus: Nexus,
        logical_unit: LogicalUnit,
        cdb: bytes,
        data_out: Sequence[Buffer],
        lun: int,
    ) -> Reply:
        """Return the reply to a command that an exception has ended. The command was executed without this device server."""
        task = Task(nexus, logical_unit, cdb, data_out, lun=lun)
        return self._reply_to(error, task, self._plain.get(cdb[0]))

    def accept(
        self, nexus: Nexus, lun: int, cdb: bytes, attribute: int, tag: int, awaits_memory: Callable[[], bool]
    ) -> Place | None:
        """Give a command a place in the task set before its data-out arrives.

        Returns the place, or None if the command needs no place. The caller must pass the place to `execute_accepted`, or call
        `give_back` of the place. `awaits_memory` returns True while the transport does not have enough memory for all data of
        the command.
        """
        logical_unit = nexus.logical_units.get(lun)
        if logical_unit is None or attribute > TaskAttribute.HEAD_OF_QUEUE:
            return None
        task = Task(nexus, logical_unit, cdb, (), attribute, tag, False, lun)
        try:
            entry = self.commands.find(cdb)
            entry.check(cdb)
            if not entry.is_ordered:
                return None
            take_precedence(task, entry)
            place = Place(task, entry, Arrival(nexus, entry.access_of(cdb), awaits_memory))
            self._number(place.member, entry)
            return place
        except CheckCondition:  # an invalid command changes nothing, and is refused after its data has arrived
            return None

    def execute_accepted(self, place: Place, data_out: Sequence[Buffer], *, holds_memory: bool) -> tuple[Task, Outcome]:
        """Execute a command that has a place, after its data-out has arrived.

        Apart from that, this method does the same as `execute`. `holds_memory` is True if the data occupies memory for which
        other tasks may wait. Such a command must not wait for a task that waits for memory. If it would have to wait for such a
        task, it is refused with TASK SET FULL.
        """
        task, entry = place.task, place.entry
        task.data_out = data_out
        outcome: Outcome | None = place.refusal()
        try:
            if outcome is None:
                assert place.member is not None
                admit(task, self.commands)
                _pass_gate(task, entry)
                place.data_arrived(place.member)
                outcome = self._start_member(place.member, task, entry, holds_memory=holds_memory)
        except Exception as error:
            place.give_back()
            outcome = self._reply_to(error, task, entry)
        if isinstance(outcome, Reply):
            return task, self._ended(task, outcome)
        return task, outcome

    def _execute_with_care(
        self, nexus: Nexus, lun: int, cdb: bytes, data_out: Sequence[Buffer], attribute: int, tag: int
    ) -> tuple[Task, Outcome]:
        """Execute a command for which the fast path of `execute` is not sufficient. Make all checks in their order, and call
        `before_command` and `after_command`.
        """
        task = Task(nexus, nexus.logical_units.get(lun, self.missing_unit), cdb, data_out, attribute, tag, False, lun)
        entry: Entry | None = None
        try:
            entry = admit(task, self.commands)
            _pass_gate(task, entry)
            outcome = self._start(task, entry)
        except Exception as error:
            outcome = self._reply_to(error, task, entry)
        if isinstance(outcome, Reply):
            return task, self._ended(task, outcome)
        return task, outcome

    def _start(self, task: Task, entry: Entry) -> Outcome:
        """Run the handler now. If other tasks must end first, return pending work that waits for them and then runs the
        handler.
        """
        tasks = task.logical_unit.tasks
        if not tasks.members and entry.other_extents is None:
            outcome = self._handle(task, entry)
            return outcome if isinstance(outcome, Reply) else self._continue(task, entry, outcome)
        if len(tasks.members) >= MAX_TASKS:
            return Reply(Status.TASK_SET_FULL)
        member = tasks.join(task, _extents(task, entry), is_ordered=entry.is_ordered)
        self._number(member, entry)
        return self._start_member(member, task, entry)

    def _number(self, member: Member | None, entry: Entry) -> None:
        """Number a third-party copy command in the order of arrival (rule 8 of `tasks.task_set`)."""
        if member is not None and entry.other_extents is not None:
            member.number = next(self._third_party_numbers)

    def _join_others(self, member: Member, task: Task, entry: Entry) -> bool:
        """Add a third-party copy command to the task sets of all other logical units that it touches. Return False if one of
        these task sets is full.
        """
        others = () if entry.other_extents is None else entry.other_extents(task)
        if any(len(logical_unit.tasks.members) >= MAX_TASKS for logical_unit, _ in others):
            return False
        for logical_unit, extents in others:
            lun = task.nexus.lun_of(logical_unit)
            assert lun is not None, "the command touches only logical units of its nexus"
            if logical_unit.group is not None and logical_unit.group.refusal() is None:
                task.pass_gate(logical_unit.group)
            logical_unit.tasks.join_for(member, ThirdPartyAccess(task, lun), extents)
        return True

    def _start_member(self, member: Member, task: Task, entry: Entry, *, holds_memory: bool = False) -> Outcome:
        """Run the handler of a member of the task set, now or after other tasks. If this fails, the task has left all task
        sets.
        """
        tasks = task.logical_unit.tasks
        try:
            if not self._join_others(member, task, entry):
                tasks.leave(member)
                return Reply(Status.TASK_SET_FULL)
            if tasks.must_wait(member):
                if (holds_memory or member.others) and tasks.would_wait_for_memory(member):
                    tasks.leave(member)
                    return Reply(Status.TASK_SET_FULL)
                _own_data_out(task)
                tasks.take_steps(STEPS_OF_A_WAITING_TASK)
                return self._member_task(member, task, entry, Waiting(self._take_turn, member, task, entry))
            outcome = self._handle(task, entry)
        except Exception:
            tasks.leave(member)
            raise
        if isinstance(outcome, Reply):
            tasks.leave(member)
            return outcome
        return self._run_later(member, task, entry, outcome)

    def _handle(self, task: Task, entry: Entry) -> Outcome:
        if self.before_command is not None:
            outcome = self.before_command(task)
            if outcome is not None:
                return outcome
        return entry.handler(task)

    def _continue(self, task: Task, entry: Entry, pending: Pending) -> Outcome:
        """Add a task to the task set, because its handler has returned pending work."""
        try:
            member = task.logical_unit.tasks.join(task, _extents(task, entry), is_ordered=entry.is_ordered)
        except Exception as error:
            pending.abandon()
            return self._reply_to(error, task, entry)
        return self._run_later(member, task, entry, pending)

    def _run_later(self, member: Member, task: Task, entry: Entry, pending: Pending) -> Outcome:
        """Mark a member as running, and return its pending work for the caller to run."""
        member.begin()
        task.logical_unit.tasks.take_steps(STEPS_OF_A_WAITING_TASK)
        outcome = self._member_task(member, task, entry, pending)
        try:
            _own_data_out(task)
        except Exception as error:  # Python may have no memory for the copy
            outcome.abandon()
            return self._reply_to(error, task, entry)
        return outcome

    def _member_task(self, member: Member, task: Task, entry: Entry, pending: Pending) -> MemberTask:
        reply_to = partial(self._reply_to, task=task, entry=entry)
        return MemberTask(task.logical_unit.tasks, member, task, pending, reply_to, partial(self._ended, task))

    async def _take_turn(self, member: Member, task: Task, entry: Entry) -> Reply:
        """Wait until the tasks that must run before this task have ended. Then run the handler of the task."""
        await task.logical_unit.tasks.turn_of(member)
        task.raise_if_aborted()
        check_port(task, entry)  # the state of the port may have changed during the wait
        check_reservation(task, entry)  # a reservation may have been made during the wait
        check_state(task, entry)
        outcome = self._handle(task, entry)
        return outcome if isinstance(outcome, Reply) else await run_unless_aborted(task, outcome)

    def _ended(self, task: Task, reply: Reply) -> Reply:
        if task.aborted:
            reply = Reply(Status.TASK_ABORTED)
        if self.after_command is None:
            return reply
        try:
            return self.after_command(task, reply)
        except Exception as error:
            return self._reply_to(error, task, None)

    def _reply_to(self, error: Exception, task: Task, entry: Entry | None) -> Reply:
        if isinstance(error, TaskAborted):
            return Reply(Status.TASK_ABORTED)
        if self.on_failure is not None:
            self.on_failure(task, error)
        if isinstance(error, ReservationConflict):
            return Reply(Status.RESERVATION_CONFLICT)
        if not isinstance(error, _EXPECTED_ERRORS) and self.on_internal_error is not None:
            self.on_internal_error(error)
        return reply_for(error, task, entry, self.replaced_conditions)


def _may_have_to_wait(tasks: TaskSet, entry: Entry, attribute: int) -> bool:
    """True if a command may have to wait for tasks in the task set. It is False for a read if no task in the set can delay a
    read.
    """
    return entry.writes_medium or tasks.barriers > 0 or attribute > TaskAttribute.SIMPLE or len(tasks.members) >= MAX_TASKS


def _extents(task: Task, entry: Entry) -> Sequence[Extent]:
    return () if entry.extents is None else entry.extents(task)


def _pass_gate(task: Task, entry: Entry) -> None:
    """Prepare the group of a logical unit for a command that has something to do with it."""
    gate = task.logical_unit.group
    if gate is not None and entry.in_group:
        task.pass_gate(gate)


def _own_data_out(task: Task) -> None:
    """Copy the data-out of a task that has to wait, because the transport reuses the buffers after `execute` has returned."""
    if task.data_out:
        task.data_out = [b"".join(task.data_out)]
