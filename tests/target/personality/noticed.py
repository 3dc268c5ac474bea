"""The table of all personalities: the limit of each of them on the wire, and the line in which a host notices it.

docs/personalities.md shows the lines.
"""

from collections.abc import Callable
from typing import NamedTuple

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import ZERO_TOKEN, RodType
from tests.target.personality.wire import (
    GOOD,
    INVALID_FIELD_IN_CDB,
    INVALID_FIELD_IN_LIST,
    INVALID_OPERATION_CODE,
    TOKEN_UNKNOWN,
    TOO_MANY_DESCRIPTORS,
    Wire,
)

MIB = 1 << 20
BLOCKS_OF_MIB = 2048
BLOCK = 512
UNMAP = bytes.fromhex("42000000000000001800")
UNMAP_LIST = bytes.fromhex("0016 0010 00000000") + bytes(8) + bytes.fromhex("00000008 00000000")
WRITE_SAME_UNMAP = bytes.fromhex("9308") + bytes(8) + bytes.fromhex("00000008 0000")
PRE_FETCH_10 = bytes.fromhex("34000000000000000100")
IN_PROGRESS = range(0x10, 0x13)


def small_tokens(wire: Wire) -> None:
    assert wire.token_limits()[1:] == (BLOCKS_OF_MIB, BLOCKS_OF_MIB)
    assert wire.populate((0, BLOCKS_OF_MIB)) == GOOD
    assert wire.populate((0, BLOCKS_OF_MIB + 1)) == INVALID_FIELD_IN_LIST


def single_range(wire: Wire) -> None:
    assert wire.token_limits()[0] == 1
    assert wire.populate((0, 1)) == GOOD
    assert wire.populate((0, 1), (8, 1)) == TOO_MANY_DESCRIPTORS


def no_zero_token(wire: Wire) -> None:
    assert ZERO_TOKEN[:4] not in wire.page(0x8F)
    assert wire.write_using(ZERO_TOKEN) == "5/23/01"


def no_optimal_size(wire: Wire) -> None:
    assert wire.token_limits()[2] == 0
    assert wire.page(0xB0)[8:12] == bytes(4)


def small_transfers(wire: Wire) -> None:
    assert wire.page(0xB0)[4:8] == (128).to_bytes(4, "big")
    for command in (cdb.read_16, cdb.shortest_read):
        assert len(wire.reads(command(0, 128), 128 * BLOCK)) == 128 * BLOCK
        assert wire.ends(command(0, 129), data_in_bytes=129 * BLOCK) == INVALID_FIELD_IN_CDB
    assert wire.ends(cdb.write_16(0, 129), bytes(129 * BLOCK)) == INVALID_FIELD_IN_CDB
    assert wire.populate((0, 8 * BLOCKS_OF_MIB + 1)) == INVALID_FIELD_IN_LIST


def extended_copy_only(wire: Wire) -> None:
    assert wire.populate((0, 1)) == INVALID_FIELD_IN_CDB
    assert wire.ends(cdb.extended_copy(0)) == GOOD
    page = wire.page(0x8F)
    assert page[:2] == b"\0\1", "the first descriptor lists the commands"
    assert b"\x83\x03\x00\x01\x1c\x84\x04\x00\x03\x04\x05" in page


def token_copy_only(wire: Wire) -> None:
    assert wire.populate((0, 1)) == GOOD
    assert wire.ends(cdb.extended_copy(0)) == INVALID_FIELD_IN_CDB
    assert b"\x83\x03\x10\x11\x1c\x84\x03\x05\x07\x08" in wire.page(0x8F)


def no_unmap(wire: Wire) -> None:
    assert wire.ends(UNMAP, UNMAP_LIST) == INVALID_OPERATION_CODE
    assert wire.ends(WRITE_SAME_UNMAP, bytes(BLOCK)) == INVALID_FIELD_IN_CDB
    assert wire.ends(cdb.write_same_16(0, 8), bytes(BLOCK)) == GOOD
    assert not wire.supports(0x42)
    assert wire.page(0xB2)[1] == wire.page(0xB2)[2] == 0
    assert wire.page(0xB0)[16:24] == bytes(8)
    assert wire.reads(cdb.read_capacity_16(), 32)[14] == 0


def disk_of_4_kib(wire: Wire) -> None:
    assert int.from_bytes(wire.reads(cdb.read_capacity_10(), 8)[4:], "big") == 4096
    wire.array.manage("add-lun", lun="late=1M")
    assert wire.array.manage("luns")["luns"][-1]["block_bytes"] == 4096  # type: ignore[index]


def access_upon_reference(wire: Wire) -> None:
    """A write between POPULATE TOKEN and WRITE USING TOKEN appears in the copy."""
    wire.host.write("a", 0, b"before".ljust(BLOCK))
    assert wire.populate((0, 1)) == GOOD
    (token,) = wire.result().tokens
    assert token[:4] == RodType.ACCESS_UPON_REFERENCE.to_bytes(4, "big")
    wire.host.write("a", 0, b"after".ljust(BLOCK))
    assert wire.write_using(token, 64) == GOOD
    assert wire.host.read("a", 64, 1) == b"after".ljust(BLOCK)
    assert wire.populate((0, 1), rod_type=RodType.POINT_IN_TIME_DEFAULT) == INVALID_FIELD_IN_LIST
    assert wire.populate((0, 1), rod_type=RodType.ACCESS_UPON_REFERENCE) == GOOD


def slow_results(wire: Wire) -> None:
    assert wire.populate((0, 1)) == GOOD
    first = wire.result()
    assert first.status in IN_PROGRESS
    assert first.tokens == ()
    wire.array.clock.advance(5)
    assert len(wire.result().tokens) == 1


def ctl(wire: Wire) -> None:
    access_upon_reference(wire)
    assert wire.identity() == "FREEBSD CTLDISK         0001"
    assert wire.token_limits() == (64, 0, 0)
    assert wire.populate((0, 1)) == GOOD
    (token,) = wire.result().tokens
    wire.array.clock.advance(61)
    for bad in (token, token[:-1] + b"\0", token[:6] + b"\0\1" + token[8:], bytes(512)):
        assert wire.write_using(bad) == TOKEN_UNKNOWN


def tgt(wire: Wire) -> None:
    assert wire.identity() == "IET     VIRTUAL-DISK    0001"
    assert wire.reads(cdb.inquiry(96), 96)[5] & 8 == 0, "3PC"
    assert 0x8F not in wire.page(0)
    assert wire.ends(cdb.inquiry(64, 0x8F), data_in_bytes=64) == INVALID_FIELD_IN_CDB
    assert wire.populate((0, 1)) == wire.ends(cdb.extended_copy(0)) == INVALID_OPERATION_CODE
    assert wire.ends(cdb.compare_and_write(0, 1), bytes(2 * BLOCK)) == INVALID_OPERATION_CODE
    assert wire.ends(UNMAP, UNMAP_LIST) == INVALID_OPERATION_CODE
    assert wire.ends(WRITE_SAME_UNMAP, bytes(BLOCK)) == INVALID_FIELD_IN_CDB
    assert wire.page(0xB0)[1] == 128, "it announces COMPARE AND WRITE all the same"


def lio(wire: Wire) -> None:
    assert wire.identity() == "LIO-ORG FILEIO          4.0 "
    parameters = wire.reads(cdb.receive_copy_operating_parameters(64), 64)
    assert parameters[8:20] == bytes.fromhex("0002 0001 00000400 10000000")
    assert wire.populate((0, 1)) == INVALID_FIELD_IN_CDB
    assert wire.ends(cdb.compare_and_write(0, 2), bytes(4 * BLOCK)) == INVALID_FIELD_IN_CDB
    assert wire.ends(cdb.report_supported_operation_code(0x28, 64), data_in_bytes=64) == INVALID_FIELD_IN_CDB
    assert wire.ends(PRE_FETCH_10) == INVALID_OPERATION_CODE


def windows_strict(wire: Wire) -> None:
    assert wire.token_limits() == (64, 256 * BLOCKS_OF_MIB, 256 * BLOCKS_OF_MIB)
    assert wire.populate((0, 1)) == GOOD
    assert wire.ends(cdb.extended_copy(0)) == INVALID_FIELD_IN_CDB
    assert wire.ends(cdb.write_same_16(0, 1), bytes(BLOCK)) == INVALID_OPERATION_CODE


def esxi_strict(wire: Wire) -> None:
    assert wire.page(0xB0)[1] == 1
    assert wire.ends(cdb.extended_copy(0)) == GOOD
    assert wire.populate((0, 1)) == INVALID_FIELD_IN_CDB
    assert wire.ends(cdb.write_same_16(0, BLOCKS_OF_MIB + 1), bytes(BLOCK)) == INVALID_FIELD_IN_CDB


class Noticed(NamedTuple):
    """A personality: the check of its limit on the wire, and the host that notices it.

    `command` is a command line of `odx-target`. In it, A and B are the LUNs of the array, and USUAL is a LUN of an array
    without a personality. `line` is a part of the line by which the host notices the personality.
    """

    on_the_wire: Callable[[Wire], None]
    command: str
    line: str


COPY_OF_WINDOWS = "windows-copy A B --file-size 512K"
COPY_OF_ESXI = "esxi-copy A B --disk-size 1M"

NOTICED: dict[str, Noticed] = {
    "4kn": Noticed(
        disk_of_4_kib,
        "esxi-copy USUAL A --disk-size 1M",
        "source and destination have different block lengths (512 and 4096 bytes)",
    ),
    "access-upon-reference": Noticed(access_upon_reference, f"{COPY_OF_WINDOWS} --trace", "00010000h access upon reference"),
    "ctl": Noticed(ctl, COPY_OF_WINDOWS, "largest 0 blocks, optimal 0 blocks, 64 descriptors"),
    "esxi-strict": Noticed(esxi_strict, COPY_OF_WINDOWS, "Windows gives up: LUN 0: VPD page 8Fh is not in the list of pages"),
    "extended-copy-only": Noticed(
        extended_copy_only,
        COPY_OF_WINDOWS,
        "Windows gives up: LUN 0: the first descriptor of VPD page 8Fh is not the block device ROD token limits (type 0001h)",
    ),
    "lio": Noticed(lio, COPY_OF_ESXI, "EXTENDED COPY of 1 segments, at most 268435456 bytes each"),
    "no-optimal-size": Noticed(no_optimal_size, COPY_OF_WINDOWS, "optimal 0 blocks"),
    "no-unmap": Noticed(no_unmap, f"{COPY_OF_WINDOWS} --trace", "lbprz=0 (not said) provisioning_type=0 (not reported)"),
    "no-zero-token": Noticed(no_zero_token, f"{COPY_OF_WINDOWS} --zero", "WRITE USING TOKEN refused the token"),
    "single-range": Noticed(
        single_range, f"{COPY_OF_WINDOWS} --fragments 4", "4 POPULATE TOKEN, 4 RECEIVE ROD TOKEN INFORMATION"
    ),
    "slow-results": Noticed(
        slow_results,
        COPY_OF_WINDOWS,
        "Windows gives up: LUN 0: the copy operation is not complete, and Windows does not ask again",
    ),
    "small-tokens": Noticed(
        small_tokens,
        "windows-copy A B --file-size 2M",
        "2 POPULATE TOKEN, 2 RECEIVE ROD TOKEN INFORMATION, 2 WRITE USING TOKEN",
    ),
    "small-transfers": Noticed(small_transfers, f"{COPY_OF_WINDOWS} --fill", "an ordinary read or write failed"),
    "tgt": Noticed(tgt, COPY_OF_ESXI, "ESXi gives up the offload: LUN 0: 3PC is 0 in the INQUIRY data: no EXTENDED COPY"),
    "token-copy-only": Noticed(token_copy_only, COPY_OF_ESXI, "ESXi gives up the offload: LUN 1: EXTENDED COPY failed"),
    "windows-strict": Noticed(
        windows_strict, COPY_OF_ESXI, "ESXi gives up the offload: LUN 1: COMPARE AND WRITE failed: the whole disk is reserved"
    ),
}
