"""The commands that an array has seen, as a test asserts on them."""

import pytest

from odx_target.initiator import cdb
from odx_target.testing import CommandFailed, running_array

HOST = "iqn.2026-11.com.example:host"


def test_a_command_has_its_fields_by_their_names_in_the_standard() -> None:
    with running_array() as array:
        host = array.host(HOST)
        host.write("b", 8, bytes(1024))
        (command,) = array.commands.where("WRITE(16)")
        assert (command.lun, command.initiator, command.target) == (1, HOST, array.target)
        assert (command.fields["logical_block_address"], command.fields["transfer_length"]) == (8, 2)
        assert (command.status, command.sense, command.is_good) == ("GOOD", None, True)
        assert (command.expected_bytes, command.residual_bytes) == (1024, 0)
        assert command.cdb == cdb.write_16(8, 2)
        assert command.ended_s is not None
        assert 0 <= command.ended_s - command.started_s < 60


def test_a_refused_command_has_its_sense_by_name() -> None:
    with running_array() as array:
        host = array.host(HOST)
        with pytest.raises(CommandFailed):
            host.read("a", 1 << 40, 1)
        (command,) = array.commands.where("READ(16)")
        assert command.status == "CHECK CONDITION"
        assert command.sense is not None
        assert (command.sense.key, command.sense.code) == ("ILLEGAL REQUEST", (0x21, 0))
        assert command.sense.name == "LOGICAL BLOCK ADDRESS OUT OF RANGE"
        assert str(command) == f"READ(16) to LUN 0 by {HOST}: CHECK CONDITION: {command.sense}"


def test_the_parameter_lists_of_token_commands_are_decoded() -> None:
    with running_array() as array:
        host = array.host(HOST)
        token = host.populate_token("a", 16, 8, inactivity_timeout_s=60)
        host.write_using_token("b", token, 32, 8)
        (populate,) = array.commands.where("POPULATE TOKEN")
        assert populate.parameters["inactivity_timeout"] == 60
        assert populate.ranges == [(16, 8)]
        (write,) = array.commands.where("WRITE USING TOKEN")
        assert (write.parameters["rod_token"], write.ranges) == (token, [(32, 8)])
        (information,) = array.commands.where("RECEIVE ROD TOKEN INFORMATION")
        assert token in information.parameter_data


def test_commands_are_found_by_their_properties() -> None:
    with running_array() as array:
        one, other = array.host(HOST), array.host(f"{HOST}-2")
        one.read("a", 0, 1)
        other.read("b", 0, 1)
        with pytest.raises(CommandFailed):
            other.read("b", 1 << 40, 1)
        reads = array.commands.where("READ(16)")
        assert [command.number for command in reads] == sorted(command.number for command in reads)
        assert len(reads) == 3
        assert len(reads.where(lun="b")) == len(reads.where(lun=1)) == 2
        assert len(reads.where(initiator=HOST)) == 1
        assert len(reads.where(status="GOOD")) == 2
        assert len(reads.where(sense="out of range")) == 1
        assert reads[-1].initiator == f"{HOST}-2"
        assert reads[1:].operations == ["READ(16)", "READ(16)"]
        assert repr(reads[:0]) == "no commands"
        assert f"READ(16) to LUN 0 by {HOST}: GOOD" in repr(reads)


def test_a_list_of_commands_does_not_change_later() -> None:
    with running_array() as array:
        host = array.host()
        host.read("a", 0, 1)
        before = array.commands
        count = len(before)
        host.read("a", 0, 1)
        assert len(before) == count
        assert len(array.commands) == count + 1
        array.clear_commands()
        assert len(array.commands) == 0
        host.read("a", 0, 1)
        assert array.commands.operations == ["READ(16)"]


def test_data_with_r2t_and_every_byte_of_a_command_of_unknown_name() -> None:
    with running_array() as array:
        host = array.host()
        host.write("a", 0, bytes(1 << 20))
        host.execute("a", bytes([0xC7, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
        assert len(array.commands.where("WRITE(16)", status="GOOD")) == 1
        unknown = array.commands[-1]
        assert unknown.operation == "operation code C7h"
        assert unknown.cdb[:10] == bytes([0xC7, 1, 2, 3, 4, 5, 6, 7, 8, 9])
        assert unknown.sense is not None
        assert unknown.sense.name == "INVALID COMMAND OPERATION CODE"


def test_times_are_those_of_the_array() -> None:
    with running_array(clock="virtual") as array:
        host = array.host()
        host.read("a", 0, 1)
        array.clock.advance(3600)
        host.read("a", 0, 1)
        first, second = array.commands.where("READ(16)")
        assert second.started_s - first.started_s == 3600


def test_an_array_that_does_not_record_has_no_commands() -> None:
    with running_array(record=False) as array:
        array.host().read("a", 0, 1)
        assert len(array.commands) == 0
        assert array.offload.tokens == 0
