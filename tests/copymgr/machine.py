"""The base of the state machine: limits, strategies, and an array that reports each of its actions to a model at once."""

from collections.abc import Awaitable, Callable
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus
from odx_target.copymgr.operations.step_choice import StepKind
from odx_target.copymgr.tokens.inactivity_timeout import is_expired
from odx_target.copymgr.tokens.rod_token import RodToken
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from tests.copymgr.array import CopyArray, Range, Started, code_of, data_of, in_cdb
from tests.copymgr.model import (
    GOOD,
    UNKNOWN_IDENTIFIER,
    Model,
    ModelOperation,
    ModelToken,
)

SIZE_STORE_BLOCKS = 16
LUNS = (512, 512, 4096, 4096)
LIMITS = CopyLimits(
    max_range_descriptors=3,
    max_rod_bytes=12 * 4096,
    max_range_bytes=10 * 4096,
    optimal_transfer_bytes=4096,
    min_inactivity_timeout_s=4,
    default_inactivity_timeout_s=30,
    max_inactivity_timeout_s=60,
    max_token_lifetime_s=150,
    max_tokens=6,
    max_change_vulnerable_tokens=2,
    min_tombstone_s=1e9,
    max_records_per_nexus=4,
    record_lifetime_s=40.0,
    max_concurrent_copies=4,
    copy_step_bytes=2 * 4096,
    remap_step_bytes=3 * 4096,
)
LATEST_S = LIMITS.command_budget_s - LIMITS.answer_reserve_s

lun_numbers = st.integers(0, len(LUNS) - 1)
list_identifiers = st.integers(0, 2)
picks = st.integers(0, 1000)


def apart(cuts: list[int], backwards: bool) -> list[Range]:
    """Return ranges between every second pair of cuts, so that no ranges overlap."""
    cuts = sorted(cuts)
    ranges = [(first, end - first) for first, end in zip(cuts[::2], cuts[1::2], strict=False)]
    return ranges[::-1] if backwards else ranges


places = st.one_of(st.integers(0, 16).map(lambda block: block * 8), st.integers(0, 128))
good_ranges = st.builds(apart, st.lists(places, min_size=2, max_size=6, unique=True), st.booleans())
any_ranges = st.lists(st.tuples(st.integers(0, 140), st.integers(0, 100)), min_size=1, max_size=4)
range_lists = st.integers(0, 9).flatmap(lambda pick: any_ranges if pick == 9 else good_ranges)
LONGEST_DELAY_S = 5.0
delays = st.sampled_from([None, 0.0, 0.25, 1.0, 2.5, LONGEST_DELAY_S])


class Submitted:
    """A command under way. `predict` is called when its handler runs, and `check` when its reply arrives."""

    def __init__(self, nexus: Nexus, predict: Callable[[], str], check: Callable[[Reply, str], None]) -> None:
        self.nexus = nexus
        self.predict = predict
        self.check = check
        self.predicted: str | None = None
        self.operation: ModelOperation | None = None
        self.started: Started | None = None


class MachineUnderTest(RuleBasedStateMachine):
    """An array and its model, with the methods that the rules of the state machine use."""

    array: CopyArray
    model: Model
    nexuses: list[Nexus]
    submitted: dict[int, Submitted]
    """Commands whose replies have not been checked, by tag."""
    operations: dict[CopyOperation, ModelOperation]
    """The operations under way, with their models."""
    tokens: dict[RodToken, ModelToken]
    """All tokens that were made or loaded since the start of the array, with their models."""
    tokens_by_data: dict[bytes, ModelToken]
    is_stopping = False

    def wire(self) -> None:
        """Install functions that update the model at the moment when the array acts."""
        array = self.array
        array.server.before_command = self.before_command
        begin, ended, add_step = (
            array.manager.copies.begin,
            array.manager.copies.operation_ended,
            array.manager.copies.counters.add_step,
        )
        add_token = array.manager.copies.tokens.add
        self.tokens = {token: self.tokens_by_data[token.data] for token in array.manager.copies.tokens.live.values()}

        def spy_begin(*arguments: Any, **options: Any) -> CopyOperation:
            operation = begin(*arguments, **options)
            assert self.handled is not None
            assert self.handled.operation is not None
            self.operations[operation] = self.handled.operation
            return operation

        def spy_add_token(token: RodToken) -> None:
            add_token(token)
            assert self.handled is not None
            assert self.handled.operation is not None
            assert self.handled.operation.token is not None
            self.tokens[token] = self.tokens_by_data[token.data] = self.handled.operation.token

        def spy_ended(operation: CopyOperation, now_s: float) -> None:
            self.follow()
            if self.is_stopping:  # the operation has ended, or was cancelled while it waited
                self.model.terminate([self.operations[operation]] if operation.status is CopyStatus.TERMINATED else [])
            ended(operation, now_s)
            out_of_time = operation.sense != b"" and operation.transfer_count_blocks < len(self.operations[operation].writes)
            self.model.ended(self.operations.pop(operation), now_s, out_of_time)

        class Counters(type(array.manager.copies.counters)):  # type: ignore[misc]
            def add_step(counters, kind: StepKind, size_bytes: int) -> None:
                add_step(kind, size_bytes)
                self.follow()

        array.manager.copies.begin = spy_begin  # type: ignore[method-assign]
        array.manager.copies.operation_ended = spy_ended  # type: ignore[method-assign]
        array.manager.copies.tokens.add = spy_add_token  # type: ignore[method-assign]
        array.manager.copies.counters = Counters()
        for lun in range(len(LUNS)):
            self.listen(lun)
        self.apply_delay()
        self.nexuses = [array.nexus, array.new_nexus("iqn.host", "2"), array.new_nexus("iqn.other")]

    def listen(self, lun: int) -> None:
        self.array.volume(lun).on_change.append(lambda block, count: self.model.announced(lun, block, count, self.now_s))

    def follow(self) -> None:
        """Update the model with the blocks that operations have written since the last call."""
        for operation, modelled in self.operations.items():
            if modelled.kind == 0x11 and operation.transfer_count_blocks != modelled.count:
                self.model.progress(modelled, operation.transfer_count_blocks)

    @property
    def now_s(self) -> float:
        return self.array.environment.monotonic()

    def before_command(self, task: Task) -> Outcome | None:
        self.handled = self.submitted.get(task.tag)
        if self.handled is not None:
            self.handled.predicted = self.handled.predict()
        return None

    def submit(self, lun: int, cdb: bytes, data: bytes, command: Submitted) -> None:
        """Start a command. If it has to wait, its work has not begun when this returns."""
        tag = next(self.tags)
        self.submitted[tag] = command
        command.started = self.array.start(lun, cdb, data, nexus=command.nexus, tag=tag)
        self.reap()

    def reap(self) -> None:
        """Check the commands whose replies have arrived."""
        for tag, command in list(self.submitted.items()):
            assert command.started is not None
            if not command.started.is_done:
                continue
            del self.submitted[tag]
            reply = command.started.reply
            if command.started.task.aborted:
                assert code_of(reply) == "aborted"
            else:
                assert command.predicted is not None
                command.check(reply, command.predicted)

    def nexus(self, pick: int) -> Nexus:
        return self.nexuses[pick % len(self.nexuses)]

    def scaled(self, lun: int, ranges: list[Range]) -> list[Range]:
        """Convert ranges of 512-byte blocks to the blocks of the LUN."""
        unit = LUNS[lun] // 512
        return [(lba // unit, (lba + count) // unit - lba // unit) for lba, count in ranges]

    def operation(
        self, kind: int, lun: int, list_identifier: int, pick: int, ranges: list[Range], immed: bool
    ) -> ModelOperation:
        nexus = self.nexus(pick)
        requested = sum(count for _, count in ranges)
        return ModelOperation(kind, nexus, nexus.initiator_name, lun, list_identifier, requested, 0.0, immed)

    def command_of(self, operation: ModelOperation, predict: Callable[[], str]) -> Submitted:
        def check(reply: Reply, predicted: str) -> None:
            self.check_operation(operation, reply, predicted)

        assert isinstance(operation.nexus, Nexus)
        command = Submitted(operation.nexus, predict, check)
        command.operation = operation
        return command

    def check_operation(self, operation: ModelOperation, reply: Reply, predicted: str) -> None:
        if predicted != GOOD or operation.in_background:
            assert code_of(reply) == predicted
            return
        if operation.terminated:
            assert code_of(reply) == "A/2F/02"
            return
        assert operation.ended_s is not None
        if operation.status == 1:
            assert code_of(reply) == GOOD
            return
        assert code_of(reply) == "A/0D/04"
        assert reply.sense[0] == 0xF0
        assert int.from_bytes(reply.sense[3:7], "big") == operation.count > 0
        took_s = operation.ended_s - operation.started_s
        assert took_s <= LATEST_S + LONGEST_DELAY_S, "late"
        if operation.count < len(operation.writes):
            assert self.could_be_late(took_s)

    def could_be_late(self, took_s: float) -> bool:
        """True if there was no time for one more step with the longest delay."""
        return took_s + LONGEST_DELAY_S > LATEST_S

    def ask_for(self, nexus: Nexus, lun: int, list_identifier: int, allocation: int) -> None:
        self.model.expire_records(self.now_s)
        record = self.model.find_leniently(nexus, nexus.initiator_name, lun, list_identifier)
        reply = self.array.command(lun, in_cdb(0x07, list_identifier, allocation), nexus=nexus)
        if record is None:
            assert code_of(reply) == UNKNOWN_IDENTIFIER
            return
        data = data_of(reply)
        self.check_status(record, data, 4 + 514 * record.shows_token)
        if not allocation:
            record.released = record.released or not record.under_way
            assert data == b""
        if len(data) >= 36 and not data[13]:
            assert int.from_bytes(data[32:36], "big") == 514 * record.shows_token
        if len(data) == 550:
            self.learn(record, data[38:])

    def learn(self, record: ModelOperation, data: bytes) -> None:
        record.told = True
        token = record.token
        assert token is not None
        made = token.data or data
        assert data == made
        assert int.from_bytes(data[:4], "big") == token.rod_type
        assert int.from_bytes(data[48:64], "big") == len(token.rod)
        token.data = data

    def check_status(self, record: ModelOperation, data: bytes, trailer: int) -> None:
        if len(data) < 32:
            return
        status = record.shown_status
        sense_bytes = 20 if status == 3 else 0
        assert data[4:6] == bytes((record.kind, status))
        assert int.from_bytes(data[:4], "big") == 28 + sense_bytes + trailer
        assert data[8:12] == (b"\0\0\0\x64" if record.under_way else b"\xff\xff\xff\xfe")
        assert data[12] == {1: 0, 3: 2, 0x60: 0x40}.get(status, 0)
        assert (data[13], data[14], data[15]) == (sense_bytes, 18 if sense_bytes else 0, 0xF1)
        assert int.from_bytes(data[16:24], "big") == record.count

    def check_what_is_held(self) -> None:
        """Check that operations, leases, frozen maps and places in task sets agree with the model."""
        assert set(self.array.manager.copies.operations) == set(self.operations)
        assert set(self.operations.values()) == set(self.model.running)
        self.model.settle_time(self.now_s)
        held = set()
        for token, modelled in self.tokens.items():
            assert token.leases == modelled.leases
            is_known = self.array.manager.copies.tokens.live.get(token.identifier) is token
            is_alive = is_known and not is_expired(token, self.now_s)  # expired tokens wait to be removed
            assert is_alive == (not modelled.discarded and modelled.end is None)
            if is_known or modelled.leases:
                held.add(token.rod.frozen.identifier)
        assert set(self.array.pool.frozen_maps) == held
        for lun, logical_unit in self.array.logical_units.items():
            waiting = [
                tag
                for tag, command in self.submitted.items()
                if command.started is not None
                and (command.started.task.lun, command.started.is_done, command.started.task.aborted) == (lun, False, False)
            ]
            assert sorted(task.tag for task in logical_unit.tasks.tasks()) == sorted(waiting)

    def apply_delay(self) -> None:
        delay_s = self.delay_s

        def before_step(operation: CopyOperation) -> Awaitable[None] | None:
            return self.array.environment.sleep(delay_s) if delay_s else None

        self.array.manager.copies.before_step = None if delay_s is None else before_step


def expect(reply: Reply, predicted: str) -> None:
    assert code_of(reply) == predicted
