"""Each personality shows its limit on the wire, and a host of this project notices it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from odx_target.cli.hosts.esxi import copy as esxi
from odx_target.cli.hosts.windows import copy as windows
from odx_target.initiator import cdb
from odx_target.target.personality.reading import known_personalities
from odx_target.testing import RunningArray, running_array
from tests.target.personality.noticed import NOTICED
from tests.target.personality.wire import Wire

LUNS = {"a": "64M", "b": "64M"}

app = typer.Typer(pretty_exceptions_enable=False)
for module in (esxi, windows):
    module.register(app)

OURS = """
[commands]
missing = ["READ(16)", "WRITE(16)"]

[zero-fields]
WRITE = ["FUA"]

[sense]
"INVALID COMMAND OPERATION CODE" = "4/44/00"
"""

Start = Callable[[str | None], RunningArray]


def typed(words: Sequence[str]) -> str:
    """Run a command of `odx-target` in this process, and return its output."""
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, words).output


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Return a function that returns the array with a personality. Each array is started once."""
    arrays: dict[str | None, RunningArray] = {}

    def started(personality: str | None) -> RunningArray:
        if personality not in arrays:
            arrays[personality] = running_array(LUNS, personality=personality).start()
        return arrays[personality]

    yield started
    for array in arrays.values():
        array.stop()


def test_every_personality_is_in_the_table() -> None:
    assert list(NOTICED) == known_personalities()


@pytest.mark.parametrize("name", NOTICED)
def test_a_personality_shows_its_limit_on_the_wire(name: str, start: Start) -> None:
    array = start(name)
    with array.host() as host:
        host.execute("a", bytes(6))  # the unit attention of a new session
        NOTICED[name].on_the_wire(Wire(array, host))


@pytest.mark.parametrize("name", NOTICED)
def test_a_host_notices_a_personality(name: str, start: Start) -> None:
    array, row = start(name), NOTICED[name]
    places = {"A": array.url("a"), "B": array.url("b")}
    if "USUAL" in row.command:
        places["USUAL"] = start(None).url("a")
    words = [places.get(word, word) for word in row.command.split()]
    output = typed(words)
    assert row.line in output, output


@pytest.mark.parametrize("command", sorted({row.command for row in NOTICED.values()}))
def test_no_host_notices_the_usual_array(command: str, start: Start) -> None:
    array = start(None)
    places = {"A": array.url("a"), "B": array.url("b"), "USUAL": array.url("b")}
    words = [places.get(word, word) for word in command.split()]
    output = typed(words)
    assert "\nequal\n" in output
    for row in NOTICED.values():
        assert row.command != command or row.line not in output, row.line


def test_a_file_of_a_tester_takes_away_commands_and_bits_of_reads_and_writes(tmp_path: Path) -> None:
    """The short lane executes usual reads and writes without the command table, so it must not be used."""
    (tmp_path / "ours.toml").write_text(OURS)
    with running_array(LUNS, personality=tmp_path / "ours.toml") as array:
        with array.host() as host:
            host.execute("a", bytes(6))
            wire, block = Wire(array, host), bytes(512)
            assert wire.ends(cdb.read_16(0, 1), data_in_bytes=512) == "4/44/00"
            assert wire.reads(cdb.shortest_read(0, 1), 512) == block
            assert wire.ends(cdb.write_16(0, 1), block) == "4/44/00"
            assert wire.ends(cdb.shortest_write(0, 1), block) == "GOOD"
            assert wire.ends(cdb.shortest_write(0, 1, force_unit_access=True), block) == "5/24/00"
        output = typed(["windows-copy", array.url("a"), array.url("b"), "--file-size", "512K"])
        assert "a write with FUA is refused: it is repeated without FUA" in output
        assert "524288 bytes by token" in output
