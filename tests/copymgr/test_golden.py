"""Golden bytes for decoders, builders, and the responses of the array."""

from odx_target.copymgr.commands.copy_results_data import rod_token_information
from odx_target.copymgr.commands.parameter_lists import (
    ListFlag,
    ServiceAction,
    decode_populate_token,
    decode_write_using_token,
    encode_populate_token,
    encode_write_using_token,
)
from odx_target.copymgr.commands.third_party_copy_page import THIRD_PARTY_COPY
from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus
from odx_target.copymgr.tokens.format import (
    TOKEN_BYTES,
    creator_identity,
    decode_head,
    target_device_descriptor,
    unsigned_token,
)
from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from odx_target.scsi.tasks.task import Task
from tests.copymgr.array import CopyArray, data_of, in_cdb, out_cdb, pattern
from tests.copymgr.golden import TOKEN, golden

RANGES = [(0x1000, 0x80), (0x2000, 0x10)]


def test_the_populate_token_list() -> None:
    data = golden("populate_token", "list")
    assert encode_populate_token(RANGES) == data
    decoded = decode_populate_token(data)
    assert decoded.data_length == len(data) - 2
    assert decoded.ranges == RANGES
    assert out_cdb(0x10, 0x101, len(data)) == golden("populate_token", "cdb")


def test_the_write_using_token_list() -> None:
    data = golden("write_using_token", "list")
    assert encode_write_using_token(TOKEN, [(0x3000, 0x90)], flags=ListFlag.DEL_TKN) == data
    decoded = decode_write_using_token(data)
    assert (decoded.token, decoded.ranges, decoded.flags) == (TOKEN, [(0x3000, 0x90)], ListFlag.DEL_TKN)
    assert out_cdb(0x11, 0x102, len(data)) == golden("write_using_token", "cdb")


def test_the_answer_with_a_token() -> None:
    array = CopyArray()
    task = Task(array.nexus, array.logical_units[0], bytes(16))
    operation = CopyOperation(ServiceAction.POPULATE_TOKEN, 0x101, 0x90, task, 0.0, in_background=False)
    operation.transfer_count_blocks, operation.counter, operation.token = 0x90, 2, TOKEN
    operation.finish(CopyStatus.COMPLETED, None)
    assert rod_token_information(operation) == golden("rod_token_information")
    assert in_cdb(0x07, 0x101, 1024) == golden("rod_token_information", "cdb")


def test_the_answers_of_an_array_to_these_commands() -> None:
    array = CopyArray(size_store_blocks=2048)
    array.write(0, 0x1000, pattern(1, 0x1000, 0x80, 512))
    assert array.command(0, golden("populate_token", "cdb"), golden("populate_token", "list")).status == 0
    answer = data_of(array.command(0, golden("rod_token_information", "cdb")))
    expected = golden("rod_token_information")
    assert len(answer) == len(expected) == 550
    assert answer[:6] + answer[8:38] == expected[:6] + expected[8:38]
    parameters = golden("write_using_token", "list").replace(TOKEN, answer[38:])
    assert array.command(1, golden("write_using_token", "cdb"), parameters).status == 0
    assert array.read(1, 0x3000, 0x80) == pattern(1, 0x1000, 0x80, 512)


def test_a_partial_write() -> None:
    array = CopyArray()
    token = array.token(0, 0x101, [(0, 100)])
    reply = array.write_using(1, 0x102, token, [(0, 150)])
    assert reply.sense == golden("partial_write", "sense")
    answer, expected = data_of(array.information(1, 0x102)), golden("partial_write")
    assert answer[:6] + answer[8:] == expected[:6] + expected[8:]
    assert data_of(array.copy_status(1, 0x102)) == (len(expected) - 8).to_bytes(4, "big") + answer[4:-4]


def test_the_head_of_a_token() -> None:
    identity = bytes.fromhex("6001405aabbccddeeff0011223344556")
    device = target_device_descriptor("iqn.2024-01.example:array0", bytes(16))
    token = unsigned_token(0x0080_0000, 0x1_0000_0007, identity, 7_864_320, 512, device, bytes(16), bytes(32))
    assert token[:256] == golden("token_head")
    head = decode_head(golden("token_head") + bytes(256))
    assert (head.rod_type, head.identifier, head.rod_token_length) == (0x0080_0000, 0x1_0000_0007, 0x1F8)
    assert creator_identity(head.creator) == identity


def test_the_zero_token() -> None:
    assert golden("zero_token") == ZERO_TOKEN
    assert len(ZERO_TOKEN) == TOKEN_BYTES


def test_the_page_of_this_array() -> None:
    array = CopyArray()
    page = data_of(array.command(0, bytes.fromhex("12018f10000000")[:6]))
    assert page == golden("third_party_copy_page_512")
    assert page == array.logical_units[0].added_vpd_pages[THIRD_PARTY_COPY](array.logical_units[0], array.nexus.target_port)
