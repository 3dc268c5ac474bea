"""Faults in the array of a test, and its restarts."""

from pathlib import Path

import pytest

from odx_target.initiator.errors import InitiatorError
from odx_target.target.config.error import ConfigError
from odx_target.testing import CommandFailed, running_array


def test_a_rule_fails_the_first_two_commands_and_counts_them() -> None:
    with running_array() as array:
        host = array.host()
        token = host.populate_token("a")
        rule = array.faults.add("command=write-using-token first=2 sense=token-expired")
        for _ in range(2):
            with pytest.raises(CommandFailed, match="token expired"):
                host.write_using_token("b", token)
        host.write_using_token("b", token)
        assert (rule.hits, rule.passed) == (2, 1)
        assert len(array.commands.where(sense="TOKEN EXPIRED")) == 2


def test_an_injected_fault_is_a_line_of_the_log_and_prints_nothing(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_array() as array:
        array.faults.add("command=read lun=a first=1 status=busy", name="one")
        array.host().read("a", 0, 1)  # the host repeats a command that ends with BUSY
    assert [line.message.partition(" point=")[0] for line in caplog.records] == ["fault injected rule='one'"]
    assert capsys.readouterr() == ("", "")


def test_rules_are_found_switched_and_removed_by_name() -> None:
    with running_array() as array:
        host = array.host()
        array.faults.add(command="read", lun="a", sense="unrecovered read error", name="bad")
        assert [rule.name for rule in array.faults] == ["bad"]
        with pytest.raises(CommandFailed, match="unrecovered read error"):
            host.read("a", 0, 1)
        host.read("b", 0, 1)
        array.faults.disable("bad")
        host.read("a", 0, 1)
        assert not array.faults["bad"].enabled
        array.faults.enable("bad")
        with pytest.raises(CommandFailed, match="unrecovered read error"):
            host.read("a", 0, 1)
        array.faults.remove("bad")
        host.read("a", 0, 1)
        assert len(array.faults) == 0
        with pytest.raises(ConfigError, match="there is no rule 'bad'"):
            array.faults.release("bad")


def test_a_wrong_word_is_refused_with_the_nearest_right_one() -> None:
    with running_array() as array, pytest.raises(ConfigError, match="command"):
        array.faults.add(comand="read", sense="token expired")


@pytest.mark.parametrize("in_directory", [False, True])
def test_a_restart_keeps_the_data_the_port_and_the_rules(tmp_path: Path, in_directory: bool) -> None:
    with running_array(directory=tmp_path / "pool" if in_directory else None) as array:
        portal = array.portal
        array.write("a", 1000, b"kept")
        array.snapshot("one")
        array.manage("resize", name="b", size="1M", shrink=True)
        array.clock.advance(50)
        rule = array.faults.add("command=read first=1 status=busy")
        host = array.host()
        seen = len(array.commands)
        array.restart()
        assert (array.portal, array.read("a", 1000, 4), len(array.read("b"))) == (portal, b"kept", 1 << 20)
        assert array.clock.advanced_s == 50
        assert len(array.commands) >= seen
        assert [found.name for found in array.faults] == [rule.name]
        array.write("a", 1000, b"new!")
        array.restore("one", "a")
        assert array.read("a", 1000, 4) == b"kept"
        with pytest.raises(InitiatorError):
            host.read("a", 0, 1)
        array.host().read("a", 0, 1)
        array.reset()
        assert (len(array.faults), len(array.read("b")), array.read("a", 1000, 4)) == (0, 64 << 20, bytes(4))


def test_a_fault_restarts_the_array_in_the_middle_of_a_command() -> None:
    with running_array() as array:
        host = array.host()
        host.write("a", 0, b"x" * 512)
        array.faults.add("command=write first=1 restart")
        with pytest.raises(InitiatorError):
            host.write("a", 0, b"y" * 512)
        again = array.host()
        assert again.read("a", 0, 1) in (b"x" * 512, b"y" * 512)  # the host cannot know
        again.write("a", 0, b"z" * 512)
        assert array.read("a", 0, 512) == b"z" * 512
