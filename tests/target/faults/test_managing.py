"""Rules of a running array: by its control operations, its command line and its configuration."""

import json
from pathlib import Path

import pytest
from typer.main import get_command

from odx_target.cli.managing.fault import app
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings_file import load_config
from odx_target.target.control.faults import FAULT_OPERATIONS
from tests.target.running import running, session_with, settled
from tests.target.test_management import do, refused


async def test_operations() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        added = await do(array, "fault-add", rule="command=test-unit-ready first=1 status=busy", name="mine")
        assert added == {
            "name": "mine",
            "point": "command",
            "rule": "command=test-unit-ready first=1 status=busy",
            "words": {"command": "test-unit-ready", "first": "1", "status": "busy"},
            "enabled": True,
            "hits": 0,
            "passed": 0,
            "state": None,
        }
        assert [(await session.execute(0, bytes(6))).status for _ in range(2)] == [8, 0]
        (row,) = (await do(array, "faults"))["faults"]  # type: ignore[misc]
        assert (row["hits"], row["passed"]) == (1, 1)
        assert (await do(array, "fault-disable", name="mine"))["enabled"] is False
        assert (await do(array, "fault-enable", name="mine"))["enabled"] is True
        assert (await do(array, "fault-release", name="mine"))["name"] == "mine"
        await do(array, "fault-add", rule={"copy": "50%", "hold": True, "state": "started"})
        assert (await do(array, "fault-remove", name="fault-1"))["state"] == "started"
        assert len((await do(array, "fault-clear"))["faults"]) == 1  # type: ignore[arg-type]
        assert await do(array, "faults") == {"faults": []}


async def test_refusals() -> None:
    async with running() as array:
        assert await refused(array, "fault-add", {"rule": 7}) == (
            'rule: want a text such as "command=read first=1 status=busy" or an object, not 7',
            True,
        )
        assert "did you mean command?" in (await refused(array, "fault-add", {"rule": {"comand": "read", "status": "busy"}}))[0]
        assert await refused(array, "fault-remove", {"name": "none"}) == ("there is no rule 'none'; there is none", False)


def test_a_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "array.toml"
    path.write_text(
        """
        fault-seed = 7
        [[fault]]
        name = "expired"
        command = "WRITE USING TOKEN"
        first = 2
        sense = "TOKEN EXPIRED"
        [[fault]]
        pdu = "r2t"
        set = { desired_data_transfer_length = 0 }
        enabled = false
        """
    )
    config = load_config(path)
    assert config.fault_seed == 7
    assert [dict(rule).get("name") for rule in config.faults] == ["expired", None]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("fault = 1", "want tables"),
        ("[[fault]]\ncomand = 'read'\nstatus = 'busy'", "did you mean command"),
        ("[[fault]]\nname = 'a'\nstatus = 'busy'\n[[fault]]\nname = 'a'\nstatus = 'busy'", "named twice"),
        ("[[fault]]\nname = 1\nstatus = 'busy'", "name: want a text"),
        ("[[fault]]\nstatus = 'busy'\nenabled = 3", "enabled: want true or false"),
        ("fault-seed = -1", "want a number"),
    ],
)
def test_a_wrong_configuration_gets_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "array.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


async def test_results_are_json() -> None:
    async with running() as array:
        await do(array, "fault-add", rule={"pdu": "r2t", "set": {"lun": 1}, "nth": [1, 2]})
        (row,) = (await do(array, "faults"))["faults"]  # type: ignore[misc]
        assert row["rule"] == "pdu=r2t set=lun:1 nth=1,2"
        assert json.dumps(row)


def test_every_operation_has_a_command_with_its_arguments() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    operations = {operation.name: operation for operation in FAULT_OPERATIONS}
    assert {f"fault-{name}" for name in commands} - {"fault-list", "fault-words"} == set(operations) - {"faults"}
    for name, operation in operations.items():
        command = commands[name.removeprefix("fault-") if name != "faults" else "list"]
        given = {parameter.name for parameter in command.params} - {"help", "as_json", "pool"}
        assert len(given) == len(operation.arguments), name
