"""The pytest plugin, in the tests of a small project of its own."""

import re
import sys
from pathlib import Path

import pytest
import trio

from tests.replay.recorded import assert_equal, replayed
from tests.testing.other_project import run_pytest, run_python


def test_each_test_gets_a_new_array(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        files={
            "test_it.py": """
import pytest

@pytest.mark.parametrize("number", range(2))
def test_it(odx_array, number):
    assert odx_array.read("a", 0, 1) == b"\\0"
    odx_array.fill("a", size=512)
"""
        },
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_array_of_the_session_is_shared_and_can_be_reset(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        files={
            "test_it.py": """
def test_one(odx_array_session):
    odx_array_session.fill("a", size=512)

def test_two(odx_array_session):
    assert odx_array_session.read("a", 0, 1) == b"\\xa5"
    odx_array_session.reset()
    assert odx_array_session.read("a", 0, 1) == b"\\0"
"""
        },
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_options_and_markers(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        files={
            "pyproject.toml": """
[tool.pytest.ini_options]
odx_luns = ["disk=1M,block=4096", "other=2M"]
odx_clock = "virtual"
odx_pool = "directory"
odx_config = "array.toml"
""",
            "array.toml": 'iqn = "iqn.2026-11.com.example:configured"\n',
            "test_it.py": """
import pytest

def test_options(odx_array, odx_array_session):
    for array in (odx_array, odx_array_session):
        assert (len(array.read("disk")), len(array.read("other"))) == (1 << 20, 2 << 20)
        assert array.clock.mode == "virtual"
        assert array.target == "iqn.2026-11.com.example:configured"

@pytest.mark.odx_array(luns={"mine": "3M"}, clock="shifted")
def test_marker(odx_array):
    assert len(odx_array.read("mine")) == 3 << 20
    assert odx_array.clock.mode == "shifted"
""",
        },
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert not list(tmp_path.glob("pool"))


def test_a_failure_shows_the_latest_commands(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        files={
            "test_it.py": """
def test_it(odx_array):
    host = odx_array.host()
    for lba in range(60):
        host.read("a", lba, 1)
    assert False
"""
        },
    )
    assert done.returncode == 1
    shown = done.stdout.partition("iSCSI commands (the latest 50 of ")[2]
    assert shown.count("READ(16) to LUN 0 by iqn.2026-11.io.odx-target:test-host: GOOD") == 50


WRONG_OPTIONS = {
    # option: part of the message
    'odx_luns = ["a=huge"]': "size 'huge'",
    'odx_luns = ["a"]': "LUN 'a='",
    'odx_clock = "real"': "clock 'real': want shifted or virtual",
    'odx_pool = "disk"': "odx_pool 'disk': want memory or directory",
    'odx_config = "missing.toml"': "missing.toml",
}

RUN_EACH = """
import pytest
for number in range({count}):
    print("begin", number, flush=True)
    options = ["-p", "odx_target.pytest_plugin", "-p", "no:cacheprovider", "-c", f"{{number}}/pyproject.toml"]
    print("end", int(pytest.main([*options, str(number)])), flush=True)
"""
"""Runs pytest in each folder. One process runs all of them, because it needs more time to start than for the tests."""


def test_each_wrong_option_is_reported_in_one_line(tmp_path: Path) -> None:
    for number, option in enumerate(WRONG_OPTIONS):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\n{option}\n")
        (folder / f"test_{number}.py").write_text("def test_it(odx_array):\n    pass\n")
    done = run_python(tmp_path, RUN_EACH.format(count=len(WRONG_OPTIONS)))
    outputs = done.stdout.split("begin ")[1:]
    assert len(outputs) == len(WRONG_OPTIONS), done.stdout + done.stderr
    for output, message in zip(outputs, WRONG_OPTIONS.values(), strict=True):
        assert "end 1\n" in output
        assert "odx_array: " in output
        assert message in output
        assert "Traceback" not in output


WRONG_MARKERS = {
    # arguments: part of the message
    '{"a": "1M"}': "give the arguments of the marker by their names, such as luns=",
    'lun={"a": "1M"}': "unexpected keyword argument 'lun'",
    'host="192.0.2.1"': "cannot listen there",
    'directory="/proc/pool"': "/proc/pool",
}


def test_each_wrong_marker_is_reported_in_one_line(tmp_path: Path) -> None:
    tests = [
        f"@pytest.mark.odx_array({arguments})\ndef test_{number}(odx_array):\n    pass\n"
        for number, arguments in enumerate(WRONG_MARKERS)
    ]
    done = run_pytest(tmp_path, files={"test_it.py": "import pytest\n\n" + "\n".join(tests)})
    assert done.returncode == 1
    assert f"{len(tests)} errors" in done.stdout, done.stdout
    for number, message in enumerate(WRONG_MARKERS.values()):
        shown = done.stdout.partition(f"ERROR at setup of test_{number} ")[2].partition("ERROR at setup of")[0]
        assert re.search(f"^E +odx_array: .*{re.escape(message)}|^odx_array: .*{re.escape(message)}", shown, re.MULTILINE), (
            done.stdout
        )
    assert "src/odx_target" not in done.stdout


def test_the_plugin_loads_no_array_into_other_projects(tmp_path: Path) -> None:
    program = (
        "import sys, odx_target.pytest_plugin; print(sorted(n for n in sys.modules if n.startswith(('odx_target', 'trio'))))"
    )
    done = run_python(tmp_path, program)
    assert done.stdout == "['odx_target', 'odx_target.pytest_plugin']\n", done.stderr


def test_workers_of_xdist_have_arrays_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    done = run_pytest(
        tmp_path,
        *("-p", "xdist.plugin", "-p", "xdist.looponfail", "-n", "2", "--dist", "load"),
        files={
            "test_it.py": """
import pytest

@pytest.mark.parametrize("number", range(6))
def test_it(odx_array_session, odx_array, number):
    assert odx_array_session.portal != odx_array.portal
    odx_array_session.host().read("a", number, 1)
"""
        },
    )
    assert "6 passed" in done.stdout, done.stdout + done.stderr


def test_the_entry_point_names_the_plugin() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"odx-target": "odx_target.pytest_plugin"}
    assert sys.modules.get("odx_target.pytest_plugin") or __import__("odx_target.pytest_plugin")


def test_the_recordings_of_failed_tests_are_kept(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        files={
            "pyproject.toml": '[tool.pytest.ini_options]\nodx_recordings = "recordings"\n',
            "test_it.py": """
import pytest

@pytest.mark.parametrize("name", ["pass", "fail/../it"])
def test_it(odx_array, name):
    odx_array.host().write("a", 0, bytes(512))
    assert name == "pass"

def test_session(odx_array_session):
    assert False
""",
        },
    )
    assert "2 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    (kept,) = (tmp_path / "recordings").iterdir()
    assert kept.name == "test_it.py-test_it-fail-..-it.odxrec"
    assert f"`odx-target replay {kept}` repeats it" in done.stdout
    assert_equal(trio.run(replayed, kept))
