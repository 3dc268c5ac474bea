"""The order of tasks: single cases, and random task sets compared with the written rules."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.extent import Extent
from odx_target.scsi.limits import MAX_TASKS
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.member import MAX_PIECES, Member
from odx_target.scsi.tasks.outcome import Waiting
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from tests.scsi.array import UnitUnderTest, code_of

SIMPLE, ORDERED, HEAD = TaskAttribute.SIMPLE, TaskAttribute.ORDERED, TaskAttribute.HEAD_OF_QUEUE
READ, WRITE, BOTH_NOWHERE, UNORDERED = 0xC0, 0xC1, 0xC2, 0xC3


def extents(task):
    return (Extent(task.cdb[1], task.cdb[2], writes=task.cdb[0] == WRITE),)


@dataclass
class SlowUnit(UnitUnderTest):
    """A unit whose commands run until the test ends them. Byte 1 of a CDB is the LBA, byte 2 the count, byte 3 a name."""

    running: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__()
        mask = bytes((0, 255, 255, 255, 0, 0))
        flags = CommandFlag.NOT_ORDERED
        self.server = DeviceServer(
            [
                CommandRow("READ", READ, mask, self.slowly, extents=extents),
                CommandRow("WRITE", WRITE, mask, self.slowly, flags=CommandFlag.WRITES_MEDIUM, extents=extents),
                CommandRow("NOWHERE", BOTH_NOWHERE, mask, self.slowly),
                CommandRow("UNORDERED", UNORDERED, mask, self.slowly, flags=flags, extents=extents),
            ]
        )
        self.nexus = self.new_nexus()

    def slowly(self, task):
        name = chr(task.cdb[3])
        self.log.append(name)
        self.running[name] = self.environment.event()
        return Waiting(self._until_released, name)

    async def _until_released(self, name):
        await self.running[name].wait()
        return Reply()

    def begin(self, name, operation_code, lba=0, count=8, attribute=SIMPLE, **options):
        started = self.start(bytes((operation_code, lba, count, ord(name))), attribute=attribute, **options)
        self.environment.settle()
        return started

    def end(self, name):
        self.running.pop(name).set()
        self.environment.settle()


def test_tasks_that_do_not_meet_run_beside_each_other():
    unit = SlowUnit()
    unit.begin("a", WRITE, 0, 8)
    unit.begin("b", WRITE, 8, 8)
    unit.begin("c", READ, 16, 8)
    unit.begin("d", READ, 16, 8)
    unit.begin("e", BOTH_NOWHERE)
    assert unit.log == list("abcde")


def test_overlapping_tasks_keep_their_order():
    unit = SlowUnit()
    unit.begin("a", READ, 0, 16)
    unit.begin("b", WRITE, 8, 16)
    unit.begin("c", READ, 16, 8)
    unit.begin("d", READ, 0, 8)
    assert unit.log == list("ad")
    unit.end("a")
    assert unit.log == list("adb")
    unit.end("b")
    assert unit.log == list("adbc")


def test_tasks_on_sectors_of_one_store_block_wait_for_each_other():
    unit = SlowUnit()
    unit.begin("a", WRITE, 3, 1)
    unit.begin("b", WRITE, 4, 1)
    unit.begin("c", WRITE, 8, 1)
    assert unit.log == list("ac")


def test_a_task_that_touches_no_block_waits_for_none():
    unit = SlowUnit()
    unit.begin("a", WRITE, 0, 8)
    unit.begin("b", WRITE, 3, 0)
    unit.begin("c", READ, 3, 0)
    assert unit.log == list("abc")


def test_an_ordered_task_waits_for_all_and_all_wait_for_it():
    unit = SlowUnit()
    unit.begin("a", READ, 0, 8)
    unit.begin("o", READ, 64, 8, ORDERED)
    unit.begin("b", READ, 128, 8)
    unit.begin("c", BOTH_NOWHERE)
    unit.begin("u", UNORDERED)
    assert unit.log == list("au")
    unit.end("a")
    assert unit.log == list("auo")
    unit.end("o")
    assert unit.log == list("auobc")


def test_head_of_queue_passes_those_who_wait_but_not_those_who_run():
    unit = SlowUnit()
    unit.begin("a", WRITE, 0, 8)
    unit.begin("b", WRITE, 0, 8)
    unit.begin("o", READ, 64, 8, ORDERED)
    unit.begin("h", WRITE, 0, 8, HEAD)
    unit.begin("i", READ, 128, 8, HEAD)
    assert unit.log == list("ai")
    unit.end("a")
    assert unit.log == list("aih")
    unit.end("i")
    unit.end("h")
    assert unit.log == list("aihb")
    unit.end("b")
    assert unit.log == list("aihbo")


def test_simple_tasks_wait_for_an_older_head_of_queue_task():
    unit = SlowUnit()
    unit.begin("h", READ, 0, 8, HEAD)
    unit.begin("a", READ, 64, 8)
    unit.begin("n", READ, 64, 8, TaskAttribute.UNTAGGED)
    assert unit.log == ["h"]
    unit.end("h")
    assert unit.log == list("han")


def test_reads_need_not_be_looked_at_while_nothing_stands_in_their_way():
    unit = SlowUnit()
    unit.begin("a", READ)
    assert not unit.logical_unit.tasks.barriers
    unit.begin("b", WRITE, 64)
    assert unit.logical_unit.tasks.barriers == 1
    unit.end("b")
    assert not unit.logical_unit.tasks.barriers


@pytest.mark.parametrize("attribute", [4, 5, 6, 7])
def test_attributes_that_are_not_there_are_refused(attribute):
    assert code_of(UnitUnderTest().command("00" * 6, attribute=attribute)) == (5, 0x49, 0)


@pytest.mark.parametrize("attribute", [0, 1, 2, 3])
def test_attributes_that_are_there_are_taken(attribute):
    assert UnitUnderTest().command("00" * 6, attribute=attribute).status == 0


def test_a_set_that_is_full_says_so():
    unit = SlowUnit()
    unit.logical_unit.tasks.members = [None] * MAX_TASKS
    assert unit.command(bytes((READ, 0, 8, 65))).status == 0x28


def test_a_task_that_waits_and_is_aborted_never_runs():
    unit = SlowUnit()
    unit.begin("a", WRITE)
    waiting = unit.begin("b", WRITE, tag=77)
    behind = unit.begin("c", WRITE)
    assert unit.server.abort_task(unit.nexus, 0, 77)
    unit.end("a")
    assert unit.log == list("ac"), "who waited for it goes on"
    assert waiting.reply.status == 0x40
    unit.end("c")
    assert behind.reply.status == 0
    assert not unit.logical_unit.tasks.members
    assert not unit.logical_unit.tasks.barriers


def test_waiting_for_those_who_run_behind_a_block():
    unit = SlowUnit()
    for name, lba in (("a", 0), ("b", 16), ("c", 20), ("d", 40)):
        unit.begin(name, WRITE, lba)
    assert unit.log == ["a", "b", "d"], "c waits for b"
    waits = {block: unit.environment.spawn(unit.logical_unit.tasks.running_ended(block)) for block in (0, 1, 2, 3, 6)}
    unit.environment.settle()
    unit.begin("e", WRITE, 64)
    assert _ended(unit, waits) == [6]
    unit.end("b")
    assert "c" in unit.running, "which nobody who asked before waits for"
    assert _ended(unit, waits) == [6]
    unit.end("d")
    assert _ended(unit, waits) == [1, 2, 3, 6]
    unit.server.abort_task_set(unit.nexus, 0)
    assert _ended(unit, waits) == [0, 1, 2, 3, 6]
    for name in "ace":
        unit.end(name)


def _ended(unit, waits):
    unit.environment.settle()
    return [block for block, wait in waits.items() if wait.done]


def test_nobody_waits_for_an_aborted_task():
    unit = SlowUnit()
    aborted = unit.begin("a", WRITE, tag=5)
    unit.begin("b", WRITE)
    assert unit.server.abort_task(unit.nexus, 0, 5)
    unit.environment.settle()
    assert unit.log == list("ab")
    unit.end("a")
    assert aborted.reply.status == 0x40


def test_a_handler_that_refuses_after_waiting_leaves_the_set():
    unit = SlowUnit()
    unit.begin("a", WRITE)
    refused = unit.start(bytes.fromhex("c100080099ff"))
    assert code_of(refused.reply) == (5, 0x24, 0)
    waiting = unit.begin("b", WRITE)
    unit.server.before_command = lambda task: Reply(8)
    unit.end("a")
    assert waiting.reply.status == 8
    assert not unit.logical_unit.tasks.members


TASKS = st.lists(
    st.tuples(
        st.sampled_from([READ, WRITE, BOTH_NOWHERE, UNORDERED]),
        st.integers(0, 63),
        st.integers(0, 24),
        st.sampled_from([SIMPLE, SIMPLE, SIMPLE, ORDERED, HEAD]),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(TASKS, st.randoms(use_true_random=False))
def test_no_two_tasks_that_conflict_run_together_and_all_end(tasks, chance):
    unit = SlowUnit()
    names = {}
    pending = list(enumerate(tasks))
    while pending or unit.running:
        if pending and (not unit.running or chance.random() < 0.6):
            index, (code, lba, count, attribute) = pending.pop(0)
            names[chr(65 + index)] = (index, code, lba // 8, -(-(lba + count) // 8) if count else 0, attribute)
            unit.begin(chr(65 + index), code, lba, count, attribute)
        else:
            unit.end(chance.choice(sorted(unit.running)))
        _check_running(unit, names)
    assert len(unit.log) == len(tasks), "everybody had a turn"
    assert not unit.logical_unit.tasks.members
    assert not unit.logical_unit.tasks.barriers


def _check_running(unit, names):
    running = [names[name] for name in unit.running if names[name][1] != UNORDERED]
    for one in running:
        for other in running:
            if one[0] >= other[0]:
                continue
            touch = one[2] < other[3] and other[2] < one[3] and BOTH_NOWHERE not in (one[1], other[1])
            assert not (touch and WRITE in (one[1], other[1])), "a write runs alone on its blocks"
            assert HEAD in (one[4], other[4]) or ORDERED not in (one[4], other[4]), "an ordered task runs alone"


@pytest.mark.parametrize(("change", "code"), [("stopped", (2, 4, 2)), ("write_protected", (7, 0x27, 0))])
def test_what_a_task_that_waited_finds_counts(change, code):
    unit = SlowUnit()
    unit.begin("a", WRITE)
    waiting = unit.begin("b", WRITE)
    setattr(unit.logical_unit, change, True)
    unit.end("a")
    assert unit.log == ["a"]
    assert code_of(waiting.reply) == code


def test_of_many_in_a_row_the_end_of_one_wakes_one():
    unit = SlowUnit()
    names = [chr(65 + index) for index in range(40)]
    for name in names:
        unit.begin(name, WRITE)
    tasks = unit.logical_unit.tasks
    looked = []
    look = tasks._last_blocker
    tasks._last_blocker = lambda member: looked.append(member) or look(member)
    for name in names:
        looked.clear()
        unit.end(name)
        assert len(looked) <= 1
    assert unit.log == names


def test_many_that_are_ended_together_are_woken_in_turns_and_nobody_waits_for_them():
    unit = SlowUnit()
    unit.environment.turns.of_a_turn = 200
    other = unit.new_nexus()
    started = [unit.begin(chr(65 + index), WRITE, tag=index) for index in range(100)]
    survivor = unit.begin("z", WRITE, nexus=other)
    before = unit.environment.turns.taken
    unit.server.abort_task_set(unit.nexus, 0)
    unit.environment.settle()
    assert unit.environment.turns.taken - before >= 10
    assert unit.log == ["A", "z"]
    unit.end("A")
    unit.end("z")
    assert {each.reply.status for each in started} == {0x40}
    assert survivor.reply.status == 0
    assert not unit.logical_unit.tasks.members
    assert not unit.logical_unit.tasks.barriers


EXTENT_LISTS = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 9), st.booleans()), max_size=60)


@given(EXTENT_LISTS, EXTENT_LISTS)
def test_extents_in_few_pieces_meet_whatever_the_extents_do(ours, theirs):
    """A task of many extents may wait for another that is only near its extents, but never passes one that overlaps them."""

    def member(extents):
        task = SimpleNamespace(attribute=SIMPLE)
        return Member(task, [(first, first + n, writes) for first, n, writes in extents], is_ordered=True)

    one, other = member(ours), member(theirs)
    assert len(one.extents) <= MAX_PIECES
    meets = any(
        first < second + m and second < first + n and (writes or also)
        for first, n, writes in ours
        for second, m, also in theirs
    )
    assert one.overlaps(other) or not meets
    if max(len(ours), len(theirs)) <= MAX_PIECES:
        assert one.overlaps(other) is meets
