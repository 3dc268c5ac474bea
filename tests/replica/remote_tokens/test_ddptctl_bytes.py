"""The bytes of ddptctl between two arrays: `ddptctl --pt` at the array that has the data, and `ddptctl --wut` at the other one.

ddptctl needs a SCSI device of a Linux kernel, so the guest runs the program itself against one array (`tests/interop/guest`).
Here a host sends what `ddptctl --pt=4096,128,8192,16` and `ddptctl --wut=12288,144 --del_tkn` send, byte by byte.
"""

from odx_target.scsi.reply import Reply
from tests.copymgr.array import code_of, data_of
from tests.replica.remote_tokens.arrays import Copier, TokenArrays
from tests.replica.remote_tokens.test_copies import fill_source

INQUIRY = "12 00 00 00 24 00"
THIRD_PARTY_COPY_PAGE = "12 01 8f 01 00 00"
READ_CAPACITY = "25 00 00 00 00 00 00 00 00 00"
POPULATE_TOKEN = "83 10 00 00 00 00 00 00 01 01 00 00 00 30 00 00"
POPULATE_TOKEN_LIST = (
    "00 2e 00 00 00 00 00 00 00 00 00 00 00 00 00 20"
    "00 00 00 00 00 00 10 00 00 00 00 80 00 00 00 00"
    "00 00 00 00 00 00 20 00 00 00 00 10 00 00 00 00"
)
RECEIVE_TOKEN = "84 07 00 00 01 01 00 00 00 00 00 00 04 00 00 00"
WRITE_USING_TOKEN = "83 11 00 00 00 00 00 00 01 01 00 00 02 28 00 00"
WRITE_USING_TOKEN_HEAD = "02 26 02 00 00 00 00 00 00 00 00 00 00 00 00 00"
WRITE_USING_TOKEN_TAIL = "00 00 00 00 00 00 00 10 00 00 00 00 00 00 30 00 00 00 00 90 00 00 00 00"


def send(copier: Copier, cdb: str, data: bytes = b"") -> Reply:
    return copier.command(0, bytes.fromhex(cdb), data)


def look_at(copier: Copier) -> None:
    """Send the questions with which ddptctl begins."""
    for cdb in (INQUIRY, THIRD_PARTY_COPY_PAGE, READ_CAPACITY):
        assert code_of(send(copier, cdb)) == "good"
    length = int.from_bytes(data_of(send(copier, THIRD_PARTY_COPY_PAGE))[2:4], "big") + 4
    page = data_of(send(copier, f"12 01 8f {length.to_bytes(2, 'big').hex()} 00"))
    assert len(page) == length


def test_ddptctl_between_two_arrays() -> None:
    arrays = TokenArrays(31, size_blocks=4096)
    data = fill_source(arrays, size_bytes=8208 * 512)
    look_at(arrays.maker)
    assert code_of(send(arrays.maker, POPULATE_TOKEN, bytes.fromhex(POPULATE_TOKEN_LIST))) == "good"
    answer = data_of(send(arrays.maker, RECEIVE_TOKEN))
    assert answer[:4].hex(" ") == "00 00 02 22"
    assert (answer[4:6].hex(" "), answer[16:24].hex()) == ("10 01", "0000000000000090")
    token = answer[38:]
    assert len(token) == 512

    look_at(arrays.redeemer)
    parameters = bytes.fromhex(WRITE_USING_TOKEN_HEAD) + token + bytes.fromhex(WRITE_USING_TOKEN_TAIL)
    assert len(parameters) == 552
    assert code_of(send(arrays.redeemer, WRITE_USING_TOKEN, parameters)) == "good"
    answer = data_of(send(arrays.redeemer, RECEIVE_TOKEN))
    assert (answer[4:6].hex(" "), answer[16:24].hex()) == ("11 01", "0000000000000090")
    assert arrays.redeemer.read(0, 0x3000, 0x90) == data[0x1000 * 512 :][: 0x80 * 512] + data[0x2000 * 512 :][: 0x10 * 512]

    assert code_of(send(arrays.redeemer, WRITE_USING_TOKEN, parameters)) == "5/23/09", "DEL_TKN has deleted the token"
    arrays.assert_nothing_leaks()
