"""`odx-target manage` with a server process: its output, exit codes, and the life of the control socket."""

import json
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from odx_target.cli.managing.manage import app
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import BlockRange, populate_token_list, write_using_token_list
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.url import Portal
from odx_target.target.control.faults import FAULT_OPERATIONS
from odx_target.target.control.groups.operations import GROUP_OPERATIONS
from odx_target.target.control.imports import IMPORT_OPERATIONS
from odx_target.target.control.operations import OPERATIONS
from odx_target.target.control.paths import PATH_OPERATIONS
from odx_target.target.control.port_groups import PORT_GROUP_OPERATIONS
from odx_target.target.control.refusals import REFUSAL_OPERATIONS
from odx_target.target.control.replication.copies import COPY_OPERATIONS
from odx_target.target.control.replication.protections import PROTECTION_OPERATIONS
from tests.cli.conftest import Run
from tests.interop.serving import IQN, Served, serve
from tests.target.running import OPTIONS, is_good, settled

FAILURE = 1
USAGE = 2
ZERO_TOKEN = bytes.fromhex("ffff0001 0000 01f8") + bytes(504)
OF_OTHERS = {
    *("scrub", "scrub-progress", "stop-scrub"),
    *(
        each.name
        for each in (*FAULT_OPERATIONS, *IMPORT_OPERATIONS, *PATH_OPERATIONS, *PORT_GROUP_OPERATIONS, *REFUSAL_OPERATIONS)
    ),
    *(each.name for each in (*PROTECTION_OPERATIONS, *COPY_OPERATIONS, *GROUP_OPERATIONS)),
}
"""Operations of `odx-target pool`, `fault`, `group`, `import`, `path`, `protect`, `remote`, `port-group` and `offload`."""

LUNS = ("first=1M", "second=8K,block=4096")


@pytest.fixture(scope="module")
def served(module_path: Path) -> Iterator[tuple[Served, Path]]:
    served = serve(module_path / "pool", LUNS, log_path=module_path / "log")
    yield served, module_path / "pool"
    served.kill()


@pytest.fixture
def manage(run: Run) -> Run:
    """Return a function that runs `odx-target manage`, as `run` does."""
    return partial(run, "manage")


def rows_of(table: str) -> list[list[str]]:
    """Return the cells of the rows below the headings, separated at blanks."""
    return [line.split() for line in table.splitlines()[2:] if line.strip()]


def test_every_operation_has_a_command_with_its_arguments() -> None:
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    assert set(commands) == set(OPERATIONS) - OF_OTHERS
    for name, operation in OPERATIONS.items():
        if name in OF_OTHERS:
            continue
        given = {parameter.name for parameter in commands[name].params} - {"help", "as_json"}
        assert len(given) == len([argument for argument in operation.arguments if argument.name != "after"]), name


def test_luns_are_shown_added_and_resized(served: tuple[Served, Path], manage: Run) -> None:
    _, pool = served
    assert rows_of(manage(pool, "luns")[1])[0] == ["0", "first", "1.0", "MiB", "1048576", "512"]
    assert manage(pool, "add-lun", "third=2M")[:2] == (0, "LUN 2: third, 2097152 bytes in blocks of 512\n")
    assert manage(pool, "resize", "third", "3M")[:2] == (0, "LUN 2: third, 3145728 bytes in blocks of 512\n")
    code, _, said = manage(pool, "resize", "third", "512")
    assert (code, said.count("\n")) == (FAILURE, 1)
    assert "--shrink" in said
    assert manage(pool, "resize", "third", "512", "--shrink")[:2] == (0, "LUN 2: third, 512 bytes in blocks of 512\n")
    code, out, _ = manage(pool, "luns", "--json")
    assert code == 0
    third = {"lun": 2, "name": "third", "size_bytes": 512, "block_bytes": 512}
    assert json.loads(out)["luns"][2].items() >= third.items()


def host(served: Served) -> AbstractAsyncContextManager[InitiatorSession]:
    name, port = served.portal.rsplit(":", 1)
    return open_session(Portal(name, int(port)), IQN, OPTIONS)


async def test_tokens_copies_and_sessions_of_a_host(served: tuple[Served, Path], manage: Run) -> None:
    server, pool = served
    async with host(server) as session:
        await settled(session)
        ranges = populate_token_list([BlockRange(2 * number, 1) for number in range(6)])
        assert is_good(await session.execute(0, cdb.populate_token(1, len(ranges)), ranges))
        assert manage(pool, "copy-rate", "128K")[:2] == (0, "copy rate: 128 KiB/s\n")
        parameters = write_using_token_list(ZERO_TOKEN, [BlockRange(0, 2048)], immediate=True)
        assert is_good(await session.execute(0, cdb.write_using_token(2, len(parameters)), parameters))

        code, out, _ = manage(pool, "copies")
        assert code == 0
        assert "write using token" in out
        assert out.splitlines()[-1] == "copy rate: 128 KiB/s"
        (copy,) = json.loads(manage(pool, "copies", "--json")[1])["copies"]
        assert copy["requested_blocks"] == 2048
        assert manage(pool, "copy-rate", "none")[1] == "copy rate: none\n"

        (row,) = rows_of(manage(pool, "sessions")[1])
        assert row[0] == OPTIONS.initiator_name
        assert row[-2:] == ["normal", "0"]

        code, out, _ = manage(pool, "tokens")
        assert "point in time default" in out
        assert "0,1 2,1 4,1 6,1 and 2 more" in out
        (token,) = json.loads(manage(pool, "tokens", "--json")[1])["tokens"]
        assert token["identifier"] in out
        assert token["ranges"] == [[2 * number, 1] for number in range(6)]
        assert manage(pool, "revoke", token["identifier"])[:2] == (0, f"revoked {token['identifier']}\n")
        assert manage(pool, "revoke", token["identifier"])[0] == FAILURE
        assert rows_of(manage(pool, "tokens")[1]) == []


def test_an_operator_makes_the_array_step_aside(served: tuple[Served, Path], manage: Run) -> None:
    _, pool = served
    code, out, _ = manage(pool, "step-aside", "24h")
    assert (code, out) == (0, "new copies: refused for 86400 more seconds (the operator); 0 were refused so far\n")
    answer = json.loads(manage(pool, "step-aside", "10m", "--json")[1])
    assert answer == {"schema": "stepping-aside/1", "remaining_s": 600.0, "cause": "the operator", "refused": 0}
    assert manage(pool, "step-aside", "off")[:2] == (0, "new copies: allowed\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["resize", "nobody", "1M"], FAILURE, "no LUN nobody"),
        (["resize", "first", "1X"], USAGE, "size '1X'"),
        (["resize", "first"], USAGE, "SIZE"),
        (["resize", "first", "1000"], FAILURE, "whole number"),
        (["add-lun", "first=1M"], FAILURE, "a volume 'first' already"),
        (["add-lun", "first"], USAGE, "NAME=SIZE"),
        (["revoke", "0"], FAILURE, "no token"),
        (["revoke", "nonsense"], USAGE, "hexadecimal"),
        (["copy-rate", "1"], USAGE, "128K"),
        (["step-aside", "25h"], USAGE, "longer than a day"),
        (["step-aside", "soon"], USAGE, "duration"),
        (["step-aside", "0"], USAGE, "duration"),
        (["format"], USAGE, "format"),
        (["luns", "--jsn"], USAGE, "--jsn"),
    ],
)
def test_an_error_is_one_clear_line_and_an_exit_code(
    served: tuple[Served, Path], manage: Run, arguments: list[str], code: int, words: str
) -> None:
    ended, _, said = manage(served[1], *arguments)
    assert ended == code
    assert words in said
    assert said.startswith("odx-target: ")
    assert said.count("\n") == 1


def test_without_a_server_it_says_so(tmp_path: Path, manage: Run) -> None:
    for where in (tmp_path, tmp_path / "absent"):
        code, _, said = manage(where, "luns")
        assert (code, said.count("\n")) == (FAILURE, 1)
        assert "no server" in said or "no pool" in said


def test_the_socket_goes_with_the_server_and_is_replaced_after_its_death(tmp_path: Path, manage: Run) -> None:
    pool = tmp_path / "pool"
    served = serve(pool, ("a=1M",), log_path=tmp_path / "log")
    try:
        assert manage(pool, "luns")[0] == 0
        served.kill()
        assert (pool / "control").exists()
        code, _, said = manage(pool, "luns")
        assert (code, "no server answers" in said) == (FAILURE, True)
        served = serve(pool, log_path=tmp_path / "log")
        assert manage(pool, "luns")[0] == 0
        assert served.stop() == 0
        assert not (pool / "control").exists()
    finally:
        served.kill()


def test_the_socket_may_be_elsewhere_and_a_server_goes_on_without(tmp_path: Path, manage: Run) -> None:
    elsewhere = tmp_path / "elsewhere"
    served = serve(None, ("a=1M",), log_path=tmp_path / "log", options=("--control", str(elsewhere)))
    try:
        assert manage(elsewhere, "luns")[0] == 0
        options = ("--control", str(tmp_path / "absent" / "control"))
        other = serve(tmp_path / "pool", ("a=1M",), log_path=tmp_path / "other", options=options)
        try:
            assert manage(tmp_path / "pool", "luns")[0] == FAILURE
        finally:
            assert other.stop() == 0
        assert other.log.count("no control socket") == 1
    finally:
        served.kill()


def test_a_temporary_pool_has_one_too(tmp_path: Path, manage: Run) -> None:
    served = serve(None, ("a=1M",), log_path=tmp_path / "log")
    try:
        (line,) = [line for line in served.printed if "odx-target manage" in line]
        assert manage(line.split()[2], "luns")[0] == 0
    finally:
        served.kill()
