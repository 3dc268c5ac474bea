"""Faults of a served array, chosen on the command line and seen by libiscsi."""

import subprocess

import pytest

from tests.interop import forked
from tests.interop.conftest import Login, Start
from tests.interop.libiscsi import LibiscsiError
from tests.interop.serving import READY, READY_TIMEOUT_S, Served

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-faults")]

READ_10 = bytes.fromhex("28 00 00000000 00 0001 00")
TIMEOUT_S = 120


def fault(served: Served, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `odx-target fault` on the control socket that the server has printed."""
    (line,) = [line for line in served.printed if line.startswith("odx-target manage ")]
    pool = line.split()[2]
    return forked.run("fault", words[0], pool, *words[1:], timeout_s=TIMEOUT_S)


def test_the_command_line_of_a_served_array(start: Start, login: Login) -> None:
    served = start(("first=64M",))
    session = login(served, 0)
    session.ready(0)
    added = fault(served, "add", "--name", "busy", "command=read", "first=2", "status=task-set-full")
    assert (added.returncode, added.stdout) == (
        0,
        "busy: command=read first=2 status=task-set-full; enabled, 0 hits, 0 passed\n",
    )
    assert [session.execute(0, READ_10, data_in_bytes=512).status for _ in range(3)] == [0x28, 0x28, 0]
    listed = fault(served, "list")
    assert listed.stdout.splitlines()[2].split() == ["busy", "yes", "2", "1", "command=read", "first=2", "status=task-set-full"]
    assert fault(served, "disable", "busy").stdout.endswith("disabled, 2 hits, 1 passed\n")
    assert fault(served, "enable", "busy").returncode == 0
    wrong = fault(served, "add", "comand=read", "status=busy")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "odx-target: Invalid value: fault: there is no word 'comand'; did you mean command?\n",
    )
    assert fault(served, "clear").stdout == "removed 1 rules\n"
    assert "fault injected" in served.log


def test_an_array_that_restarts_in_the_middle_of_a_write_keeps_its_port_its_data_and_its_rules(
    start: Start, login: Login
) -> None:
    served = start(("first=64M",))
    session = login(served, 0)
    session.ready(0)
    write = bytes.fromhex("2a 00 00000000 00 0001 00")
    assert session.execute(0, write, b"a" * 512).status == 0
    assert fault(served, "add", "command=write", "nth=1", "restart").returncode == 0
    with pytest.raises(LibiscsiError):
        session.execute(0, write, b"b" * 512)
    session.abandon()
    while not (served.lines.get(timeout=READY_TIMEOUT_S) or "").startswith(READY):
        pass
    again = login(served, 0)
    again.ready(0)
    assert again.execute(0, READ_10, data_in_bytes=512).data_in in (b"a" * 512, b"b" * 512)
    assert again.execute(0, write, b"c" * 512).status == 0
    (row,) = fault(served, "list").stdout.splitlines()[2:]
    assert row.split()[2:4] == ["1", "1"]
    again.close()
    assert served.stop() == 0
