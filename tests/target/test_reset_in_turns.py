"""A reset of all logical units takes several turns of the event loop, and hosts see the same order as if it took one turn."""

from collections.abc import Iterator

import pytest
import trio

from odx_target.iscsi.pdu.headers import TaskManagementFunctionResponse
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction as Function
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.tasks import task_manager
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig
from tests.target.raw_peer import logged_in
from tests.target.running import running

LUNS = 12
CONFIG = Config(luns=tuple(LunConfig(f"lun-{number}", 1 << 20) for number in range(LUNS)))


@pytest.fixture(autouse=True)
def one_lun_per_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_manager, "STEPS_OF_A_RESET", 100_000)


def turns_taken(array: Array) -> int:
    return array.pool.turns.taken


async def test_a_reset_takes_a_turn_for_each_lun_and_later_commands_wait_for_it() -> None:
    async with running(CONFIG) as array, logged_in(array, 1) as other, logged_in(array, 2) as peer:
        for lun in range(1, LUNS):
            await other.settle(lun)
            await peer.settle(lun)
        before = turns_taken(array)
        reset = peer.manage(Function.TARGET_WARM_RESET)
        later = [peer.command(bytes(6), lun=lun) for lun in (0, LUNS - 1, 0, LUNS - 1)]
        await peer.stream.send_all(b"".join(peer.encode(each) for each in (reset, *later)))
        assert (await peer.take(TaskManagementFunctionResponse)).response == 0
        assert turns_taken(array) - before >= LUNS
        results = [await peer.answer_to(each) for each in later]
        assert [status for status, _ in results] == [2, 2, 0, 0]
        for lun in range(LUNS):
            assert (await other.status_of(other.command(bytes(6), lun=lun)))[0] == 2
            assert (await other.status_of(other.command(bytes(6), lun=lun)))[0] == 0


async def test_a_reset_ends_although_the_host_has_gone() -> None:
    async with running(CONFIG) as array, logged_in(array, 1) as other, logged_in(array, 2) as peer:
        for lun in range(1, LUNS):
            await other.settle(lun)
        await peer.stream.send_all(peer.encode(peer.manage(Function.TARGET_WARM_RESET)))
        await peer.stream.aclose()
        with trio.fail_after(10):
            while len(array.device_server.nexuses) > 1:
                await trio.lowlevel.checkpoint()
        for lun in range(LUNS):
            assert (await other.status_of(other.command(bytes(6), lun=lun)))[0] == 2


async def test_a_new_session_begins_after_the_tasks_of_the_old_one_although_its_reset_continues(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(CONFIG) as array, logged_in(array, 1) as peer:
        server, pieces, is_released = array.device_server, 0, False
        (old,) = server.nexuses

        def reset(_by: Nexus) -> Iterator[int]:
            nonlocal pieces
            while not is_released:
                pieces += 1
                yield 100_000

        monkeypatch.setattr(server, "target_reset", reset)
        await peer.stream.send_all(peer.encode(peer.manage(Function.TARGET_WARM_RESET)))
        while not pieces:
            await trio.lowlevel.checkpoint()
        async with logged_in(array, 1):
            begun = pieces
            assert old not in server.nexuses
            assert len(server.nexuses) == 1
            while pieces < begun + 3:
                await trio.lowlevel.checkpoint()
            is_released = True
            assert await peer.next() is None


async def test_a_reset_that_fails_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(CONFIG) as array, logged_in(array, 1) as other, logged_in(array, 2) as peer:

        def fail(_by: Nexus) -> Iterator[int]:
            yield 100_000
            raise OSError("wrong")

        monkeypatch.setattr(array.device_server, "target_reset", fail)
        await peer.stream.send_all(peer.encode(peer.manage(Function.TARGET_WARM_RESET)))
        with trio.fail_after(10):
            assert await peer.next() is None
        assert len(array.device_server.nexuses) == 1
        assert await other.status_of(other.command(bytes(6))) == (0, b"")
