"""SIGHUP after a bug in one of the changes: the array continues to serve, and the next SIGHUP tries again."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from odx_target.cli.serving import reload
from odx_target.cli.serving.reload import Reloader
from tests.target.access.sessions import A, luns, session_of
from tests.target.running import LUNS, running


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
            patched.setattr(reload, "reconfigure", fail)
            await reloader.reload()
        assert [(line["log_level"], line["error"]) for line in logs] == [("error", "AttributeError('a bug')")]
        assert await luns(session) == list(range(len(LUNS)))
        await reloader.reload()
        assert array.copy_manager.copies.copy_rate.bytes_per_s == 1 << 20
