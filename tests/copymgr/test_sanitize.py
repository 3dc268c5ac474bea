"""SANITIZE and copies: tokens for the old data end, and copies to and from the logical unit stop."""

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.tokens.rod_types import RodType
from tests.copymgr.array import CopyArray, Range, code_of, pattern

BLOCK_ERASE, IN_BACKGROUND = bytes.fromhex("48 02 00 00 00 00 00 00 00 00"), bytes.fromhex("48 82 00 00 00 00 00 00 00 00")
POPULATE_NOTHING = bytes((0x83, 0x10, *bytes(14)))
TOKEN_CANCELLED = "5/23/08"
OLD = pattern(0, 0, 64, 512)
ROD_TYPES = (RodType.POINT_IN_TIME_DEFAULT, RodType.POINT_IN_TIME_PERSISTENT, RodType.POINT_IN_TIME_CHANGE_VULNERABLE)


@pytest.mark.parametrize("rod_type", ROD_TYPES)
@pytest.mark.parametrize("restarts", [False, True])
def test_tokens_for_the_old_data_end(rod_type: RodType, restarts: bool) -> None:
    array = CopyArray()
    array.write(0, 0, OLD)
    array.write(1, 0, OLD)
    token = array.token(0, 1, [(0, 64)], rod_type=rod_type, flags=ListFlag.RTV)
    kept = array.token(1, 1, [(0, 64)])
    if restarts:
        assert array.command(0, IN_BACKGROUND).status == 0
        array.restart()
        array.environment.advance(1.0)
        array.nexus.unit_attentions.clear()
    else:
        assert array.command(0, BLOCK_ERASE).status == 0
        assert array.write_using(1, 2, kept, [(64, 64)]).status == 0
    assert array.read(0, 0, 64) == bytes(len(OLD))
    for lun in (0, 1):
        refused = code_of(array.write_using(lun, 3, token, [(0, 64)]))
        assert refused == TOKEN_CANCELLED if not restarts else refused.startswith("5/23/")
    assert array.read(0, 0, 64) == bytes(len(OLD))
    assert array.internal_errors == []


@pytest.mark.parametrize("destination", [0, 1])
def test_a_copy_in_the_background_ends_or_goes_on_without_this_unit(destination: int) -> None:
    array = CopyArray(CopyLimits(copy_step_bytes=8192, command_budget_s=1000.0))
    array.write(0, 0, pattern(0, 0, 200, 512))
    token = array.token(0, 1, [(1, 160)])
    array.manager.copies.before_step = lambda operation: array.environment.sleep(1.0)
    ranges: list[Range] = [(320, 160)]
    array.start_write_using(destination, 2, token, ranges, flags=ListFlag.IMMED)
    array.environment.advance(2.5)
    assert array.command(0, BLOCK_ERASE).status == 0
    array.environment.advance(100.0)
    assert array.read(0, 0, 600) == bytes(600 * 512)
    assert array.manager.copies.operations == {}
    if destination == 1:
        assert array.read(1, 320, 160) == pattern(0, 1, 160, 512), "a copy to another unit keeps its lease"
    assert array.internal_errors == []


def test_no_token_is_made_during_a_sanitize() -> None:
    array = CopyArray()
    array.write(0, 0, OLD)
    array.start(0, IN_BACKGROUND)
    assert code_of(array.command_at_once(0, POPULATE_NOTHING)) == "2/04/1B"
    array.environment.advance(1.0)
    assert array.read(0, 0, 64) == bytes(len(OLD))
