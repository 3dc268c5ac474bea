"""Writes of a group whose replies are held: the lane gives the same replies as the general way, when they are due."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest
from trio.testing import wait_all_tasks_blocked

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction
from odx_target.native.choice import NATIVE
from odx_target.scsi.reply import Status
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import PoolFull
from odx_target.target.server import short_lane
from odx_target.target.server.holding.held_writes import HeldWrites
from tests.target.holding.test_held_replies import FakeGate
from tests.target.lane_sides import Side, pdus, sides

FAR_OSN = 1 << 40
CHECK_CONDITION, COMPLETE = 0x02, 0x00
WRITE_16, READ_16 = 0x8A, 0x88

WriteNow = Callable[[int, Sequence[Buffer]], bool]


@pytest.fixture(scope="module", params=["Python", "native"], autouse=True)
def _loop(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "Python":
            patch.setattr(short_lane, "NATIVE", None)
        elif NATIVE is None:
            pytest.skip("the native module was not built")
        yield


class Member:
    """A side whose LUN 0 belongs to a group that has acknowledged nothing."""

    def __init__(self, on: Side) -> None:
        self.on = on
        self.gate = FakeGate("db")
        self.unit: LogicalUnit = on.array.logical_units[0]
        self.unit.join(self.gate)

    def encode(self, code: int, lba: int, count: int, lun: int = 0, *, fua: bool = False) -> bytes:
        peer, size_bytes = self.on.peer, count * (4096 if lun else 512)
        cdb = bytes([code, 8 * fua]) + lba.to_bytes(8) + count.to_bytes(4)
        writes = code == WRITE_16
        command = (peer.write if writes else peer.read)(cdb, size_bytes, lun=lun)
        return peer.encode(command, Random(lba).randbytes(size_bytes) if writes else b"")

    @property
    def held_together(self) -> list[int]:
        queues = self.on.executor.holder._held._queues.values()
        return [len(each) for queue in queues for each in queue if isinstance(each, HeldWrites)]

    @property
    def window(self) -> tuple[int, int]:
        window = self.on.lane._state.window
        return window.exp_cmd_sn, window.max_cmd_sn

    async def progress(self, due_osn: int | None) -> list[tuple[bytes, bytes]]:
        self.gate.progress(due_osn)
        await wait_all_tasks_blocked()
        return pdus(self.on.output.take(), self.on.peer)


@asynccontextmanager
async def two(digests: str = "None") -> AsyncIterator[tuple[Member, Member]]:
    """A side with the lane, and one that executes all commands the general way."""
    async with sides({"HeaderDigest": digests, "DataDigest": digests}) as (short, general):
        yield Member(short), Member(general)


@pytest.mark.parametrize("digests", ["None", "CRC32C"])
async def test_both_ways_give_the_same_replies(digests: str) -> None:
    async with two(digests) as members:
        answers = []
        for each in members:
            sent = b"".join(each.encode(WRITE_16, lba, 1 + lba % 3) for lba in range(0, 40, 4))
            assert await each.on.feed(sent[:3000], sent[3000:]) == []
            sent = each.encode(WRITE_16, 0, 1, lun=1) + each.encode(WRITE_16, 100, 2)
            assert len(await each.on.feed(sent)) == 1  # The other LUN does not wait.
            answers.append(await each.progress(FAR_OSN))
        short, general = members
        assert short.held_together == general.held_together == []
        assert len(answers[0]) == 11
        assert answers[0] == answers[1]
        assert short.window == general.window
        assert short.on.content == general.on.content
        assert short.on.counted == general.on.counted
        assert [kind.commands for kind in short.unit.traffic.kinds] == [kind.commands for kind in general.unit.traffic.kinds]
        assert not short.gate.on_progress


async def test_the_lane_keeps_the_replies_of_a_batch_together_until_it_is_due() -> None:
    async with two() as (member, _):
        first, last = member.window
        await member.on.feed(b"".join(member.encode(WRITE_16, lba, 1) for lba in range(3)))
        committed_osn = member.on.array.pool.committed_osn
        await member.on.feed(member.encode(WRITE_16, 9, 1))
        assert member.held_together == [3, 1]
        assert member.window == (first + 4, last)  # A command keeps its place until it is answered.
        assert await member.progress(committed_osn - 1) == []
        assert len(await member.progress(committed_osn)) == 3
        assert member.window == (first + 4, last + 3)
        assert len(await member.progress(FAR_OSN)) == 1


async def test_the_lane_serves_the_member_with_either_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the member with the second target port group, the first one is that of the other member, which is in standby."""
    async with two() as (member, _):
        monkeypatch.setattr(member.unit, "restricted", frozenset({1}))
        await member.on.feed(member.encode(WRITE_16, 0, 1))
        assert member.held_together == [1]
        assert len(await member.progress(FAR_OSN)) == 1


async def test_the_lane_executes_no_more_writes_than_the_window_has_places() -> None:
    async with two() as (member, _):
        first, last = member.window
        places = last - first + 1
        sent = b"".join(member.encode(WRITE_16, 0, 1) for _ in range(places + 5))
        for at in range(0, len(sent), 16 * 560):
            await member.on.feed(sent[at : at + 16 * 560])
        assert member.window == (last + 1, last)
        assert sum(member.held_together) <= places
        assert len(await member.progress(FAR_OSN)) == places


@pytest.mark.parametrize("code", [READ_16, WRITE_16])
async def test_reads_and_durable_writes_go_the_general_way(code: int) -> None:
    async with two() as (member, _):
        await member.on.feed(member.encode(WRITE_16, 0, 1) + member.encode(code, 0, 1, fua=True))
        assert member.held_together == []
        answers = await member.progress(FAR_OSN)
        assert len(answers) == 2
        assert {header[3] for header, _ in answers} == {Status.GOOD}


async def test_a_closed_group_gets_no_writes_from_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    async with two() as (member, _):
        monkeypatch.setattr(member.gate, "is_open", lambda: False)
        await member.on.feed(member.encode(WRITE_16, 0, 1))
        assert member.held_together == []


async def test_replies_of_a_lost_group_report_its_state() -> None:
    async with two() as members:
        answers = []
        for each in members:
            await each.on.feed(b"".join(each.encode(WRITE_16, lba, 1) for lba in range(3)))
            answers.append(await each.progress(None))
        assert answers[0] == answers[1]
        assert [header[3] for header, _ in answers[0]] == [CHECK_CONDITION] * 3
        assert members[0].window == members[1].window


@pytest.mark.parametrize("function", [TaskManagementFunction.ABORT_TASK, TaskManagementFunction.LOGICAL_UNIT_RESET])
async def test_task_management_ends_commands_whose_replies_are_held(function: TaskManagementFunction) -> None:
    async with two() as members:
        answers = []
        for each in members:
            peer = each.on.peer
            await each.on.feed(b"".join(each.encode(WRITE_16, lba, 1) for lba in range(3)))
            tag = peer.write(bytes([WRITE_16]) + bytes(15), 512).initiator_task_tag - 2
            peer.cmd_sn -= 1
            ended = peer.manage(function, 0, tag) if function is TaskManagementFunction.ABORT_TASK else peer.manage(function)
            answers.append((await each.on.feed(peer.encode(ended)), await each.progress(FAR_OSN)))
        assert answers[0] == answers[1]
        assert answers[0][0][0][0][2] == COMPLETE
        assert len(answers[0][1]) == (2 if function is TaskManagementFunction.ABORT_TASK else 0)
        assert members[0].window == members[1].window


async def test_a_write_that_fails_is_held_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with two() as members:
        answers = []
        for each in members:
            blocks = each.unit.blocks
            write_now = blocks.write_now

            def write(lba: int, data: Sequence[Buffer], write_now: WriteNow = write_now) -> bool:
                if lba == 4:
                    raise PoolFull("no room")
                return write_now(lba, data)

            monkeypatch.setattr(type(blocks), "native_writes", None)
            monkeypatch.setattr(blocks, "write_now", write)
            sent = b"".join(each.encode(WRITE_16, lba, 1) for lba in (3, 4, 5))
            assert await each.on.feed(sent) == []
            answers.append(sorted(await each.progress(FAR_OSN)))
        assert [header[3] for header, _ in answers[0]] == [header[3] for header, _ in answers[1]]
        assert [header[3] for header, _ in answers[0]].count(CHECK_CONDITION) == 1
        assert members[0].window == members[1].window
        assert members[0].on.counted == members[1].on.counted


async def test_the_end_of_a_session_takes_its_held_replies_along() -> None:
    async with two() as (member, _):
        await member.on.feed(member.encode(WRITE_16, 0, 1))
        member.on.server.cut()
        await wait_all_tasks_blocked()
        assert not member.gate.on_progress
        assert await member.progress(FAR_OSN) == []
