"""Many hosts, LUNs and tokens at once. After every step, the array agrees with a simple model."""

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import initialize, invariant, precondition, rule

from odx_target.copymgr.commands.parameter_lists import encode_populate_token, encode_write_using_token
from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from odx_target.scsi.nexus import Nexus
from odx_target.turns import Steps
from tests.copymgr.array import CopyArray, Range, code_of, data_of, in_cdb, out_cdb, pattern
from tests.copymgr.machine import (
    LIMITS,
    LUNS,
    SIZE_STORE_BLOCKS,
    MachineUnderTest,
    Submitted,
    delays,
    expect,
    good_ranges,
    list_identifiers,
    lun_numbers,
    picks,
    range_lists,
)
from tests.copymgr.model import (
    ANY,
    DEFAULT,
    GOOD,
    PERSISTENT,
    UNKNOWN_IDENTIFIER,
    VULNERABLE,
    Model,
    ModelToken,
)
from tests.little_memory import MAP_LEAVES, load_at_once
from tests.settings import searching


@pytest.fixture(autouse=True)
def _leaves_are_loaded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Avoid waits for leaves, because the model expects that commands end in a certain order."""
    if MAP_LEAVES is not None:
        load_at_once(monkeypatch.setattr)


class CopyMachine(MachineUnderTest):
    @initialize(seed=st.integers(0, 1000), steps_of_a_turn=st.sampled_from([1, 60, 1000]))
    def start(self, seed: int, steps_of_a_turn: int) -> None:
        self.array = CopyArray(LIMITS, size_store_blocks=SIZE_STORE_BLOCKS, block_lengths=LUNS, seed=seed)
        turns = self.array.environment.turns
        turns.of_a_turn = turns.left = steps_of_a_turn
        self.model = Model(LIMITS, LUNS, SIZE_STORE_BLOCKS)
        self.submitted = {}
        self.tags = iter(range(1 << 30, 1 << 31))  # different from the tags that the array itself uses
        self.operations = {}
        self.tokens_by_data = {}
        self.handled: Submitted | None = None
        self.delay_s: float | None = None
        self.writes = 0
        self.wire()
        for lun in range(len(LUNS)):
            self.write(lun, 0, 100, 0)

    # Writing.

    @rule(lun=lun_numbers, lba=st.integers(0, 127), count=st.integers(1, 40), pick=picks)
    def write(self, lun: int, lba: int, count: int, pick: int) -> None:
        lba, count = self.scaled(lun, [(lba, count)])[0]
        count = max(1, min(count, self.model.capacity(lun) - lba))
        self.writes += 1
        data = pattern(self.writes, lba, count, LUNS[lun])
        cdb = b"\x8a\0" + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(2)

        def predict() -> str:
            self.model.change(lun, lba, data)
            return GOOD

        self.submit(lun, cdb, data, Submitted(self.nexus(pick), predict, expect))

    # Tokens.

    @rule(
        lun=lun_numbers,
        ranges=range_lists,
        list_identifier=list_identifiers,
        pick=picks,
        immed=st.booleans(),
        rod_type=st.sampled_from([None, None, DEFAULT, VULNERABLE, PERSISTENT, ANY, 0x0001_0000]),
        timeout_s=st.sampled_from([0, 0, 1, 4, 10, 60, 61]),
    )
    def populate(
        self,
        lun: int,
        ranges: list[Range],
        list_identifier: int,
        pick: int,
        immed: bool,
        rod_type: int | None,
        timeout_s: int,
    ) -> None:
        ranges = self.scaled(lun, ranges)
        flags = immed | (0 if rod_type is None else 2)
        data = encode_populate_token(ranges, flags=flags, inactivity_timeout_s=timeout_s, rod_type=rod_type or 0)
        operation = self.operation(0x10, lun, list_identifier, pick, ranges, immed)

        def predict() -> str:
            return self.model.populate(operation, ranges, rod_type, timeout_s, self.now_s)

        self.submit(lun, out_cdb(0x10, list_identifier, len(data)), data, self.command_of(operation, predict))

    @precondition(lambda self: any(token.data for token in self.model.tokens))
    @rule(
        lun=lun_numbers,
        ranges=range_lists,
        list_identifier=list_identifiers,
        pick=picks,
        token_pick=picks,
        immed=st.booleans(),
        delete=st.integers(0, 3).map(lambda value: value == 0),
        offset=st.one_of(st.just(0), st.integers(0, 60)),
        altered=st.one_of(st.none(), st.none(), st.none(), st.integers(0, 4095)),
    )
    def write_using(
        self,
        lun: int,
        ranges: list[Range],
        list_identifier: int,
        pick: int,
        token_pick: int,
        immed: bool,
        delete: bool,
        offset: int,
        altered: int | None,
    ) -> None:
        known = [token for token in self.model.tokens if token.data]
        # mostly recent tokens, which are alive
        token: ModelToken | str = known[-1 - token_pick % min(len(known), 8)]
        assert isinstance(token, ModelToken)
        assert token.data is not None
        data = token.data
        if altered is not None:
            flipped = int.from_bytes(data, "big") ^ 1 << altered
            data = flipped.to_bytes(512, "big")
            token = "5/23/0A" if data[6:8] != b"\x01\xf8" else "5/23/05"
        self.write_with(lun, ranges, list_identifier, pick, immed, delete, offset, token, data)

    @rule(
        lun=lun_numbers,
        ranges=range_lists,
        list_identifier=list_identifiers,
        pick=picks,
        immed=st.booleans(),
        offset=st.one_of(st.just(0), st.integers(0, 2**64 - 1)),
    )
    def write_zeros(self, lun: int, ranges: list[Range], list_identifier: int, pick: int, immed: bool, offset: int) -> None:
        self.write_with(lun, ranges, list_identifier, pick, immed, False, offset, None, ZERO_TOKEN)

    def write_with(
        self,
        lun: int,
        ranges: list[Range],
        list_identifier: int,
        pick: int,
        immed: bool,
        delete: bool,
        offset: int,
        token: ModelToken | str | None,
        token_data: bytes,
    ) -> None:
        ranges = self.scaled(lun, ranges)
        data = encode_write_using_token(token_data, ranges, flags=immed | delete << 1, offset_into_rod=offset)
        operation = self.operation(0x11, lun, list_identifier, pick, ranges, immed)
        operation.delete = delete

        def predict() -> str:
            return self.model.write_using(operation, token, ranges, offset, self.now_s)

        self.submit(lun, out_cdb(0x11, list_identifier, len(data)), data, self.command_of(operation, predict))

    @rule(lun=lun_numbers, ranges=good_ranges, rod_type=st.sampled_from([None, VULNERABLE, PERSISTENT]), pick=picks)
    def make_token(self, lun: int, ranges: list[Range], rod_type: int | None, pick: int) -> None:
        """Make a token and fetch it at once, which is the usual case."""
        self.populate(lun, ranges, 3, pick, False, rod_type, 0)
        self.settle()
        self.ask_for(self.nexus(pick), lun, 3, 805)

    # Questions.

    @rule(lun=lun_numbers, list_identifier=list_identifiers, pick=picks)
    def ask_blindly(self, lun: int, list_identifier: int, pick: int) -> None:
        self.ask_for(self.nexus(pick), lun, list_identifier, 805)

    @precondition(lambda self: self.model.records)
    @rule(pick=picks, path=st.integers(0, 5), allocation=st.sampled_from([0, 4, 36, 549, 550, 805, 805, 805]))
    def ask(self, pick: int, path: int, allocation: int) -> None:
        record = self.model.records[-1 - pick % len(self.model.records)]
        nexus = record.nexus if path else self.nexus(pick)
        assert isinstance(nexus, Nexus)
        self.ask_for(nexus, record.lun, record.list_identifier, allocation)

    @rule(lun=lun_numbers, list_identifier=list_identifiers, pick=picks)
    def ask_for_status(self, lun: int, list_identifier: int, pick: int) -> None:
        nexus = self.nexus(pick)
        self.model.expire_records(self.now_s)
        record = self.model.find(nexus, lun, list_identifier)
        reply = self.array.command(lun, in_cdb(0x05, list_identifier, 1024), nexus=nexus)
        if record is None:
            assert code_of(reply) == UNKNOWN_IDENTIFIER
        else:
            self.check_status(record, data_of(reply), 0)

    @rule(lun=lun_numbers)
    def list_tokens(self, lun: int) -> None:
        before = self.model.listed(lun, self.now_s)
        found = self.array.all_tokens(lun)  # in several turns, between which tokens may be issued and end
        after = self.model.listed(lun, self.now_s)
        throughout = [token for token in after if token in before]
        assert len(throughout) <= len(found) <= len(before) + len(after) - len(throughout)
        assert {token.data[:96] for token in throughout if token.data} <= set(found)

    # Ends.

    def aborted(self, commands: list[Submitted]) -> None:
        """Record in the model that task management has ended commands, whether they had begun or not."""
        self.model.terminate([command.operation for command in commands if command.operation is not None])

    @precondition(lambda self: self.model.running)
    @rule(pick=picks)
    def abort_one_under_way(self, pick: int) -> None:
        operation = self.model.running[pick % len(self.model.running)]
        if operation.nexus in self.nexuses:
            self.abort_copy(operation.lun, operation.list_identifier, self.nexuses.index(operation.nexus))

    @rule(lun=lun_numbers, list_identifier=list_identifiers, pick=picks)
    def abort_copy(self, lun: int, list_identifier: int, pick: int) -> None:
        nexus = self.nexus(pick)
        record = self.model.find(nexus, lun, list_identifier)
        reply = self.array.command_at_once(lun, b"\x83\x1c" + list_identifier.to_bytes(4, "big"), nexus=nexus)
        if record is None or not record.under_way:
            assert code_of(reply) == UNKNOWN_IDENTIFIER
        else:
            assert code_of(reply) == GOOD
            self.model.terminate([record])

    @precondition(lambda self: self.submitted)
    @rule(pick=picks, last=st.booleans())
    def abort_task(self, pick: int, last: bool) -> None:
        tag = list(self.submitted)[-1 if last else pick % len(self.submitted)]
        command = self.submitted[tag]
        assert command.started is not None
        is_waiting = not command.started.is_done and not command.started.task.aborted
        assert self.array.server.abort_task(command.nexus, command.started.task.lun, tag) == is_waiting
        self.aborted([command] if is_waiting else [])

    @rule(lun=lun_numbers, pick=picks, everybody=st.booleans())
    def end_task_set(self, lun: int, pick: int, everybody: bool) -> None:
        nexus = self.nexus(pick)
        ended = [
            command
            for command in self.submitted.values()
            if command.started is not None
            and command.started.task.lun == lun
            and not command.started.is_done
            and (everybody or command.nexus is nexus)
        ]
        if everybody:
            self.array.server.clear_task_set(nexus, lun)
        else:
            self.array.server.abort_task_set(nexus, lun)
        self.aborted(ended)
        for each in self.nexuses:
            each.unit_attentions.clear()

    @rule(lun=lun_numbers, chance=st.integers(0, 9))
    def reset(self, lun: int, chance: int) -> None:
        whole = chance == 9
        if chance < 6:
            return
        if whole:
            self.array.server.reset_target(self.nexuses[0])
        else:
            self.array.server.reset_logical_unit(self.array.logical_units[lun], None)
        for each in range(len(LUNS)) if whole else [lun]:
            self.model.terminate([operation for operation in self.model.running if operation.lun == each])
            self.model.drop_records(lun=each)
        for nexus in self.nexuses:
            nexus.unit_attentions.clear()

    @rule(pick=picks, chance=st.integers(0, 9))
    def lose_nexus(self, pick: int, chance: int) -> None:
        if chance < 6:
            return
        nexus = self.nexus(pick)
        self.array.server.detach(nexus)
        self.model.terminate([each for each in self.model.running if each.nexus is nexus and not each.in_background])
        self.model.drop_records(nexus=nexus)
        number = self.nexuses.index(nexus)
        self.nexuses[number] = self.array.new_nexus(nexus.initiator_name, nexus.initiator_port_name[-1])

    @precondition(lambda self: any(token.data for token in self.model.tokens))
    @rule(pick=picks, chance=st.integers(0, 9))
    def revoke(self, pick: int, chance: int) -> None:
        if chance < 7:
            return
        known = [token for token in self.model.tokens if token.data]
        token = known[pick % len(known)]
        assert token.data is not None
        self.model.settle_time(self.now_s)
        self.array.manager.revoke(int.from_bytes(token.data[8:16], "big"))
        if token.end is None:
            token.end = "5/23/06"

    @rule()
    def settle(self) -> None:
        """Run everything that can run now."""
        self.array.environment.settle()
        self.reap()

    @rule(count=st.integers(1, 4))
    def step(self, count: int) -> None:
        """Run only some of the tasks that can run now."""
        for _ in range(count):
            self.array.environment.step()
        self.reap()

    @rule(delay_s=st.sampled_from([0.25, 1.0, 3.0, 10.0, 30.0]))
    def advance(self, delay_s: float) -> None:
        self.array.environment.advance(delay_s)
        self.reap()

    @rule(delay_s=delays)
    def change_delay(self, delay_s: float | None) -> None:
        self.delay_s = delay_s
        self.apply_delay()

    @rule()
    def collect(self) -> None:
        """Remove everything that has expired, and check that nothing else is removed."""
        self.array.manager.copies.expire(self.now_s, Steps(1 << 30))
        self.model.settle_time(self.now_s)
        self.model.expire_records(self.now_s)
        held = [token for token in self.model.tokens if not token.discarded and (token.end is None or token.leases)]
        assert len(self.array.pool.frozen_maps) == len(held)
        assert len(self.array.manager.copies.records) == len(self.model.records)
        next_s = self.array.manager.next_expiry()
        assert next_s is None or next_s > self.now_s

    @rule(chance=st.integers(0, 19), cut=st.booleans())
    def restart(self, chance: int, cut: bool) -> None:
        if chance < 18:
            return
        if chance == 18:
            self.advance(200.0)
        self.collect()
        self.is_stopping = True
        self.array.end_connections(cut=cut)
        self.array.copies.stop()
        self.is_stopping = False
        self.submitted.clear()
        assert self.operations == {}
        self.check_what_is_held()
        self.array.restart()
        self.load_maps()
        self.model.restart(self.now_s)
        self.wire()

    def load_maps(self) -> None:
        """Load the maps into memory, because the model does not know commands that wait for a part of a map."""
        pool, environment = self.array.pool, self.array.environment
        for source in (*pool.volumes.values(), *pool.frozen_maps.values()):
            environment.run(source.load(0, source.size_blocks))

    @invariant()
    def blocks_are_what_the_model_says(self) -> None:
        if not hasattr(self, "array"):
            return
        for lun, content in enumerate(self.model.luns):
            volume = self.array.volume(lun)
            found = volume.read_now(0, SIZE_STORE_BLOCKS)
            if found is None:  # A part of the map must be loaded.
                found = self.array.environment.run(volume.read(0, SIZE_STORE_BLOCKS))
            assert b"".join(found) == content
        self.model.assert_vulnerable_tokens_are_true()
        self.check_what_is_held()
        assert self.array.internal_errors == []

    def teardown(self) -> None:
        if hasattr(self, "array"):
            self.array.manager.copies.before_step = None
            self.array.environment.advance(300.0)
            self.reap()
            assert not self.submitted
            self.collect()
            CopyArray.close_all()


TestCopyMachine = CopyMachine.TestCase
TestCopyMachine.settings = searching(max_examples=250, steps=60)
