"""The build of the native module, which leaves the module out if it cannot be built."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from crc32c import crc32c

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "hatch_build.py"


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The build hook, with a copy of the sources."""
    spec = importlib.util.spec_from_file_location("hatch_build", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    copy = tmp_path / "native"
    shutil.copytree(module.SOURCES, copy, ignore=shutil.ignore_patterns("*.so"))
    monkeypatch.setattr(module, "SOURCES", copy)
    return module


def _no_compiler(monkeypatch: pytest.MonkeyPatch, _: ModuleType) -> None:
    other = sysconfig.get_config_var
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: "/nowhere/cc -x" if name == "CC" else other(name))


def _no_headers(monkeypatch: pytest.MonkeyPatch, hook: ModuleType) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(hook.SOURCES / "include"))


def _other_processor(monkeypatch: pytest.MonkeyPatch, hook: ModuleType) -> None:
    monkeypatch.setattr(hook.platform, "machine", lambda: "pdp11")


def _wrong_source(_: pytest.MonkeyPatch, hook: ModuleType) -> None:
    for source in hook.SOURCES.rglob("*.c"):  # the compiler would translate them before it reports the wrong one
        source.unlink()
    (hook.SOURCES / "wrong.c").write_text("int wrong = ;")


OBSTACLES = {
    "/nowhere/cc": _no_compiler,
    "Python.h": _no_headers,
    "pdp11": _other_processor,
    "wrong.c": _wrong_source,
}


@pytest.mark.parametrize(("word", "arrange"), OBSTACLES.items(), ids=OBSTACLES)
def test_an_obstacle_is_named_and_leaves_no_module(
    monkeypatch: pytest.MonkeyPatch,
    hook: ModuleType,
    word: str,
    arrange: Callable[[pytest.MonkeyPatch, ModuleType], None],
) -> None:
    arrange(monkeypatch, hook)
    hook.library().touch()  # of an earlier build
    assert word in hook.build()
    assert not list(hook.SOURCES.glob("compiled.cpython*"))


@pytest.mark.skipif(
    shutil.which("gcc") is None or not Path(sysconfig.get_path("include"), "Python.h").is_file(), reason="no compiler"
)
def test_a_built_module_can_be_imported(hook: ModuleType) -> None:
    assert hook.build(("-Werror",)) is None
    program = "import compiled; print(*compiled.block_checksums(bytes(4096)))"
    ended = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(hook.SOURCES)}, capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) == crc32c(bytes(4096))


def test_python_runs_without_the_module() -> None:
    program = "from odx_target.native.choice import NATIVE; print(NATIVE)"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"ODX_NATIVE": "0", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        check=True,
    )
    assert ended.stdout == b"None\n"


def test_python_runs_with_an_older_module_that_lacks_a_part() -> None:
    program = (
        "import sys, types\n"
        "older = sys.modules['odx_target.native.compiled'] = types.ModuleType('odx_target.native.compiled')\n"
        "older.BlockReader = older.execute_usual = object\n"
        "from odx_target.native.choice import NATIVE\n"
        "print(NATIVE)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "None\n"


@pytest.fixture(scope="module")
def built(module_path: Path) -> Path:
    """The package with a module that was built without optimisation."""
    if shutil.which("gcc") is None or not Path(sysconfig.get_path("include"), "Python.h").is_file():
        pytest.skip("no compiler")
    built = module_path / "src" / "odx_target"
    shutil.copytree(ROOT / "src" / "odx_target", built, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copy(BUILD, module_path)
    subprocess.run([sys.executable, module_path / BUILD.name, "-O0"], check=True, capture_output=True)
    return built


@pytest.mark.parametrize(("change_s", "expected"), [(-60.0, "False"), (60.0, "True")])
def test_a_module_that_is_older_than_its_sources_is_not_used(built: Path, change_s: float, expected: str) -> None:
    (module,) = (built / "native").glob("*.so")
    changed_s = module.stat().st_mtime + change_s
    for source in (built / "native").glob("*.c"):
        os.utime(source, (changed_s, changed_s))
    program = "from odx_target.native.choice import NATIVE; print(NATIVE is None)"
    ended = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(built.parent)}, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == expected
