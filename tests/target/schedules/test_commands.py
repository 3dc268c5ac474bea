"""Commands before and after snapshots as processes: success, failure, time limits and cancellation."""

import os
import shlex
import sys
from pathlib import Path

import pytest
import trio

from odx_target.target.schedules.commands import MAX_SHOWN_CHARACTERS, ProcessCommands

LONG_S = 600
LIMIT_S = 20


def python(text: str) -> str:
    return shlex.join([sys.executable, "-c", text])


async def test_a_command_gets_its_arguments_and_variables(tmp_path: Path) -> None:
    text = "import os, sys; open(sys.argv[1], 'w').write(os.environ['ODX_SNAPSHOT'] + sys.argv[2])"
    command = shlex.join([sys.executable, "-c", text, str(tmp_path / "out"), "a b; $HOME"])
    assert await ProcessCommands().run(command, {"ODX_SNAPSHOT": "name "}, LONG_S) == ""
    assert (tmp_path / "out").read_text() == "name a b; $HOME", "no shell changes the arguments"


@pytest.mark.parametrize(
    ("command", "end"),
    [
        (python("raise SystemExit(3)"), ": exit code 3"),
        (python("import sys; sys.exit('first line\\nlast\\x1b line')"), ": exit code 1: last line"),
        (python(f"import sys; sys.exit('x' * {2 * MAX_SHOWN_CHARACTERS})"), ": exit code 1: " + "x" * MAX_SHOWN_CHARACTERS),
        (python("import os, signal; os.kill(os.getpid(), signal.SIGTERM)"), ": was ended by signal 15"),
        ("/nowhere/at/all", ": cannot be run: No such file or directory"),
        ("'unbalanced", ": cannot be run: No closing quotation"),
    ],
)
async def test_a_failure_is_one_line(command: str, end: str) -> None:
    problem = await ProcessCommands().run(command, {}, LONG_S)
    assert problem == command + end
    assert problem.isprintable()


async def test_a_command_that_is_empty_cannot_be_run() -> None:
    assert "cannot be run" in await ProcessCommands().run("''", {}, LONG_S)
    assert "cannot be run" in await ProcessCommands().run("   ", {}, LONG_S)


async def test_much_output_does_not_stop_a_command() -> None:
    text = "import sys; sys.stdout.write('x' * 10**6); sys.stderr.write('y' * 10**6)"
    assert await ProcessCommands().run(python(text), {}, LONG_S) == ""


def process_is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def wait_for(path: Path) -> str:
    while not path.exists() or not path.read_text():
        await trio.sleep(0.01)
    return path.read_text()


CHILD = "import os, subprocess, sys, time; c = subprocess.Popen(['sleep', '600']); "


async def test_a_command_that_takes_too_long_is_killed() -> None:
    problem = await ProcessCommands().run("sleep 600", {}, 0.05)
    assert problem == "sleep 600: did not end within 0.05 s"


async def test_a_cancelled_command_is_killed_with_its_children(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = python(CHILD + f"open({str(out)!r}, 'w').write(f'{{os.getpid()}} {{c.pid}}'); time.sleep(600)")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ProcessCommands().run, command, {}, LONG_S)
        pids = [int(word) for word in (await wait_for(out)).split()]
        nursery.cancel_scope.cancel()
    with trio.move_on_after(LIMIT_S):
        while any(map(process_is_there, pids)):
            await trio.sleep(0.01)
    assert not any(map(process_is_there, pids))


async def test_a_command_to_its_end_is_not_cancelled(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with trio.CancelScope() as scope:
        scope.cancel()
        await ProcessCommands().run_to_its_end(python(f"open({str(out)!r}, 'w').write('done')"), dict(os.environ), LONG_S)
    assert out.read_text() == "done"


async def test_a_child_in_the_background_does_not_hold_up_the_result() -> None:
    command = python("import subprocess; subprocess.Popen(['sleep', '5'])")
    with trio.fail_after(4):
        assert await ProcessCommands().run(command, {}, LONG_S) == ""
