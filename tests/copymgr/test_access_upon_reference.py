"""Tokens of the type "access upon reference": their data is that of the source at the time of each use."""

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.limits import CopyOptions
from odx_target.copymgr.tokens.rod_types import ACCESS_UPON_REFERENCE_TYPES, POINT_IN_TIME_TYPES, RodType, RodTypes
from tests.copymgr.array import CopyArray, Range, code_of, pattern

REFERENCE = CopyOptions(rod_types=ACCESS_UPON_REFERENCE_TYPES)
RANGES: list[Range] = [(32, 8), (0, 8)]


def data(seed: int) -> bytes:
    return pattern(seed, 32, 8, 512) + pattern(seed, 0, 8, 512)


def filled(seed: int, array: CopyArray) -> CopyArray:
    array.write(0, 0, pattern(seed, 0, 64, 512))
    return array


def test_each_use_reads_the_source_again_and_keeps_no_data() -> None:
    array = filled(1, CopyArray(options=REFERENCE))
    token = array.token(0, 1, RANGES)
    assert array.pool.frozen_maps == {}
    for seed in (1, 2, 3):
        filled(seed, array)
        assert code_of(array.write_using(1, seed, token, [(0, 16)])) == "good"
        assert array.read(1, 0, 16) == data(seed)
    assert array.pool.frozen_maps == {}


def test_the_source_of_a_copy_under_way_does_not_change() -> None:
    array = filled(1, CopyArray(options=REFERENCE))
    token = array.token(0, 1, [(0, 64)])
    assert code_of(array.write_using(0, 2, token, [(32, 32)])) == "good"
    assert array.read(0, 32, 32) == pattern(1, 0, 32, 512)


def test_an_offset_and_a_partial_copy() -> None:
    array = filled(1, CopyArray(options=REFERENCE))
    token = array.token(0, 1, RANGES)
    assert code_of(array.write_using(1, 2, token, [(0, 16)], offset_into_rod=4)) == "A/0D/04"
    assert array.read(1, 0, 12) == data(1)[4 * 512 :]
    assert code_of(array.write_using(1, 3, token, [(0, 1)], offset_into_rod=16)) == "5/26/00"
    assert array.pool.frozen_maps == {}


def test_a_token_ends_with_its_source() -> None:
    array = filled(1, CopyArray(options=REFERENCE))
    token = array.token(0, 1, RANGES)
    array.logical_units[0].capacity_blocks = 39
    assert code_of(array.write_using(1, 2, token, [(0, 1)])) == "5/23/08"
    array.logical_units[0].capacity_blocks = 64
    assert code_of(array.write_using(1, 3, token, [(0, 1)])) == "5/23/08"
    token = array.token(0, 4, RANGES)
    array.manager.detach_logical_unit(array.logical_units[0])
    assert code_of(array.write_using(1, 5, token, [(0, 1)])) == "5/23/08"
    assert array.manager.copies.operations == {}


def test_a_background_copy_releases_its_data() -> None:
    array = filled(1, CopyArray(options=REFERENCE))
    token = array.token(0, 1, RANGES)
    reply = array.write_using(1, 2, token, [(0, 16)], flags=ListFlag.IMMED | ListFlag.DEL_TKN)
    assert code_of(reply) == "good"
    array.environment.advance(1)
    assert array.read(1, 0, 16) == data(1)
    assert array.pool.frozen_maps == {}
    assert code_of(array.write_using(1, 3, token, [(0, 1)])) == "5/23/09"


@pytest.mark.parametrize(
    ("types", "asked", "made"),
    [
        (POINT_IN_TIME_TYPES, None, RodType.POINT_IN_TIME_DEFAULT),
        (POINT_IN_TIME_TYPES, RodType.POINT_IN_TIME_ANY, RodType.POINT_IN_TIME_PERSISTENT),
        (POINT_IN_TIME_TYPES, RodType.POINT_IN_TIME_CHANGE_VULNERABLE, RodType.POINT_IN_TIME_CHANGE_VULNERABLE),
        (POINT_IN_TIME_TYPES, RodType.ACCESS_UPON_REFERENCE, None),
        (POINT_IN_TIME_TYPES, RodType.BLOCK_DEVICE_ZERO, None),
        (POINT_IN_TIME_TYPES, 0x0080_0003, None),
        (ACCESS_UPON_REFERENCE_TYPES, None, RodType.ACCESS_UPON_REFERENCE),
        (ACCESS_UPON_REFERENCE_TYPES, RodType.ACCESS_UPON_REFERENCE, RodType.ACCESS_UPON_REFERENCE),
        (ACCESS_UPON_REFERENCE_TYPES, RodType.POINT_IN_TIME_ANY, None),
        (ACCESS_UPON_REFERENCE_TYPES, RodType.POINT_IN_TIME_DEFAULT, None),
    ],
)
def test_the_type_that_is_made(types: RodTypes, asked: int | None, made: RodType | None) -> None:
    assert types.to_make(asked is not None, asked or 0) is made
