"""A signal that stops an array while it opens its pool."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from odx_target.cli.serving import serve
from odx_target.cli.serving.reload import Settings
from odx_target.cli.serving.serve import Again, Equipment
from odx_target.cli.serving.signals import Signals
from odx_target.target.config.settings import Config, LunConfig, Portal, ServeConfig
from odx_target.target.file_descriptors import Descriptors

CONFIG = Config(luns=(LunConfig("first", 1 << 20),), portals=(Portal(port=0),))


def replay_without_end() -> None:
    while True:
        trio.from_thread.check_cancelled()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_long_opening_is_given_up(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = trio.Event()

    async def open_pool(*_: object, **__: object) -> None:
        opening.set()
        await trio.to_thread.run_sync(replay_without_end)

    async def received() -> AsyncIterator[int]:
        yield signal.SIGHUP
        await opening.wait()
        yield number

    monkeypatch.setattr(serve, "open_pool", open_pool)
    settings = Settings(CONFIG, ServeConfig())
    again = Again(None, settings, lambda _: settings)
    equipment = Equipment(Descriptors(64, 64), None, again, ServeConfig(control=tmp_path / "control"), False, *[None] * 3)
    signals = Signals()
    config = Config(luns=CONFIG.luns, portals=CONFIG.portals, pool_dir=tmp_path / "pool")
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(signals.read, received())
            assert await serve._serve_once(config, equipment, signals, None) is None
            nursery.cancel_scope.cancel()
    assert signals.received.receive_nowait() == signal.SIGHUP, "the array would have read its settings again after the start"
    assert not (tmp_path / "control").exists()


async def test_after_the_start_a_signal_waits_for_the_array() -> None:
    async def received() -> AsyncIterator[int]:
        yield signal.SIGTERM

    signals = Signals()
    await signals.read(received())
    assert signals.received.receive_nowait() == signal.SIGTERM
