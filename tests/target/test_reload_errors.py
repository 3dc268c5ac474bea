"""SIGHUP after a bug in one of the changes, and after a restart of the array: later changes are still applied."""

import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from odx_target.cli.serving import serve
from odx_target.cli.serving.reload import Reloader, Settings, load_settings
from odx_target.configured_pool import open_pool
from odx_target.target import reconfiguration
from odx_target.target.array import Array
from odx_target.target.config.settings import ServeConfig
from tests.target.access.sessions import A, luns, session_of
from tests.target.running import LUNS, running
from tests.target.test_storage_operations import do


async def test_an_internal_error_ends_neither_the_array_nor_later_reloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise AttributeError("a bug")

    path = tmp_path / "array.toml"
    path.write_text('portal = "127.0.0.1:0"\ncopy-rate = "1M"\n')
    async with running() as array, session_of(array, A) as session:
        reloader = Reloader(array, path)
        with monkeypatch.context() as patched, capture_logs() as logs:
            patched.setattr(reconfiguration, "reconfigure", fail)
            await reloader.reload()
        assert [(line["log_level"], line["error"]) for line in logs] == [("error", "AttributeError('a bug')")]
        assert await luns(session) == list(range(len(LUNS)))
        await reloader.reload()
        assert array.copy_manager.copies.copy_rate.bytes_per_s == 1 << 20


async def test_an_array_that_a_fault_has_restarted_takes_a_setting_back(tmp_path: Path) -> None:
    async def sighup() -> AsyncIterator[int]:
        yield signal.SIGHUP

    path = tmp_path / "array.toml"
    async with running() as array:
        again = serve.Again(path, Settings(array.config, ServeConfig()), load_settings)
        path.write_text('portal = "127.0.0.1:0"\ncopy-rate = "1M"\n')
        await serve._obey(sighup(), array, None, again)
        config = replace(array.config, luns=LUNS)
    async with Array(config, open_pool=open_pool) as array:
        assert array.copy_manager.copies.copy_rate.bytes_per_s == 1 << 20
        path.write_text('portal = "127.0.0.1:0"\n')
        await serve._obey(sighup(), array, None, again)
        assert array.copy_manager.copies.copy_rate.bytes_per_s is None


async def test_a_setting_that_was_refused_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "array.toml"
    path.write_text('portal = "127.0.0.1:0"\nremote-luns = ["third"]\ncopy-rate = "1M"\n')
    async with running() as array:
        before = array.config.remote_luns
        reloader = Reloader(array, path)
        with capture_logs() as logs:
            await reloader.reload()
        assert [line["keys"] for line in logs if line["event"] == "settings are not applied"] == [["remote-luns"]]
        assert array.config.remote_luns == reloader.current.array.remote_luns == before
        assert array.config.copy_rate_bytes_per_s == 1 << 20
        array.pool.create_volume("third", 10, {})
        await do(array, "lun-add", name="third")
        await reloader.reload()
        assert [unit.volume.name for unit in array.copy_manager.copies.remote_logical_units] == ["third"]
        assert array.config.remote_luns == ("third",)
