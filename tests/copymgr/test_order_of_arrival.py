"""Commands with the same list identifier are executed in the order of their arrival, even if copy commands wait for turns."""

from collections.abc import Callable

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.limits import CopyOptions
from odx_target.copymgr.operations.operation import CopyStatus
from tests.copymgr.array import CopyArray, Started, code_of, data_of, in_cdb, pattern
from tests.copymgr.extended_copy import LIST_IDENTIFIER, BlocksSegment, cscd, lid1_list, lid4_list, start_copy

STATUS_BYTE = 5
ABORT = b"\x83\x1c" + (1).to_bytes(4, "big")


def array_beside_hosts() -> CopyArray:
    """An array beside hosts. An earlier operation with list identifier 1 has ended, and its token was fetched."""
    array = CopyArray()
    array.write(0, 0, pattern(0, 0, 160, 512))
    array.token(0, 1, [(0, 8)])
    array.environment.turns.hosts_were_served()
    return array


def information(array: CopyArray) -> Started:
    return array.start(0, in_cdb(0x07, 1, 805))


def test_the_token_is_not_that_of_an_earlier_operation() -> None:
    array = array_beside_hosts()
    (earlier,) = array.manager.copies.tokens.live.values()
    populating = array.start_populate(0, 1, [(8, 8)])
    early = information(array)
    assert not populating.is_done
    assert not early.is_done
    assert earlier.data not in data_of(early.wait(array.environment))
    assert code_of(populating.wait(array.environment)) == "good"
    (late,) = set(array.manager.copies.tokens.live.values()) - {earlier}
    assert late.data in data_of(array.information(0, 1))
    assert len(array.manager.copies.arrivals) == 0


def test_the_status_is_not_that_of_an_earlier_operation() -> None:
    array = array_beside_hosts()
    populating = array.start_populate(0, 1, [(8, 8)])
    status = array.start(0, in_cdb(0x05, 1, 1024)).wait(array.environment)
    assert data_of(status)[STATUS_BYTE] == CopyStatus.IN_FOREGROUND
    assert code_of(populating.wait(array.environment)) == "good"


def start_populate(array: CopyArray) -> Started:
    return array.start_populate(0, 1, [(8, 8)])


def start_write(array: CopyArray) -> Started:
    (token,) = array.manager.copies.tokens.live.values()
    return array.start_write_using(0, 1, token.data, [(99, 8)])


def start_background_write(array: CopyArray) -> Started:
    (token,) = array.manager.copies.tokens.live.values()
    return array.start_write_using(0, 1, token.data, [(99, 8)], flags=ListFlag.IMMED)


@pytest.mark.parametrize("start", [start_populate, start_write, start_background_write])
def test_an_abort_ends_the_operation_that_waits_for_its_turn(start: Callable[[CopyArray], Started]) -> None:
    array = array_beside_hosts()
    copying = start(array)
    aborting = array.start(0, ABORT)
    assert code_of(aborting.wait(array.environment)) == "good"
    assert code_of(copying.wait(array.environment)) == ("good" if start is start_background_write else "A/2F/02")
    array.environment.settle()
    assert data_of(array.copy_status(0, 1))[STATUS_BYTE] == CopyStatus.TERMINATED
    assert array.read(0, 0, 160) == pattern(0, 0, 160, 512)
    assert len(array.manager.copies.tokens.live) == 1
    assert array.manager.copies.operations == {}


def test_a_later_copy_does_not_overtake() -> None:
    """POPULATE TOKEN waits for more turns than WRITE USING TOKEN."""
    array = array_beside_hosts()
    populating, writing = start_populate(array), start_write(array)
    assert code_of(populating.wait(array.environment)) == "good"
    assert code_of(writing.wait(array.environment)) == "5/00/16"


@pytest.mark.parametrize("start", [start_populate, information])
def test_nothing_overtakes_when_the_hosts_have_gone(start: Callable[[CopyArray], Started]) -> None:
    array = array_beside_hosts()
    writing = start_write(array)
    array.environment.turns._short_turns = 0
    later = start(array)
    assert not later.is_done
    assert code_of(writing.wait(array.environment)) == code_of(later.wait(array.environment)) == "good"
    assert len(array.manager.copies.arrivals) == 0


def test_a_refused_command_leaves_the_earlier_record() -> None:
    array = array_beside_hosts()
    (earlier,) = array.manager.copies.tokens.live.values()
    refused = array.start_populate(0, 1, [(1 << 40, 8)])
    asking = information(array)
    assert earlier.data in data_of(asking.wait(array.environment))
    assert code_of(refused.wait(array.environment)) == "5/21/00"
    assert len(array.manager.copies.arrivals) == 0


def test_an_aborted_task_lets_later_commands_pass() -> None:
    array = array_beside_hosts()
    array.start_populate(0, 1, [(8, 8)], tag=4711)
    later, asking = start_populate(array), information(array)
    array.server.abort_task(array.nexus, 0, 4711)
    assert code_of(later.wait(array.environment)) == code_of(asking.wait(array.environment)) == "good"
    assert len(array.manager.copies.tokens.live) == 2
    assert len(array.manager.copies.arrivals) == 0


def test_other_list_identifiers_and_logical_units_do_not_wait() -> None:
    array = array_beside_hosts()
    populating = array.start_populate(0, 2, [(8, 8)])
    other_unit = array.start_populate(1, 1, [(8, 8)])
    assert information(array).is_done
    for each in (populating, other_unit):
        each.wait(array.environment)


def test_a_lenient_lookup_waits_for_another_nexus_of_the_initiator() -> None:
    array = CopyArray(options=CopyOptions(lenient_lookup=True))
    array.environment.turns.hosts_were_served()
    array.start_populate(0, 1, [(8, 8)])
    assert code_of(array.information(0, 1, nexus=array.new_nexus(port="2"))) == "good"


@pytest.mark.parametrize("is_lid4", [False, True])
def test_the_status_of_an_extended_copy_that_waits(is_lid4: bool) -> None:
    array = array_beside_hosts()
    cscds = [cscd(array.logical_units[lun].identity) for lun in (0, 1)]
    parameters = (lid4_list if is_lid4 else lid1_list)(cscds, [BlocksSegment(0, 0, 1, 0, 8).build()])
    copying = start_copy(array, 0, parameters, is_lid4=is_lid4)
    lid1_cdb = bytes((0x84, 0, LIST_IDENTIFIER)) + bytes(7) + (1024).to_bytes(4, "big")
    asking = array.start(0, in_cdb(0x05, LIST_IDENTIFIER, 1024) if is_lid4 else lid1_cdb)
    assert not asking.is_done
    assert code_of(asking.wait(array.environment)) == code_of(copying.wait(array.environment)) == "good"


def test_an_empty_parameter_list_has_no_list_identifier() -> None:
    array = array_beside_hosts()
    assert code_of(start_copy(array, 0, b"").wait(array.environment)) == "good"
    assert len(array.manager.copies.arrivals) == 0
