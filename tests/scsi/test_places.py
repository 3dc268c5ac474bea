"""Tasks whose data-out has not arrived: their place, the tasks that wait for them, and all ways to lose the place."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.limits import MAX_TASKS
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.reservations.persistent_reserve_out_effects import register_and_ignore_existing_key, reserve
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.place import Place
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from tests.scsi.array import Started, UnitUnderTest, code_of, data_of
from tests.settings import searching

SIMPLE, ORDERED, HEAD = TaskAttribute.SIMPLE, TaskAttribute.ORDERED, TaskAttribute.HEAD_OF_QUEUE
BLOCK = 512
TASK_ABORTED, TASK_SET_FULL, CONFLICT = 0x40, 0x28, 0x18


def write(lba: int, count: int) -> bytes:
    return bytes((0x2A, 0)) + lba.to_bytes(4, "big") + b"\0" + count.to_bytes(2, "big") + b"\0"


def read(lba: int, count: int) -> bytes:
    return b"\x28" + write(lba, count)[1:]


def unmap_list(lba: int, count: int) -> bytes:
    return bytes.fromhex("0016001000000000") + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(4)


UNMAP = bytes.fromhex("42000000000000001800")


class Arriving:
    """A command that was accepted. `arrive` delivers its data-out."""

    def __init__(self, unit: "SlowLink", place: Place | None) -> None:
        self._unit = unit
        self.place = place
        self.has_memory = True

    def arrive(self, data: bytes, *, holds_memory: bool = False) -> Started:
        assert self.place is not None
        task, outcome = self._unit.server.execute_accepted(self.place, [data], holds_memory=holds_memory)
        return self._unit.started(task, outcome)


class SlowLink(UnitUnderTest):
    """A logical unit that gets commands before their data-out."""

    def accept(
        self, cdb: bytes, *, nexus: Nexus | None = None, lun: int = 0, attribute: int = SIMPLE, tag: int = 1
    ) -> Arriving:
        arriving = Arriving(self, None)
        arriving.place = self.server.accept(
            nexus or self.nexus, lun, cdb.ljust(16, b"\0"), attribute, tag, lambda: not arriving.has_memory
        )
        return arriving

    def started(self, task: Task, outcome: Outcome) -> Started:
        started = Started(task, outcome if isinstance(outcome, Reply) else self.environment.spawn(outcome.run()))
        self.environment.settle()
        return started

    def begin(self, cdb: bytes, data: bytes = b"", **options: Any) -> Started:
        started = self.start(cdb, data, **options)
        self.environment.settle()
        return started

    def content(self, lba: int, count: int) -> bytes:
        return data_of(self.command(read(lba, count)))

    @property
    def is_idle(self) -> bool:
        return not self.logical_unit.tasks.members and not self.logical_unit.tasks.barriers


@pytest.mark.parametrize("attribute", [SIMPLE, ORDERED])
def test_a_later_write_does_not_overtake_one_whose_data_is_on_its_way(attribute: int) -> None:
    unit = SlowLink()
    first = unit.accept(write(0, 2), attribute=attribute)
    second = unit.begin(write(1, 2), b"2" * 1024, attribute=attribute)
    assert not second.is_done
    assert first.arrive(b"1" * 1024).reply.status == 0
    unit.environment.settle()
    assert second.reply.status == 0
    assert unit.content(0, 3) == b"1" * 512 + b"2" * 1024
    assert unit.is_idle


def test_reads_of_any_nexus_wait_for_the_data_and_others_do_not() -> None:
    unit = SlowLink()
    other = unit.new_nexus()
    first = unit.accept(write(8, 8))
    waiting = unit.begin(read(8, 1), nexus=other)
    assert not waiting.is_done
    assert unit.begin(read(16, 8), nexus=other).is_done
    assert unit.begin(write(0, 8), b"0" * 4096, nexus=other).is_done
    assert unit.begin(bytes(6), nexus=other).is_done
    first.arrive(b"1" * 4096)
    unit.environment.settle()
    assert data_of(waiting.reply) == b"1" * 512


def test_data_may_come_in_any_order() -> None:
    unit = SlowLink()
    places = [unit.accept(write(0, 1), tag=tag) for tag in range(4)]
    started = {index: places[index].arrive(bytes((index,)) * 512) for index in (2, 0, 3)}
    assert [index for index, each in started.items() if each.is_done] == [0]
    started[1] = places[1].arrive(bytes((1,)) * 512)
    unit.environment.settle()
    assert all(each.reply.status == 0 for each in started.values())
    assert unit.content(0, 1) == bytes((3,)) * 512
    assert unit.is_idle


def test_an_ordered_task_is_a_barrier_before_its_data_is_here() -> None:
    unit = SlowLink()
    ordered = unit.accept(write(0, 1), attribute=ORDERED)
    elsewhere = unit.begin(write(100, 1), b"2" * 512)
    probe = unit.begin(bytes(6))
    status = unit.begin(bytes.fromhex("12000000ff00"))  # INQUIRY, which is not ordered
    assert (elsewhere.is_done, probe.is_done, status.is_done) == (False, False, True)
    ordered.arrive(b"1" * 512)
    unit.environment.settle()
    assert elsewhere.is_done
    assert probe.is_done


def test_head_of_queue_is_passed_by_what_came_before_it_until_its_data_is_here() -> None:
    unit = SlowLink()
    before = unit.accept(write(0, 1), tag=1)
    head = unit.accept(write(0, 1), tag=2, attribute=HEAD)
    after = unit.begin(write(64, 1), b"3" * 512)
    assert not after.is_done
    assert before.arrive(b"1" * 512).is_done
    assert head.arrive(b"2" * 512).is_done
    unit.environment.settle()
    assert after.is_done
    assert unit.content(0, 1) == b"2" * 512


def test_head_of_queue_goes_to_the_head_with_its_data() -> None:
    unit = SlowLink()
    before = unit.accept(write(0, 1), tag=1)
    assert unit.accept(write(0, 1), tag=2, attribute=HEAD).arrive(b"2" * 512).is_done
    before.arrive(b"1" * 512)
    assert unit.content(0, 1) == b"1" * 512
    assert unit.is_idle


def test_a_list_may_name_any_block_until_it_is_here() -> None:
    unit = SlowLink(write_cache_enabled=False)
    unit.command(write(0, 16), b"x" * 8192)
    unit.pool.flush_delay_s = 0.01
    unmapping = unit.accept(UNMAP)
    waiting = unit.begin(read(0, 8)), unit.begin(read(8, 8))
    assert not any(each.is_done for each in waiting)
    assert not unmapping.arrive(unmap_list(9, 1)).is_done
    assert [each.is_done for each in waiting] == [True, False], "only one meets what the list names"
    unit.environment.advance(0.02)
    assert data_of(waiting[1].reply) == b"x" * 512 + bytes(512) + b"x" * 3072
    assert unit.is_idle


def test_a_list_that_is_none_gives_the_place_back() -> None:
    unit = SlowLink()
    unmapping = unit.accept(UNMAP)
    waiting = unit.begin(write(0, 1), b"1" * 512)
    assert code_of(unmapping.arrive(b"\0").reply) == (5, 0x1A, 0)
    unit.environment.settle()
    assert waiting.is_done
    assert unit.is_idle


@pytest.mark.parametrize(
    "options",
    [
        {"lun": 5, "cdb": write(0, 1)},
        {"cdb": b"\xc0" + bytes(9)},
        {"cdb": write(0, 1)[:9] + b"\x04"},
        {"cdb": write(0, 1), "attribute": 4},
        {"cdb": UNMAP[:2] + b"\1" + UNMAP[3:]},
    ],
)
def test_what_will_be_refused_anyway_takes_no_place(options: dict[str, Any]) -> None:
    unit = SlowLink()
    assert unit.accept(**options).place is None
    assert unit.is_idle


@pytest.mark.parametrize(
    ("change", "code"),
    [({"stopped": True}, (2, 4, 2)), ({"write_protected": True}, (7, 0x27, 0)), ({"capacity_blocks": 0}, (5, 0x21, 0))],
)
def test_what_is_refused_once_its_data_is_here_gives_the_place_back(change: dict[str, Any], code: tuple[int, ...]) -> None:
    unit = SlowLink()
    first = unit.accept(write(0, 1))
    waiting = unit.begin(read(0, 1))
    for name, value in change.items():
        setattr(unit.logical_unit, name, value)
    assert code_of(first.arrive(b"1" * 512).reply) == code
    unit.environment.settle()
    assert waiting.is_done
    assert unit.is_idle


def test_a_unit_attention_is_told_and_gives_the_place_back() -> None:
    unit = SlowLink()
    first = unit.accept(write(0, 1))
    unit.nexus.establish_unit_attention(0, 0x2A, 9)
    assert code_of(first.arrive(b"1" * 512).reply) == (6, 0x2A, 9)
    assert unit.is_idle


ENDS: dict[str, Callable[[SlowLink, Nexus], object]] = {
    "ABORT TASK": lambda unit, nexus: unit.server.abort_task(nexus, 0, 1),
    "ABORT TASK SET": lambda unit, nexus: unit.server.abort_task_set(nexus, 0),
    "CLEAR TASK SET": lambda unit, nexus: unit.server.clear_task_set(nexus, 0),
    "LOGICAL UNIT RESET": lambda unit, nexus: unit.server.reset_logical_unit(unit.logical_unit, nexus),
    "TARGET RESET": lambda unit, nexus: unit.server.reset_target(nexus),
    "nexus loss": lambda unit, nexus: unit.server.detach(nexus),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("attribute", [SIMPLE, ORDERED, HEAD])
def test_whatever_ends_the_task_takes_the_place_away(end: str, attribute: int) -> None:
    unit = SlowLink()
    other = unit.new_nexus()
    first = unit.accept(write(0, 1), attribute=attribute)
    assert ENDS[end](unit, unit.nexus) is not False
    assert unit.is_idle
    other.unit_attentions.clear()
    assert unit.begin(write(0, 1), b"2" * 512, nexus=other).is_done
    assert first.arrive(b"1" * 512).reply.status == TASK_ABORTED, "data that was too late"
    assert first.place is not None
    first.place.give_back()
    assert data_of(unit.command(read(0, 1), nexus=other)) == b"2" * 512


def test_others_are_told_of_what_a_clear_took_from_them() -> None:
    unit = SlowLink()
    other = unit.new_nexus()
    unit.accept(write(0, 1), nexus=other)
    unit.server.clear_task_set(unit.nexus, 0)
    assert other.unit_attentions == {0: [(0x2F, 0)]}


def test_a_place_given_back_lets_others_go_on() -> None:
    unit = SlowLink()
    first = unit.accept(write(0, 1))
    waiting = unit.begin(write(0, 1), b"2" * 512)
    assert first.place is not None
    for _ in range(2):
        first.place.give_back()
    unit.environment.settle()
    assert waiting.is_done
    assert unit.is_idle


# Reservations


KEY = bytes.fromhex("0000000000000000 0000000000000007 0000000000000000")
REGISTER, RESERVE, PREEMPT_AND_ABORT = (bytes((0x5F, action, 1, 0, 0, 0, 0, 0, 24, 0)) for action in (6, 1, 5))
OWN_KEY = KEY[8:16] + bytes(16)


def reserved_by(unit: SlowLink, nexus: Nexus) -> None:
    assert unit.command(REGISTER, KEY, nexus=nexus).status == 0
    assert unit.command(RESERVE, OWN_KEY, nexus=nexus).status == 0


def test_a_reservation_takes_the_place_of_those_that_it_keeps_out() -> None:
    unit = SlowLink()
    unit.nexus.initiator_port_name = "iqn.host,i,0x2"
    holder = unit.new_nexus()
    kept_out = unit.accept(write(0, 1), attribute=ORDERED)
    own = unit.accept(write(8, 1), nexus=holder, tag=2)
    started = unit.begin(REGISTER, KEY, nexus=holder)
    assert not started.is_done, "an ordered task is ahead of it"
    reserving = unit.logical_unit.reservations
    name = holder.name
    change = register_and_ignore_existing_key(reserving, name, 7, persists=False)
    unit.logical_unit.reservations = reserve(change.after, name, 7, 0, 1).after
    unit.environment.settle()
    assert started.is_done
    assert kept_out.arrive(b"1" * 512).reply.status == CONFLICT
    assert own.arrive(b"2" * 512).reply.status == 0
    assert unit.is_idle


def test_a_command_that_conflicts_takes_no_place_and_is_refused_even_if_the_reservation_ends() -> None:
    unit = SlowLink()
    unit.nexus.initiator_port_name = "iqn.host,i,0x2"
    holder = unit.new_nexus()
    reserved_by(unit, holder)
    kept_out = unit.accept(write(0, 1))
    assert unit.is_idle
    assert unit.begin(write(0, 1), b"2" * 512, nexus=holder).is_done
    assert unit.command(bytes((0x5F, 3, 1, 0, 0, 0, 0, 0, 24, 0)), OWN_KEY, nexus=holder).status == 0
    assert kept_out.arrive(b"1" * 512).reply.status == CONFLICT, "what came after it has been done"
    assert unit.content(0, 1) == b"2" * 512


def test_preempt_and_abort_ends_it() -> None:
    unit = SlowLink()
    unit.nexus.initiator_port_name = "iqn.host,i,0x2"
    holder = unit.new_nexus()
    reserved_by(unit, unit.nexus)
    assert unit.command(REGISTER, KEY[:8] + bytes(7) + b"\x08" + bytes(8), nexus=holder).status == 0
    first = unit.accept(write(0, 1))
    preempting = unit.command(PREEMPT_AND_ABORT, bytes(7) + b"\x08" + KEY[8:16] + bytes(8), nexus=holder)
    assert preempting.status == 0
    assert unit.is_idle
    assert first.arrive(b"1" * 512).reply.status == CONFLICT, "which nobody hears: the transport has ended it as well"


# No memory


def test_a_full_set_has_no_place_and_the_command_stays_refused() -> None:
    unit = SlowLink()
    places = [unit.accept(write(number * 8 % 8192, 1), tag=number) for number in range(MAX_TASKS)]
    late = unit.accept(write(0, 1), tag=MAX_TASKS)
    assert unit.command(read(0, 1)).status == TASK_SET_FULL
    for arriving in places:
        assert arriving.place is not None
        arriving.place.give_back()
    assert late.arrive(b"1" * 512).reply.status == TASK_SET_FULL
    assert unit.is_idle


def test_what_holds_memory_does_not_wait_behind_what_waits_for_memory() -> None:
    unit = SlowLink()
    other = unit.new_nexus()
    stalled = unit.accept(write(0, 8))
    stalled.has_memory = False
    reading = unit.begin(read(0, 16), nexus=other)
    beside, behind = unit.accept(write(64, 8), nexus=other, tag=2), unit.accept(write(8, 8), nexus=other, tag=3)
    assert beside.arrive(b"2" * 4096, holds_memory=True).reply.status == 0, "it does not have to wait"
    assert behind.arrive(b"3" * 4096, holds_memory=True).reply.status == TASK_SET_FULL, "the read is in its way"
    again = unit.accept(write(8, 8), nexus=other, tag=4)
    stalled.has_memory = True
    waiting = again.arrive(b"4" * 4096, holds_memory=True)
    assert not waiting.is_done
    stalled.arrive(b"1" * 4096)
    unit.environment.settle()
    assert data_of(reading.reply) == b"1" * 4096 + bytes(4096)
    assert waiting.reply.status == 0
    assert unit.is_idle


# Any order of events, compared with the simplest model


@dataclass
class Step:
    """A command of the model. It writes `value`, or reads if `value` is None."""

    lba: int
    count: int
    value: bytes | None
    arriving: Arriving | None = None
    started: Started | None = None
    is_dropped: bool = False
    expected: bytes = field(default=b"")


COMMANDS = st.lists(
    st.tuples(st.sampled_from(["write", "late write", "late write", "read"]), st.integers(0, 20), st.integers(1, 12)),
    min_size=1,
    max_size=14,
)


@searching(150)
@given(COMMANDS, st.randoms(use_true_random=False))
def test_the_medium_ends_up_as_if_commands_had_run_one_after_the_other(commands: list[Any], chance: Any) -> None:
    """Reads see the writes that were accepted before them, and the last write wins, even if data is late, cold or given up."""
    unit = SlowLink(size_store_blocks=8)
    unit.volume.is_cold = lambda: chance.random() < 0.3
    steps: list[Step] = []
    pending = list(enumerate(commands))
    while pending or any(step.arriving is not None and step.started is None and not step.is_dropped for step in steps):
        late = [step for step in steps if step.arriving is not None and step.started is None and not step.is_dropped]
        if pending and (not late or chance.random() < 0.6):
            number, (kind, lba, count) = pending.pop(0)
            steps.append(_begin(unit, chance, number, kind, lba, count))
        elif chance.random() < 0.15:
            _drop(unit, chance.choice(late), chance)
        else:
            step = chance.choice(late)
            assert step.arriving is not None
            assert step.value is not None
            step.started = step.arriving.arrive(step.value * step.count)
        if chance.random() < 0.3:
            unit.environment.advance(0.001)
    unit.environment.advance(1)
    unit.volume.is_cold = lambda: False
    _check(unit, steps)


def _begin(unit: SlowLink, chance: Any, number: int, kind: str, lba: int, count: int) -> Step:
    attribute = chance.choice([SIMPLE, SIMPLE, SIMPLE, ORDERED])
    value = None if kind == "read" else bytes((number + 1,)) * BLOCK
    step = Step(lba, count, value)
    if kind == "late write":
        step.arriving = unit.accept(write(lba, count), tag=1000 + number, attribute=attribute)
    else:
        cdb = read(lba, count) if value is None else write(lba, count)
        step.started = unit.begin(cdb, b"" if value is None else value * count, attribute=attribute)
    return step


def _drop(unit: SlowLink, step: Step, chance: Any) -> None:
    step.is_dropped = True
    assert step.arriving is not None
    assert step.arriving.place is not None
    if chance.random() < 0.5:
        step.arriving.place.give_back()
    else:
        task = step.arriving.place.task
        assert unit.server.abort_task(unit.nexus, 0, task.tag) or task.aborted


def _check(unit: SlowLink, steps: list[Step]) -> None:
    model = bytearray(8 * 4096)
    for step in steps:
        if step.is_dropped:
            continue
        assert step.started is not None
        assert step.started.is_done, "everybody had a turn"
        start, end = step.lba * BLOCK, (step.lba + step.count) * BLOCK
        if step.value is None:
            assert data_of(step.started.reply) == model[start:end]
        else:
            assert step.started.reply.status == 0
            model[start:end] = step.value * step.count
    assert unit.content(0, 64) == model
    assert unit.is_idle
