"""The event loop of a whole array, with pool, trace, capture and control socket on disk, makes no call that may wait."""

import sqlite3
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import trio

from odx_target.cli.serving.later_imports import MODULES
from odx_target.cli.serving.reload import Reloader
from odx_target.cli.serving.serve import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import BlockRange, populate_token_list, write_using_token_list
from odx_target.initiator.session.session import InitiatorSession
from odx_target.store.pool import LogPool
from odx_target.store.segments import file_system
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.control.client import request
from odx_target.target.control.operations import perform
from odx_target.target.control.server import serve_control
from odx_target.target.control.socket_file import CONTROL_NAME
from odx_target.target.trace.trace_files import opened_tracing
from tests.target.loop_guard import CheckedConnection, LoopGuard, guarded
from tests.target.running import OPTIONS, is_good, session_with, settled

MIB = 1 << 20
WRITE_SAME = b"\x93\0" + (1).to_bytes(8, "big") + (300).to_bytes(4, "big") + b"\0\0"
LUNS = (LunConfig("first", 64 * MIB), LunConfig("second", 64 * MIB, 4096))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with a limit that makes segments of 1 MiB, and no thresholds that hosts would be notified of."""
    return Config(
        pool_dir=tmp_path / "pool", luns=LUNS, portals=(Portal(port=0),), pool_limit_bytes=40 * MIB, soft_thresholds=()
    )


@pytest.fixture(scope="module", autouse=True)
def _a_second_after_the_start() -> None:
    """Load the modules that a served array loads in a thread soon after its start."""
    for name in MODULES:
        import_module(name)


@pytest.fixture(autouse=True)
def _on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the pool as on a disk, even if the tests run in a file system in memory, which would hide calls that wait."""
    monkeypatch.setattr(file_system, "_IN_MEMORY", frozenset())


async def write_much(session: InitiatorSession) -> None:
    """Write many segments, some of them with one command."""
    for at in range(8):
        assert is_good(await session.execute(0, cdb.write_16(at * 4096, 4096), bytes([at + 1]) * (2 * MIB)))
    for at in range(64):
        assert is_good(await session.execute(0, cdb.write_16(at * 64 + 1, 3), b"edge" * 384))
    assert is_good(await session.execute(0, cdb.synchronize_cache_10()))
    assert is_good(await session.execute(0, cdb.write_16(0, 8), b"\0" * 4096))


async def read_and_copy(session: InitiatorSession) -> None:
    for at in range(0, 32768, 1024):
        assert is_good(await session.execute(0, cdb.read_16(at, 1024), data_in_bytes=512 * 1024))
    for number, (lba, count) in enumerate([(8, 512), (9, 500)], start=1):
        populate = populate_token_list([BlockRange(lba, count)])
        assert is_good(await session.execute(0, cdb.populate_token(number, len(populate)), [populate]))
        answer = await session.execute(0, cdb.receive_rod_token_information(number, 1024), data_in_bytes=1024)
        write = write_using_token_list(bytes(answer.data_in[38:550]), [BlockRange(16, count // 8)])
        assert is_good(await session.execute(1, cdb.write_using_token(10 + number, len(write)), [write]))
    unmap = b"\0\x16\0\x10\0\0\0\0" + (3).to_bytes(8, "big") + (5000).to_bytes(4, "big") + bytes(4)
    assert is_good(await session.execute(0, bytes.fromhex("42 00 00 00 00 00 00 00 18 00"), unmap))
    assert is_good(await session.execute(0, WRITE_SAME, b"same" * 128))
    page = bytes.fromhex("4d 00 4c 00 00 00 00 10 00 00")
    await session.execute(0, page, data_in_bytes=4096)


async def manage(path: Path, name: str) -> None:
    """Perform operations through the socket, by a client in a thread."""
    for operation, arguments in [
        ("health", {}),
        ("tokens", {}),
        ("add-lun", {"lun": f"{name}=1M"}),
        ("resize", {"name": name, "size": "2M"}),
        ("resize", {"name": name, "size": "1M", "shrink": True}),
        ("sessions", {}),
    ]:
        await trio.to_thread.run_sync(request, path, operation, arguments)


async def live(guard: LoopGuard, config: Config, folder: Path) -> None:
    """Use all functions of an array, from its start to its end."""
    assert config.pool_dir is not None
    control = config.pool_dir / CONTROL_NAME
    (folder / "settings.toml").write_text('portal = "127.0.0.1:0"\n[[lun]]\nname = "second"\nsize = "65M"\nblock = 4096\n')
    with opened_tracing(folder / "trace.txt", folder / "trace.pcapng") as tracing:
        assert tracing is not None
        array = Array(config, open_pool=open_pool, tap=tracing)
        async with array:
            guard.is_on = True
            pool = array.pool
            assert isinstance(pool, LogPool)
            pool.log.checkpoint_due_blocks = 1000

            async def perform_operation(name: str, given: object) -> object:
                return await perform(array, name, given)  # type: ignore[arg-type]

            async with serve_control(control, perform_operation) as is_managed:  # type: ignore[arg-type]
                assert is_managed
                async with session_with(array, replace(OPTIONS, header_digest=True)) as session:
                    for lun in (0, 1):
                        await settled(session, lun)
                    await write_much(session)
                    await read_and_copy(session)
                    tracing.toggle()
                    await manage(control, f"lun{len(array.logical_units)}")
                    tracing.toggle()
                    await Reloader(array, folder / "settings.toml").reload()
                    await pool.checkpoint()
        guard.is_on = False


def checked_connect(guard: LoopGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(CheckedConnection, "guard", guard, raising=False)
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **options: connect(*given, factory=CheckedConnection, **options))


async def test_the_loop_makes_no_call_that_may_wait(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with guarded(monkeypatch) as guard:
        checked_connect(guard, monkeypatch)
        await live(guard, config, tmp_path)
        await live(guard, replace(config, luns=()), tmp_path)  # in the second run most data is cold
    assert not guard.offences, "\n".join(guard.offences[:5])


async def test_the_guard_sees_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"data")
    with guarded(monkeypatch) as guard:
        guard.is_on = True
        (tmp_path / "file").read_bytes()
        (tmp_path / "file").stat()
        await trio.to_thread.run_sync((tmp_path / "file").read_bytes)
    assert [offence.split()[0] for offence in guard.offences] == ["open", "os.stat"]
