"""Copies beside hosts that send commands: each copy command is divided among turns, and nothing else about it changes."""

import errno
from collections.abc import Callable, Iterator

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.operations import step_choice
from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import BlockRange, populate_token_list
from odx_target.iscsi.pdu.headers import ScsiDataIn
from odx_target.store.api import PoolFailed
from odx_target.store.volumes.sources import Readable
from odx_target.turns import Steps
from tests.copymgr.array import CopyArray, Range, Started, code_of, pattern
from tests.copymgr.test_ends_before_beginning import ENDS, FOREGROUND_ENDS, TAG, array_with_token
from tests.target.raw_peer import RawPeer, logged_in
from tests.target.running import running

TURNS_OF_POPULATE = 3
"""Least turns of POPULATE TOKEN beside hosts: before its handler, before its token is made, and before its operation ends."""
WHOLE: list[Range] = [(0, 160)]
ENDS_OF_OPERATIONS = ("COPY OPERATION ABORT", "preempted", "logical unit gone")
"""Ends of operations, of which there is none before the turn. An array also aborts the tasks of a logical unit that goes."""
ENDS_BEFORE_THE_TURN = [end for end in FOREGROUND_ENDS | ENDS if end not in ENDS_OF_OPERATIONS]


def start_populate(array: CopyArray) -> Started:
    return array.start_populate(0, 2, [(1, 8)], tag=TAG)


def start_write(array: CopyArray) -> Started:
    (token,) = array.manager.copies.tokens.live.values()
    return array.start_write_using(1, 3, token.data, [(9, 100)], tag=TAG)


@pytest.mark.parametrize(("lba", "steps_beside_hosts"), [(0, 1), (8, 60), (3, 60)])
def test_a_copy_beside_hosts_is_the_same_copy(lba: int, steps_beside_hosts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odx_target.turns.STEPS_BESIDE_HOSTS", steps_beside_hosts)
    array = CopyArray()
    data = pattern(0, 0, 160, 512)
    array.write(0, 0, data)
    turns, served = array.environment.turns, []

    def serve_hosts() -> bool:
        served.append(turns.taken)
        turns.hosts_were_served()
        return True

    turns.serve_hosts = serve_hosts
    for start, least_turns in ((lambda: array.start_populate(0, 1, WHOLE), 3), (lambda: start_write_at(array, lba), 3)):
        turns.hosts_were_served()
        before = turns.taken
        started = start()
        assert not started.is_done
        assert code_of(started.wait(array.environment)) == "good"
        assert turns.taken - before >= least_turns
        assert served[-1] == turns.taken, "hosts are served just before each turn"
    assert array.read(1, lba, 160) == data


def start_write_at(array: CopyArray, lba: int) -> Started:
    (token,) = array.manager.copies.tokens.live.values()
    return array.start_write_using(1, 2, token.data, [(lba, 160)])


def test_hosts_are_served_between_a_step_of_a_copy_and_the_end_of_its_turn() -> None:
    array = array_with_token()
    (token,) = array.manager.copies.tokens.live.values()
    turns, done = array.environment.turns, []
    turns.serve_hosts = lambda: done.append((turns.taken, array.volume(1).read_now(0, 25) != before)) or True
    before = array.volume(1).read_now(0, 25)
    turns.hosts_were_served()
    assert code_of(array.start_write_using(1, 3, token.data, [(8, 16)]).wait(array.environment)) == "good"
    turns_of_change = [turn for turn, is_changed in done if is_changed]
    assert (turns_of_change[0], False) in done, "served before and after the change in its turn"


def test_a_copy_in_the_background_fails_if_the_batch_of_its_last_step_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool reports the loss only once, and the hosts that are served meanwhile must not get the report of the copy."""
    array = array_with_token()
    (token,) = array.manager.copies.tokens.live.values()
    turns, pool = array.environment.turns, array.pool
    before, found = array.volume(1).read_now(0, 25), list[CopyOperation]()

    def lose(_parts: object) -> None:
        raise OSError(errno.EIO, "the disk is gone")

    def serve_hosts() -> bool:
        found[:] = array.manager.copies.operations or found
        try:
            pool.commit()
        except PoolFailed:
            return False
        return True

    def step_done(*_: object) -> None:
        monkeypatch.setattr(pool.log, "_native", None)
        monkeypatch.setattr(pool.log.chain, "write", lose)

    monkeypatch.setattr(array.manager.copies, "note_step", step_done)
    turns.serve_hosts = serve_hosts
    turns.hosts_were_served()
    started = array.start_write_using(1, 3, token.data, [(8, 16)], flags=ListFlag.IMMED)
    assert code_of(started.wait(array.environment)) == "good"
    array.environment.settle()
    assert array.volume(1).read_now(0, 25) != before
    assert [each.status for each in found] == [CopyStatus.COMPLETED_WITH_ERROR]


def test_a_copy_is_made_at_once_if_no_commands_of_hosts_were_counted() -> None:
    array = array_with_token()
    assert start_populate(array).is_done
    array = array_with_token()
    assert start_write(array).is_done


async def test_a_copy_command_is_divided_only_beside_the_commands_of_another_session() -> None:
    async with running() as array, logged_in(array) as peer, logged_in(array, 2) as other:
        turns = array.pool.turns

        async def turns_of_populate(list_identifier: int) -> int:
            before = turns.taken
            parameters = populate_token_list([BlockRange(0, 64)])
            command = peer.write(cdb.populate_token(list_identifier, len(parameters)), len(parameters))
            assert await peer.status_of(command, parameters) == (0, b"")
            return turns.taken - before

        async def read(host: RawPeer) -> None:
            await host.send(host.read(cdb.read_16(0, 8), 4096))
            await host.take(ScsiDataIn)

        await read(other)
        assert await turns_of_populate(1) >= TURNS_OF_POPULATE
        while turns.hosts_are_near():
            await turns.next()
        assert await turns_of_populate(2) == 0, "the other session is idle"
        await read(peer)
        assert await turns_of_populate(3) == 0, "the host reads on its own session"
        turns.are_equal = True
        await read(other)
        assert await turns_of_populate(4) == 0, "in a replay"


@pytest.mark.parametrize(("flags", "is_divided"), [(0, False), (ListFlag.IMMED, True)])
def test_only_a_copy_in_the_background_is_divided_beside_its_own_host(flags: int, is_divided: bool) -> None:
    """A host that does not wait for its copy may send other commands on the same session."""
    array = array_with_token()
    (token,) = array.manager.copies.tokens.live.values()
    array.nexus.connection = 3
    turns = array.environment.turns
    turns.hosts_were_served(3)
    before = turns.taken
    started = array.start_write_using(1, 3, token.data, [(9, 100)], flags=flags)
    assert code_of(started.wait(array.environment)) == "good"
    array.environment.settle()
    assert (turns.taken > before) == is_divided


@pytest.mark.parametrize("start", [start_populate, start_write])
@pytest.mark.parametrize("end", ENDS_BEFORE_THE_TURN)
def test_a_command_that_ends_before_its_turn_leaves_nothing(start: Callable[[CopyArray], Started], end: str) -> None:
    array = array_with_token()
    (token,) = array.manager.copies.tokens.live.values()
    before = array.volume(1).read_now(0, 25)
    array.environment.turns.hosts_were_served()
    lun = 0 if start is start_populate else 1
    assert not start(array).is_done
    (FOREGROUND_ENDS | ENDS)[end](array, lun)
    array.environment.settle()
    assert array.manager.copies.operations == {}
    assert len(array.manager.copies.arrivals) == 0
    assert list(array.manager.copies.tokens.live.values()) == [token]
    assert token.leases == 0
    assert list(array.pool.frozen_maps.values()) == [token.rod.frozen]
    assert all(unit.tasks.members == [] for unit in array.logical_units.values())
    assert array.internal_errors == []
    assert array.volume(1).read_now(0, 25) == before


@pytest.mark.parametrize("start", [start_populate, start_write])
def test_the_state_of_the_logical_unit_is_checked_again_in_the_turn(start: Callable[[CopyArray], Started]) -> None:
    array = array_with_token()
    before = array.read(1, 0, 200)
    array.environment.turns.hosts_were_served()
    started = start(array)
    for unit in array.logical_units.values():
        unit.stopped = True
    assert code_of(started.wait(array.environment)) == "2/04/02"
    for unit in array.logical_units.values():
        unit.stopped = False
    assert len(array.manager.copies.tokens.live) == 1
    assert array.read(1, 0, 200) == before


def test_commands_with_the_same_list_identifier_beside_hosts() -> None:
    array = CopyArray()
    array.environment.turns.hosts_were_served()
    started = [array.start_populate(0, 1, [(number, 8)]) for number in range(3)]
    codes = [code_of(each.wait(array.environment)) for each in started]
    assert set(codes) <= {"good", "5/00/16"}
    assert codes.count("good") == len(array.manager.copies.tokens.live) > 0
    assert array.manager.copies.operations == {}
    assert array.internal_errors == []


def test_a_logical_unit_that_becomes_smaller_before_the_token_is_made() -> None:
    array = CopyArray()
    turns, unit = array.environment.turns, array.logical_units[0]
    turns.hosts_were_served()

    def shrink_in_the_second_turn() -> bool:
        if turns.taken == before + 2:
            unit.capacity_blocks = 100
        return True

    before = turns.taken
    turns.serve_hosts = shrink_in_the_second_turn
    assert code_of(array.start_populate(0, 1, WHOLE).wait(array.environment)) == "5/21/00"
    assert array.manager.copies.tokens.live == {}


def test_a_later_write_does_not_change_the_data_of_a_token_that_waits_for_its_turn() -> None:
    array = CopyArray()
    old, new = pattern(0, 0, 160, 512), pattern(1, 0, 160, 512)
    array.write(0, 0, old)
    array.environment.turns.hosts_were_served()
    populating = array.start_populate(0, 1, WHOLE)
    written = array.write(0, 0, new)
    assert code_of(written) == code_of(populating.wait(array.environment)) == "good"
    (token,) = array.manager.copies.tokens.live.values()
    assert code_of(array.write_using(1, 2, token.data, WHOLE)) == "good"
    assert array.read(1, 0, 160) == old
    assert array.read(0, 0, 160) == new


def test_a_step_that_moves_data_looks_at_few_entries_of_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    array = CopyArray()
    array.write(0, 0, pattern(0, 0, 1600, 512))
    token = array.token(0, 1, [(0, 1600)])
    budgets: list[int] = []
    extents = Readable.extents

    def noted(self: Readable, block: int = 0, steps: Steps | None = None) -> Iterator[tuple[int, int, bool]]:
        assert steps is not None
        budgets.append(steps.left)
        return extents(self, block, steps)

    monkeypatch.setattr(Readable, "extents", noted)
    assert code_of(array.write_using(1, 2, token, [(3, 1600)])) == "good"
    assert set(budgets) == {step_choice._STEPS_TO_SEE_A_HOLE}
