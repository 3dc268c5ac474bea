"""A pool that a command opens itself: it is closed on every way out, also if the command is cancelled."""

import socket
from pathlib import Path

import pytest
import trio
import typer

from odx_target.cli.failure import CommandFailure
from odx_target.cli.pools.opened_pool import opened_pool, run_on_pool
from odx_target.cli.storage.requests import ask
from odx_target.store.api import PoolInUse, StoreError
from odx_target.target.control import client
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.socket_file import CONTROL_NAME


def test_a_pool_is_not_opened_if_an_array_has_the_request_and_does_not_respond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The array may still perform the operation, which would then be performed twice."""
    run_on_pool(create_volume, tmp_path)
    monkeypatch.setattr(client, "ANSWER_TIMEOUT_S", 0.01)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / CONTROL_NAME))
        listening.listen()
        with pytest.raises(CommandFailure, match="may still perform the operation"):
            ask(tmp_path, "snapshot-create", snapshots=["a@one"])
    assert ask(tmp_path, "snapshots")["snapshots"] == []


async def create_volume(path: Path) -> None:
    async with opened_pool(path) as opened:
        opened.pool.create_volume("a", 8, {})


async def is_free(path: Path) -> bool:
    """True if another task can open the pool."""
    found = True
    try:
        async with opened_pool(path):
            pass
    except* PoolInUse:
        found = False
    return found


async def test_the_pool_is_closed_after_the_body_an_error_and_a_cancellation(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    async with opened_pool(path) as opened:
        opened.pool.create_volume("a", 8, {})
        assert not await is_free(path)

    async def fail() -> None:
        async with opened_pool(path) as opened:
            assert set(opened.pool.volumes) == {"a"}
            raise StoreError("a fault")

    with pytest.raises(ExceptionGroup):
        await fail()
    with trio.CancelScope() as scope:
        async with opened_pool(path) as opened:
            opened.pool.create_volume("b", 8, {})
            scope.cancel()
            await trio.sleep_forever()
    async with opened_pool(path) as opened:
        assert set(opened.pool.volumes) == {"a", "b"}, "the close has committed the volume"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StoreError("a fault"), StoreError),
        (ManagementError("refused"), CommandFailure),
        (ManagementError("no such argument", is_usage=True), typer.BadParameter),
    ],
)
def test_an_error_of_the_body_is_raised_alone(tmp_path: Path, error: Exception, expected: type[Exception]) -> None:
    async def fail() -> None:
        async with opened_pool(tmp_path / "pool"):
            raise error

    with pytest.raises(expected, match=str(error)):
        run_on_pool(fail)
