"""The real output of every command with --json matches its schema, field by field."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import trio
from typer.main import get_command

from odx_target.cli import main as cli
from odx_target.cli.app import application
from odx_target.cli.schemas.making import schema_of_result
from odx_target.cli.schemas.table import RESULTS, result_of, schema_name
from odx_target.replica.edge.certificates import make_certificate
from odx_target.replica.paths.path_record import PREFIX, encode_path
from odx_target.replica.paths.settings import PathSettings
from odx_target.store.open import open_directory_pool
from odx_target.target.trio_environment import TrioEnvironment
from odx_target.testing import running_array
from tests.cli.schemas.document import DOCUMENT, document
from tests.cli.schemas.validation import faults_of
from tests.cli.test_strange_input import LEAVES
from tests.interop.serving import Served, serve

OPTIONS = ("--record-commands", "--clock", "shifted", "--config", "array.toml", "--link-port", "127.0.0.1:0")
SENSE = "70 00 05 00 00 00 00 0a 00 00 00 00 23 07 00 00 00 00"
PAGE = "00 80 00 04 41 42 43 44"
NOP = "40 80" + " 00" * 46

ON_ARRAY = """
copy A B
copy A B --method host
windows-copy A B --file-size 1M --fill
esxi-copy A B --disk-size 1M --fill
ready A
token populate A --range 0,8 --token-file a.token
token info --token-file a.token
token write B --range 0,8 --token-file a.token
token receive A
token status B
token list A
token abort A
token run A steps
conformance A --only iscsi.login --json results.json
status POOL
status POOL --space
explain POOL
offload stats POOL
manage POOL luns
manage POOL add-lun c=8K
manage POOL resize c 16K
manage POOL health
manage POOL tokens
manage POOL revoke TOKEN
manage POOL copy-rate 128K
token run B background
manage POOL copies
manage POOL cancel 7
manage POOL copy-rate none
manage POOL sessions
manage POOL step-aside 10m
manage POOL step-aside off
manage POOL clock
manage POOL advance-clock 1
manage POOL commands
manage POOL offload
manage POOL clear-commands
fault add POOL command=read first=1 status=busy --name one
fault list POOL
fault disable POOL one
fault enable POOL one
fault release POOL one
fault remove POOL one
fault clear POOL
fault words
fault words sense
personality list
personality show lio
volume list POOL
volume create POOL d=8K
volume rename POOL d e
volume resize POOL e 16K
volume set POOL e compression=lz4
volume read-only POOL e on
lun add POOL e
lun list POOL
lun renumber POOL e 300
lun remove POOL e
volume delete POOL e
port-group list POOL
port-group prefer POOL 1
port-group set POOL 1 active-non-optimized
port-group set POOL 1 active-optimized
path key
path add POOL berlin 127.0.0.1:1 --key-file path.key
path list POOL
path throttle POOL rome 20M
path compress POOL rome wan
path rights POOL rome --none
path remove POOL berlin
import start POOL A moved --rate 64K
import list POOL
import rate POOL moved 128K
import verify POOL moved
import cancel POOL moved
path rekey POOL rome --key-file path.key
snapshot create POOL a@one b@one
snapshot list POOL
snapshot show POOL a@one
snapshot hold POOL a@one me
snapshot unhold POOL a@one me
snapshot rename POOL a@one two
snapshot diff POOL a@two
snapshot diff POOL a@two --allocated
snapshot restore POOL a@two
snapshot delete POOL a@two
clone POOL b f --count 2
schedule add POOL hourly --every hourly --volume a
schedule add POOL weekly --every weekly --keep-for 7d --default
schedule list POOL
schedule change POOL hourly --keep 2
schedule run POOL hourly
schedule list POOL
schedule show POOL hourly
schedule assign POOL a --default
schedule remove POOL hourly
pool scrub POOL
"""
"""Command lines in their order, while an array serves the pool. A and B are LUNs, TOKEN is an identifier of a token."""

WITHOUT_ARRAY = """
status POOL
volume list POOL
pool scrub POOL
pool check POOL
pool repair POOL --yes
pool renew-identity POOL
check-config array.toml
replay session.odxrec
demo --size 1M
"""


def run(command: str) -> tuple[str, list[dict[str, Any]]]:
    """Run a command line with --json. Return its name without arguments, and the results on standard output."""
    words = command.split()
    output = io.StringIO()
    argv = sys.argv
    sys.argv = ["odx-target", *words, *([] if "--json" in words else ["--json"])]
    try:
        with redirect_stdout(output), pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = argv
    if "--json" in words:
        text = Path(words[-1]).read_text()
    else:
        text = output.getvalue()
        text = text[text.find("{") :] if "{" in text else ""
    assert not ended.value.code or command.startswith("token"), (command, text)
    return name_of(words), list(documents(text))


def name_of(words: list[str]) -> str:
    """Return the name of a command: the words that are no arguments."""
    return next(name for name in LEAVES if name.split() == [word for word in words if word != "POOL"][: len(name.split())])


def documents(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        found, end = decoder.raw_decode(text)
        text = text[end:]
        yield found


@pytest.fixture(scope="module")
def results(module_path: Path) -> Iterator[list[tuple[str, list[dict[str, Any]]]]]:
    """The results of all command lines with the names of their commands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(module_path)
        patch.setattr("odx_target.cli.pools.pool.POLL_S", 0.01)
        Path("array.toml").write_text('pool = "POOL"\nasymmetric-access = "implicit"\n')
        with running_array(luns={"a": "1M"}, record_to="session.odxrec") as array:
            array.host().write("a", 0, bytes(512))
        trio.run(remember_path, Path("POOL"))
        served = serve(Path("POOL"), ("a=8M", "b=8M"), log_path=module_path / "log", options=OPTIONS)
        Path("steps").write_text("populate --range 0,8\nwrite --range 8,8\n")
        Path("path.key").write_text("K" * 26)
        Path("background").write_text(
            "write --zero --range 0,8 --list-identifier 6\nwrite --zero --immed --range 0,16384 --list-identifier 7\n"
        )
        try:
            found = [run(with_urls(line, served)) for line in ON_ARRAY.strip().splitlines()]
        finally:
            served.kill()
        yield found + [run(line) for line in WITHOUT_ARRAY.strip().splitlines()]


async def remember_path(folder: Path) -> None:
    """Make a pool that has a path, as a pairing would leave it."""
    async with trio.open_nursery() as nursery:
        pool = await open_directory_pool(folder, TrioEnvironment(nursery))
        certificate = make_certificate().certificate
        settings = PathSettings("rome", None, b"p" * 16, b"m" * 16, certificate, b"s" * 32)
        pool.remember(PREFIX + "rome", encode_path(settings, pool.identity))
        await pool.close()


def with_urls(line: str, served: Served) -> str:
    words = {"A": served.url(0), "B": served.url(1)}
    if "TOKEN" in line.split():
        words["TOKEN"] = run("manage POOL tokens")[1][0]["tokens"][0]["identifier"]
    return " ".join(words.get(word, word) for word in line.split())


def test_every_result_matches_its_schema(results: list[tuple[str, list[dict[str, Any]]]]) -> None:
    schemas = {name: schema_of_result(name) for name in RESULTS}
    for command, documents in results:
        name = result_of(command)
        assert name is not None, command
        for each in documents:
            assert faults_of(each, schemas[name]) == [], command
            assert next(iter(each)) == "schema", command


def shown_by_groups() -> set[str]:
    """Return the commands of groups, whose results `tests/cli/test_group_command.py` checks."""
    return {each for result in RESULTS.values() for each in result.commands if each.startswith("group ")}


def test_every_command_with_a_schema_was_run(results: list[tuple[str, list[dict[str, Any]]]]) -> None:
    shown = {command for command, documents in results if documents}
    decoded = {"decode cdb", "decode sense", "decode vpd", "decode token", "decode pdu"}
    replication = {"protect", "replicate", "remote list", "remote clone", "remote graph", "promote", "reverse"}
    by_other_tests = {"serve", "explain", "import accept", "witness", *replication, *shown_by_groups()}
    assert {each for result in RESULTS.values() for each in result.commands} == shown | decoded | by_other_tests
    assert all(RESULTS[result_of(command) or ""].is_line or len(documents) == 1 for command, documents in results)


@pytest.mark.parametrize(
    "words",
    [("cdb", "83 10" + " 00" * 14), ("sense", SENSE), ("vpd", PAGE), ("token", "00 01 00 00 00 00 01 f8"), ("pdu", NOP)],
)
def test_decoded_bytes_match_their_schema(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["odx-target", "decode", *words, "--json"])
        with pytest.raises(SystemExit):
            cli.main()
    found = json.loads(capsys.readouterr().out)
    assert faults_of(found, schema_of_result("decoded")) == []
    assert found["fields"]


def test_every_command_with_the_option_has_a_schema() -> None:
    with_option = {
        name for name, command in LEAVES.items() for parameter in command.params if "--json" in getattr(parameter, "opts", ())
    }
    assert with_option == {command for result in RESULTS.values() for command in result.commands}


def test_schema_prints_schemas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def typed(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["odx-target", "schema", *words])
        with pytest.raises(SystemExit):
            cli.main()
        return "".join(capsys.readouterr())

    for name, result in RESULTS.items():
        assert json.loads(typed(name))["title"] == schema_name(name)
        assert json.loads(typed(*result.commands[0].split()))["title"] == schema_name(name)
    assert "volume/1" in typed()
    assert "no schema has the name 'nothing'" in typed("nothing")


def test_the_page_is_made_from_the_schemas() -> None:
    assert DOCUMENT.read_text() == document(), "python -m tests.cli.schemas.document writes it"


def test_every_command_is_in_the_application() -> None:
    assert set(LEAVES) == {name for name, _ in _leaves(get_command(application()))}
    assert all(command in LEAVES for result in RESULTS.values() for command in result.commands)


def _leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for word, inner in command.commands.items():
        yield from _leaves(inner, f"{name} {word}".strip())
