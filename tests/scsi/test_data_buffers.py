"""READ BUFFER and WRITE BUFFER."""

from collections.abc import Callable
from typing import Any

import pytest

from odx_target.scsi.limits import DATA_BUFFER_BYTES, ECHO_BUFFER_BYTES
from odx_target.scsi.reply import Reply
from tests.scsi.array import UnitUnderTest, code_of, data_of

DATA, DATA_DESCRIPTOR, ECHO, ECHO_DESCRIPTOR = 0x02, 0x03, 0x0A, 0x0B
INVALID_FIELD_IN_CDB, COMMAND_SEQUENCE_ERROR, LIST_LENGTH_ERROR = (5, 0x24, 0), (5, 0x2C, 0), (5, 0x1A, 0)


def read_10(mode: int, length: int = 4096, offset: int = 0, buffer: int = 0) -> bytes:
    return bytes((0x3C, mode, buffer)) + offset.to_bytes(3, "big") + length.to_bytes(3, "big") + b"\0"


def read_16(mode: int, length: int = 4096, offset: int = 0, buffer: int = 0) -> bytes:
    return bytes((0x9B, mode)) + offset.to_bytes(8, "big") + length.to_bytes(4, "big") + bytes((buffer, 0))


def write(unit: UnitUnderTest, mode: int, data: bytes, offset: int = 0, buffer: int = 0, **options: Any) -> Reply:
    cdb = bytes((0x3B, mode, buffer)) + offset.to_bytes(3, "big") + len(data).to_bytes(3, "big") + b"\0"
    return unit.command(cdb, data, **options)


READS = pytest.mark.parametrize("read", [read_10, read_16])


@READS
def test_descriptors(read: Callable[..., bytes]) -> None:
    unit = UnitUnderTest()
    assert data_of(unit.command(read(DATA_DESCRIPTOR))) == bytes((0, *DATA_BUFFER_BYTES.to_bytes(3, "big")))
    assert data_of(unit.command(read(DATA_DESCRIPTOR, buffer=1))) == bytes(4), "there is no other buffer"
    assert data_of(unit.command(read(ECHO_DESCRIPTOR))) == bytes((1, 0, *ECHO_BUFFER_BYTES.to_bytes(2, "big")))
    assert data_of(unit.command(read(ECHO_DESCRIPTOR, 3))) == bytes((1, 0, 1)), "EBOS: each nexus has its own echo buffer"


@READS
def test_each_nexus_has_an_echo_buffer_of_its_own(read: Callable[..., bytes]) -> None:
    unit = UnitUnderTest()
    other = unit.new_nexus()
    assert code_of(unit.command(read(ECHO))) == COMMAND_SEQUENCE_ERROR, "nothing was written"
    assert write(unit, ECHO, b"abcd").transfer_bytes == 4
    assert code_of(unit.command(read(ECHO), nexus=other)) == COMMAND_SEQUENCE_ERROR
    assert write(unit, ECHO, b"other234", nexus=other).status == 0
    assert data_of(unit.command(read(ECHO))) == b"abcd"
    assert data_of(unit.command(read(ECHO, 5), nexus=other)) == b"other"
    assert data_of(unit.command(read(ECHO, offset=9, buffer=7))) == b"abcd", "both fields are ignored"
    unit.server.logical_unit_removed(unit.logical_unit)
    assert code_of(unit.command(read(ECHO))) == COMMAND_SEQUENCE_ERROR


@pytest.mark.parametrize("size_bytes", [4, ECHO_BUFFER_BYTES - 4, ECHO_BUFFER_BYTES])
def test_lengths_of_an_echo(size_bytes: int) -> None:
    unit = UnitUnderTest()
    content = bytes(number % 251 for number in range(size_bytes))
    assert write(unit, ECHO, content).status == 0
    assert data_of(unit.command(read_10(ECHO))) == content


@pytest.mark.parametrize("size_bytes", [1, 3, 5, ECHO_BUFFER_BYTES + 1, ECHO_BUFFER_BYTES + 4])
def test_an_echo_of_another_length_is_refused_and_changes_nothing(size_bytes: int) -> None:
    unit = UnitUnderTest()
    write(unit, ECHO, b"abcd")
    reply = write(unit, ECHO, bytes(size_bytes))
    assert code_of(reply) == INVALID_FIELD_IN_CDB
    assert reply.sense[15:18] == bytes.fromhex("c0 00 06")
    assert write(unit, ECHO, b"").status == 0
    assert data_of(unit.command(read_10(ECHO))) == b"abcd"


@READS
def test_all_nexuses_share_the_data_buffer(read: Callable[..., bytes]) -> None:
    unit = UnitUnderTest()
    other = unit.new_nexus()
    assert data_of(unit.command(read(DATA))) == bytes(DATA_BUFFER_BYTES)
    assert write(unit, DATA, b"abcd", 2).status == 0
    assert write(unit, DATA, b"xy", 5, nexus=other).status == 0
    assert data_of(unit.command(read(DATA))) == b"\0\0abcxy".ljust(DATA_BUFFER_BYTES, b"\0")
    assert data_of(unit.command(read(DATA, 3, 4), nexus=other)) == b"cxy"
    assert data_of(unit.command(read(DATA, 0))) == b""


def test_the_end_of_the_data_buffer() -> None:
    unit = UnitUnderTest()
    assert write(unit, DATA, b"z" * DATA_BUFFER_BYTES).status == 0
    assert write(unit, DATA, b"e", DATA_BUFFER_BYTES - 1).status == 0
    assert write(unit, DATA, b"", DATA_BUFFER_BYTES).status == 0
    whole = b"z" * (DATA_BUFFER_BYTES - 1) + b"e"
    assert data_of(unit.command(read_10(DATA))) == whole
    assert data_of(unit.command(read_16(DATA, offset=DATA_BUFFER_BYTES - 1))) == b"e"
    assert data_of(unit.command(read_16(DATA, offset=DATA_BUFFER_BYTES))) == b""
    for reply, field in (
        (write(unit, DATA, b"ee", DATA_BUFFER_BYTES - 1), 6),
        (write(unit, DATA, bytes(DATA_BUFFER_BYTES + 1)), 6),
        (write(unit, DATA, b"", DATA_BUFFER_BYTES + 1), 3),
        (write(unit, DATA, b"e", buffer=1), 2),
        (unit.command(read_10(DATA, offset=DATA_BUFFER_BYTES + 1)), 3),
        (unit.command(read_16(DATA, offset=1 << 63)), 2),
        (unit.command(read_10(DATA, buffer=1)), 2),
        (unit.command(read_16(DATA, buffer=255)), 14),
    ):
        assert code_of(reply) == INVALID_FIELD_IN_CDB
        assert reply.sense[15:18] == bytes((0xC0, 0, field))
    assert data_of(unit.command(read_10(DATA))) == whole


@pytest.mark.parametrize("mode", sorted({*range(0x20)} - {DATA, ECHO}))
def test_other_modes_are_refused(mode: int) -> None:
    unit = UnitUnderTest()
    replies = [write(unit, mode, b"abcd")]
    if mode not in (DATA_DESCRIPTOR, ECHO_DESCRIPTOR):
        replies += [unit.command(read_10(mode)), unit.command(read_16(mode))]
    for reply in replies:
        assert code_of(reply) == INVALID_FIELD_IN_CDB
        assert reply.sense[15:18] == bytes.fromhex("cc 00 01")


@pytest.mark.parametrize("mode", [DATA, ECHO])
def test_an_incomplete_list_is_refused(mode: int) -> None:
    unit = UnitUnderTest()
    assert code_of(unit.command(bytes((0x3B, mode, 0, 0, 0, 0, 0, 0, 8, 0)), b"1234567")) == LIST_LENGTH_ERROR
    assert not unit.nexus.echo_buffers
    assert data_of(unit.command(read_10(DATA))) == bytes(DATA_BUFFER_BYTES)
