"""The recorder of commands: digests, limits, and peers that send anything."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from odx_target.configured_pool import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.session.opening import open_session
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, Portal
from odx_target.target.recording import recorder as recorder_module
from odx_target.target.recording.decoding import decode_cdb, decode_parameter_list
from odx_target.target.recording.recorder import CommandRecorder
from odx_target.target.recording.seen_command import read_sense, status_name
from tests.target.running import LUNS, OPTIONS, remote_portal, settled


def _array(recorder: CommandRecorder) -> Array:
    return Array(Config(luns=LUNS, portals=(Portal(port=0),)), open_pool=open_pool, tap=recorder)


@pytest.mark.parametrize("digests", [False, True])
async def test_commands_are_recorded_with_and_without_digests(digests: bool) -> None:
    recorder = CommandRecorder(lambda: 5.0)
    options = replace(OPTIONS, header_digest=digests, data_digest=digests)
    async with _array(recorder) as array, open_session(remote_portal(array), array.config.iqn, options) as session:
        await settled(session)
        await session.execute(0, cdb.write_16(0, 1000), bytes(512_000))
        await session.execute(0, cdb.read_16(0, 1000), data_in_bytes=512_000)
    write, read = recorder.commands()[-2:]
    assert (write.operation, write.status, read.operation, read.status) == ("WRITE(16)", "GOOD", "READ(16)", "GOOD")
    assert (write.initiator, write.target) == (options.initiator_name, array.config.iqn)
    assert (write.started_s, write.ended_s) == (5.0, 5.0)


async def test_the_oldest_commands_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "MAX_COMMANDS", 3)
    recorder = CommandRecorder()
    async with _array(recorder) as array, open_session(remote_portal(array), array.config.iqn, OPTIONS) as session:
        await settled(session)
        for lba in range(5):
            await session.execute(0, cdb.read_16(lba, 1), data_in_bytes=512)
    assert [command.fields["logical_block_address"] for command in recorder.commands()] == [2, 3, 4]
    assert recorder.count == 6
    assert [command.number for command in recorder.commands()] == [3, 4, 5]


async def test_residuals_have_their_signs() -> None:
    recorder = CommandRecorder()
    async with _array(recorder) as array, open_session(remote_portal(array), array.config.iqn, OPTIONS) as session:
        await settled(session)
        await session.execute(0, cdb.read_16(0, 1), data_in_bytes=1024)
        await session.execute(0, cdb.read_16(0, 2), data_in_bytes=512)
    assert [command.residual_bytes for command in recorder.commands()[-2:]] == [512, -512]


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), max_size=8))
def test_no_bytes_of_a_peer_raise_an_exception(pieces: list[tuple[bool, bytes]]) -> None:
    with capture_logs() as lines:
        connection = CommandRecorder().connected(("127.0.0.1", 1), ("127.0.0.1", 2))
        for is_from_host, data in pieces:
            if is_from_host:
                connection.received(memoryview(data))
            else:
                connection.sent([data])
        connection.closed()
    assert lines == [], "an exception ends the recording of the connection with a line in the log"


@given(st.binary(min_size=1, max_size=40), st.binary(max_size=600))
def test_any_cdb_and_any_parameter_list_are_decoded(command: bytes, data: bytes) -> None:
    name, fields = decode_cdb(command)
    assert name
    assert fields["operation_code"] == command[0]
    for code in (0x42, 0x83, command[0]):
        for action in (0x10, 0x11):
            decode_parameter_list(bytes([code, action]).ljust(16, b"\0"), data)


@given(st.binary(max_size=40))
def test_any_sense_data_is_read(data: bytes) -> None:
    sense = read_sense(data)
    assert sense is None or str(sense).startswith(sense.key)


def test_sense_data_of_both_formats_is_read() -> None:
    fixed = read_sense(bytes.fromhex("70 00 05 00 00 00 00 0a 00 00 00 00 23 07 00 00 00 00"))
    descriptor = read_sense(bytes.fromhex("72 05 23 07 00 00 00 00"))
    assert fixed is not None
    assert descriptor is not None
    assert (fixed.key, fixed.code) == (descriptor.key, descriptor.code) == ("ILLEGAL REQUEST", (0x23, 0x07))
    assert fixed.name == "INVALID TOKEN OPERATION, TOKEN EXPIRED"
    unnamed = read_sense(bytes.fromhex("72 05 80 81 00 00 00 00"))
    assert str(unnamed) == "ILLEGAL REQUEST, 80h/81h"


def test_a_status_without_a_name_has_its_number() -> None:
    assert (status_name(0x28), status_name(0x77)) == ("TASK SET FULL", "status 77h")
