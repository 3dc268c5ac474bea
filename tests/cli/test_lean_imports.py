"""`serve` loads no library before it needs the library, and loads the others when the array runs."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from odx_target.cli.serving import later_imports
from odx_target.cli.serving.later_imports import DELAY_S, MODULES, load_later
from odx_target.native.choice import NATIVE

UNUSED = {
    *{"asyncio", "construct", "cryptography", "importlib.metadata", "numpy", "rich", "ssl", "tomllib", "typer", "uuid"},
    *{"odx_target.target.control.operations", "odx_target.initiator.session.session", "odx_target.scsi.additional_sense"},
}
"""Modules that a start without options does not load."""


def python(program: str, *words: str) -> str:
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_usual_start_loads_only_what_it_needs(tmp_path: Path) -> None:
    """The pool is damaged, so that the command ends at once."""
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "pool.json").write_text("{")
    program = "import sys; from odx_target.cli.program import run; run(); print(*sys.modules)"
    modules = set(python(program, "serve", str(pool), "--portal", "127.0.0.1:0").split())
    assert "odx_target.target.array" in modules
    # Without the native module, the library crc32c is loaded, which looks up its own version.
    assert not (UNUSED if NATIVE is not None else UNUSED - {"importlib.metadata"}) & modules


def test_operators_load_no_session_of_an_initiator() -> None:
    """An array loads the operations of operators soon after its start. Only an import needs the initiator."""
    program = "import sys, odx_target.target.control.operations; print(*sys.modules)"
    assert not {"odx_target.initiator.session.session", "odx_target.initiator.disk"} & set(python(program).split())


DEFERRED = """
import sys
from odx_target.cli.serving.lean_libraries import load_libraries
load_libraries()
import structlog, trio
print(*({"asyncio", "ssl", "idna", "rich"} & set(sys.modules)), "|")
import trio._ssl
trio._ssl._stdlib_ssl.SSLError
import ssl, rich.console
print(trio._ssl._stdlib_ssl.SSLContext is ssl.SSLContext, sys.modules["ssl"] is ssl, "idna" in sys.modules)

async def refuse() -> None:
    try:
        await trio.socket.getaddrinfo("e\u0301.invalid", 1)
    except OSError:
        print("refused", "idna" in sys.modules)

trio.run(refuse)
"""


def test_libraries_load_what_they_use() -> None:
    assert python(DEFERRED).splitlines() == ["|", "True True False", "refused True"]


def test_what_is_loaded_stays() -> None:
    program = (
        "import sys, asyncio, ssl, rich.console; before = dict(sys.modules)\n"
        "from odx_target.cli.serving.lean_libraries import load_libraries; load_libraries()\n"
        "print(all(sys.modules[name] is module for name, module in before.items()))"
    )
    assert python(program) == "True\n"


async def test_the_other_libraries_are_loaded_later(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    loaded: list[tuple[str, float]] = []
    began_s = trio.current_time()
    monkeypatch.setattr(later_imports, "import_module", lambda name: loaded.append((name, autojump_clock.current_time())))
    await load_later()
    assert [name for name, _ in loaded] == list(MODULES)
    assert loaded[0][1] - began_s >= DELAY_S


async def test_a_stop_ends_the_imports(monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock) -> None:
    loaded: list[str] = []
    with trio.CancelScope() as scope:

        def import_first(name: str) -> None:
            loaded.append(name)
            trio.from_thread.run_sync(scope.cancel)

        monkeypatch.setattr(later_imports, "import_module", import_first)
        await load_later()
    assert loaded == [MODULES[0]]


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "too many open files"), ImportError("no module"), MemoryError()])
async def test_an_import_that_fails_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock, error: Exception
) -> None:
    def fail(_name: str) -> None:
        raise error

    monkeypatch.setattr(later_imports, "import_module", fail)
    with capture_logs() as lines:
        await load_later()
    assert [line["log_level"] for line in lines] == ["warning"]
