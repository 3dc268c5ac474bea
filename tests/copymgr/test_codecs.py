"""Formats: encoding and decoding, incomplete data, fast decoders compared with the layouts, and descriptions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.copymgr.commands import third_party_copy_page as page
from odx_target.copymgr.commands.copy_results_data import StatusHeader
from odx_target.copymgr.commands.parameter_lists import (
    ABORT_CDB,
    CDB_LAYOUTS,
    IN_CDB,
    OUT_CDB,
    PopulateTokenHeader,
    RangeDescriptor,
    ServiceAction,
    WriteUsingTokenHeader,
    decode_populate_token,
    decode_write_using_token,
    encode_populate_token,
    encode_write_using_token,
)
from odx_target.copymgr.describe_fields import (
    describe_populate_token,
    describe_rod_token_information,
    describe_third_party_copy,
    describe_token,
    describe_write_using_token,
    register_descriptions,
)
from odx_target.copymgr.tokens.format import CreatorDescriptor, Token, decode_head
from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from odx_target.scsi.describe.data import Descriptions, describe_cdb, describe_vpd
from odx_target.scsi.describe.rows import Row
from tests.copymgr.array import CopyArray, data_of
from tests.copymgr.golden import TOKEN, golden
from tests.settings import searching

RANGES = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)), max_size=70)
FLAGS = st.integers(0, 3)
QUICK = searching(max_examples=100)


def value_of(rows: list[Row], name: str) -> str:
    return next(row.value for row in rows if row.name == name)


@QUICK
@given(ranges=RANGES, flags=FLAGS, timeout=st.integers(0, 2**32 - 1), rod_type=st.integers(0, 2**32 - 1), cut=st.data())
def test_populate_token_both_ways(
    ranges: list[tuple[int, int]], flags: int, timeout: int, rod_type: int, cut: st.DataObject
) -> None:
    data = encode_populate_token(ranges, flags=flags, inactivity_timeout_s=timeout, rod_type=rod_type)
    decoded = decode_populate_token(data)
    assert decoded == (len(data) - 2, flags, timeout, rod_type, 16 * len(ranges), ranges)
    size = cut.draw(st.integers(16, len(data)))
    assert decode_populate_token(data[:size]).ranges == ranges[: (size - 16) // 16]


@QUICK
@given(ranges=RANGES, flags=FLAGS, offset=st.integers(0, 2**64 - 1), token=st.binary(min_size=512, max_size=512), cut=st.data())
def test_write_using_token_both_ways(
    ranges: list[tuple[int, int]], flags: int, offset: int, token: bytes, cut: st.DataObject
) -> None:
    data = encode_write_using_token(token, ranges, flags=flags, offset_into_rod=offset)
    assert decode_write_using_token(data) == (len(data) - 2, flags, offset, token, 16 * len(ranges), ranges)
    size = cut.draw(st.integers(536, len(data)))
    assert decode_write_using_token(data[:size]).ranges == ranges[: (size - 536) // 16]


@QUICK
@given(data=st.binary(min_size=552, max_size=620))
def test_the_hot_decoders_agree_with_the_layouts(data: bytes) -> None:
    populate, fields = decode_populate_token(data), PopulateTokenHeader.parse(data)
    assert populate.data_length == fields.populate_token_data_length
    assert populate.flags & 3 == fields.rtv << 1 | fields.immed
    assert populate.inactivity_timeout_s == fields.inactivity_timeout
    assert populate.rod_type == fields.rod_type
    assert populate.range_descriptor_length == fields.block_device_range_descriptor_length
    for index, each in enumerate(populate.ranges):
        assert each == tuple(RangeDescriptor.parse(data[16 + 16 * index :]).values().values())
    write, fields = decode_write_using_token(data), WriteUsingTokenHeader.parse(data)
    assert write.data_length == fields.write_using_token_data_length
    assert write.flags & 3 == fields.del_tkn << 1 | fields.immed
    assert write.offset_into_rod == fields.offset_into_rod
    assert write.token == fields.rod_token
    assert write.range_descriptor_length == fields.block_device_range_descriptor_length


@QUICK
@given(cdb=st.binary(min_size=16, max_size=16))
def test_the_hot_cdb_decoders_agree_with_the_layouts(cdb: bytes) -> None:
    for action, decoder, names in (
        (ServiceAction.POPULATE_TOKEN, OUT_CDB, ("list_identifier", "parameter_list_length")),
        (ServiceAction.COPY_OPERATION_ABORT, ABORT_CDB, ("list_identifier",)),
        (ServiceAction.RECEIVE_ROD_TOKEN_INFORMATION, IN_CDB, ("list_identifier", "allocation_length")),
    ):
        fields = CDB_LAYOUTS[action][2].parse(cdb)
        assert decoder.unpack_from(cdb) == tuple(fields.values()[name] for name in names)


@QUICK
@given(token=st.binary(min_size=512, max_size=512))
def test_the_token_head_agrees_with_the_layout(token: bytes) -> None:
    head, fields = decode_head(token), Token.parse(token)
    assert head.rod_type == fields.rod_type
    assert head.rod_token_length == fields.rod_token_length
    assert head.identifier == fields.copy_manager_rod_token_identifier
    assert head.creator == fields.creator_logical_unit_descriptor


def test_the_status_of_an_operation_agrees_with_the_layout() -> None:
    array = CopyArray()
    token = array.token(0, 1, [(0, 100)])
    array.write_using(1, 2, token, [(0, 150)])
    fields = StatusHeader.parse(data_of(array.copy_status(1, 2)))
    assert fields.response_to_service_action == 0x11
    assert (fields.length_of_the_sense_data_field, fields.sense_data_length) == (20, 18)
    assert (fields.transfer_count, fields.segments_processed) == (100, 0)
    assert fields.available_data == 28 + 20


def test_a_token_says_what_it_is_of() -> None:
    array = CopyArray()
    for lun, exponent in ((0, 3), (2, 0)):
        fields = Token.parse(array.token(lun, 1, [(0, 16), (32, 1)]))
        assert fields.number_of_bytes_represented == 17 * array.block_bytes(lun)
        assert fields.logical_block_length == array.block_bytes(lun)
        assert fields.logical_blocks_per_physical_block_exponent == exponent
        assert (fields.lbpme, fields.lbprz) == (1, 1)
        creator = CreatorDescriptor.parse(fields.creator_logical_unit_descriptor)
        assert creator.designator[:16] == array.logical_units[lun].identity
        assert (creator.code_set, creator.designator_type, creator.designator_length) == (1, 3, 16)


# The page.


@pytest.mark.parametrize("name", ["third_party_copy_page_512", "another_third_party_copy_page"])
def test_pages_are_put_into_words(name: str) -> None:
    descriptions = Descriptions()
    register_descriptions(descriptions)
    data = golden(name)
    rows = describe_vpd(data, descriptions)
    assert value_of(rows, "page_code") == "0x8f"
    assert value_of(rows, "maximum_range_descriptors") == "0x40"
    assert value_of(rows, "maximum_inactivity_timeout") == "0xe10"
    types = [row for row in rows if row.name == "third_party_copy_descriptor_type"]
    assert [row.value for row in types] == sorted(row.value for row in types)
    assert all(row.words != "unknown" for row in types)
    commands = [row.words for row in rows if row.name == "command"]
    assert {"POPULATE TOKEN", "RECEIVE ROD TOKEN INFORMATION"} <= set(commands)
    assert "unknown" not in commands
    for size in range(len(data)):
        if size >= 4:
            describe_vpd(data[:size], descriptions)


def test_windows_can_use_the_page_of_every_logical_unit() -> None:
    array = CopyArray()
    for lun, unit in array.logical_units.items():
        whole = unit.added_vpd_pages[page.THIRD_PARTY_COPY](unit, array.nexus.target_port)
        first = whole[:255]
        size = array.block_bytes(lun)
        assert int.from_bytes(first[2:4], "big") >= 0x24
        assert first[4:8].hex() == "00000020"
        limits = page.TokenLimits.parse(first[8:])
        assert limits.optimal_transfer_count * size == 256 << 20
        assert limits.maximum_token_transfer_size >= limits.optimal_transfer_count
        assert limits.maximum_range_descriptors == 64
        features = page.BlockRodFeatures.parse(whole[whole.index(bytes.fromhex("0106005c")) + 48 :])
        assert features.maximum_bytes_in_block_rod == limits.maximum_token_transfer_size * size
        assert features.optimal_bytes_in_block_rod_transfer == limits.optimal_transfer_count * size


def test_descriptors_are_whole_and_ascending() -> None:
    array = CopyArray()
    data = array.logical_units[2].added_vpd_pages[page.THIRD_PARTY_COPY](array.logical_units[2], array.nexus.target_port)[4:]
    found = []
    while data:
        kind, size = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        assert size % 4 == 0
        assert len(data) >= 4 + size
        found.append(kind)
        data = data[4 + size :]
    assert found == [0x0000, 0x0001, 0x0004, 0x0008, 0x000C, 0x0106, 0x0108, 0x8001]


# Descriptions.


def test_commands_are_put_into_words() -> None:
    descriptions = Descriptions()
    register_descriptions(descriptions)
    rows = describe_cdb(golden("populate_token", "cdb"), descriptions)
    assert rows[0].value == "POPULATE TOKEN"
    assert value_of(rows, "list_identifier") == "0x101"
    assert describe_cdb(golden("rod_token_information", "cdb"), descriptions)[0].value == "RECEIVE ROD TOKEN INFORMATION"


def test_lists_are_put_into_words() -> None:
    rows = describe_populate_token(golden("populate_token", "list"))
    assert value_of(rows, "inactivity_timeout") == "0"
    assert [row.value for row in rows if row.name == "logical_block_address"] == ["0x1000", "0x2000"]
    rows = describe_write_using_token(golden("write_using_token", "list"))
    assert value_of(rows, "del_tkn") == "1"
    assert value_of(rows, "rod_type") == "0xa5a5a5a5"
    assert value_of(rows, "number_of_logical_blocks") == "0x90"
    assert describe_populate_token(golden("populate_token", "list")[:-1])[-1].name == "partial_range_descriptor"


def test_answers_are_put_into_words() -> None:
    rows = describe_rod_token_information(golden("rod_token_information"))
    assert ("copy_operation_status", "completed without error") in [(row.name, row.words) for row in rows]
    assert value_of(rows, "rod_token_descriptors_length") == "514"
    rows = describe_rod_token_information(golden("partial_write"))
    assert ("copy_operation_status", "completed without error, fewer blocks than requested") in [
        (row.name, row.words) for row in rows
    ]
    assert any("underrun" in row.words for row in rows)
    status_alone = golden("partial_write")[:-4]
    assert describe_rod_token_information(status_alone) == rows[:-1]


def test_a_token_is_put_into_words_but_not_its_secret() -> None:
    head = golden("token_head")
    secret = bytes(range(256))
    rows = describe_token(head + secret)
    assert value_of(rows, "number_of_bytes_represented") == "0x780000"
    assert value_of(rows, "extended_rod_token_data") == "not shown"
    designators = [row.value for row in rows if row.name == "designator"]
    assert designators == ["6001405aabbccddeeff001122334455600000000", "iqn.2024-01.example:array0"]
    assert secret[:8].hex() not in repr(rows).replace(" ", "")
    assert describe_token(head[:96])[-1].name == "missing"
    assert describe_token(ZERO_TOKEN)[0].words == "block device zero"
    with pytest.raises(ValueError, match="8 bytes"):
        describe_token(head[:7])


@QUICK
@given(data=st.binary(max_size=700), cut=st.integers(0, 560))
def test_no_bytes_bring_a_description_down(data: bytes, cut: int) -> None:
    for describe in (
        describe_populate_token,
        describe_write_using_token,
        describe_rod_token_information,
        describe_third_party_copy,
    ):
        for described in (
            data,
            golden("rod_token_information")[:cut] + data,
            golden("third_party_copy_page_512")[4:cut] + data,
        ):
            assert all(row.name for row in describe(described))
    if len(data) >= 8:
        assert all(row.name for described in (data, TOKEN[:cut] + data) for row in describe_token(described))
