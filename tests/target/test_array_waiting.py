"""Commands that wait and are ended before they have begun. The array keeps nothing of them."""

import os
from collections.abc import Callable

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from odx_target.copymgr.commands.parameter_lists import ListFlag, encode_populate_token, encode_write_using_token
from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from odx_target.initiator import cdb
from odx_target.iscsi.pdu.headers import ReadyToTransfer, ScsiCommand, ScsiResponse, TaskManagementFunctionResponse
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction as Function
from odx_target.scsi.nexus import Nexus
from odx_target.target.array import Array
from odx_target.target.server.connection_server import ConnectionServer
from tests.copymgr.array import out_cdb
from tests.little_memory import MAP_LEAVES
from tests.target.raw_peer import RawPeer, logged_in
from tests.target.running import running

PERSISTENT = 0x0080_0002
POPULATE = encode_populate_token([(0, 8)], flags=ListFlag.RTV, rod_type=PERSISTENT)
WRITE_ZEROS = encode_write_using_token(ZERO_TOKEN, [(3, 8)])
WRITE_THROUGH = cdb.write_16(0, 8, force_unit_access=True)


def populate(peer: RawPeer, list_identifier: int) -> ScsiCommand:
    return peer.write(out_cdb(0x10, list_identifier, len(POPULATE)), len(POPULATE))


def connections(array: Array) -> list[ConnectionServer]:
    return list(array._listener._connections)


async def assert_nothing_waits(array: Array) -> None:
    """Wait until everything has ended, and check that only the tokens that were made are left."""
    for _ in range(4):  # three commands, each of which waits for the command before it and then for a flush
        await trio.testing.wait_all_tasks_blocked()
        if MAP_LEAVES is not None:  # each command may also wait for leaves and for a checkpoint
            await array.logical_units[0].volume.room_made()
            await trio.testing.wait_all_tasks_blocked()
        await array.pool.flush()
    await trio.testing.wait_all_tasks_blocked()
    manager = array.copy_manager
    assert manager.copies.operations == {}
    assert all(unit.tasks.members == [] for unit in array.logical_units.values())
    assert len(array.pool.frozen_maps) == len(manager.copies.tokens.live)
    assert all(token.is_issued and not token.leases for token in manager.copies.tokens.live.values())
    assert array.memory_budget.used_bytes == 0


async def read_up_to(peer: RawPeer, kind: type[ScsiResponse | TaskManagementFunctionResponse], tag: int) -> None:
    """Read PDUs until the response of this kind with this tag has arrived."""
    while True:
        received = await peer.next()
        assert received is not None, "the target closed the connection"
        if isinstance(received[0], kind) and received[0].initiator_task_tag == tag:
            return


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_copy_and_its_abort_in_one_segment(at_once: bool) -> None:
    """The abort finds an operation that has begun, or beside hosts a command that waits for its turn to begin one."""
    async with running() as array:
        array.pool.turns.are_equal = at_once
        limit = array.copy_manager.copies.limits.max_concurrent_copies
        async with logged_in(array) as peer:
            for number in range(limit + 1):
                command = populate(peer, number)
                abort = peer.manage(Function.ABORT_TASK, referenced_task_tag=command.initiator_task_tag)
                await peer.stream.send_all(peer.encode(command, POPULATE) + peer.encode(abort))
                await read_up_to(peer, TaskManagementFunctionResponse, abort.initiator_task_tag)
            probe = peer.command(bytes(6))
            await peer.send(probe)
            await read_up_to(peer, ScsiResponse, probe.initiator_task_tag)
            await assert_nothing_waits(array)
            issued = len(array.pool.frozen_maps)
            # If other work has spent the steps of a turn, the abort is handled in the next turn, and may come too late.
            assert issued <= limit
            counters = array.copy_manager.copies.counters
            assert counters.operations_terminated == counters.operations_started - issued
            assert counters.operations_started == limit + 1 or not at_once
        async with logged_in(array, 2) as honest:
            assert await honest.status_of(populate(honest, 1), POPULATE) == (0, b"")


def resets_the_unit(array: Array, peer: RawPeer) -> bytes:
    return peer.encode(peer.manage(Function.LOGICAL_UNIT_RESET))


def resets_the_target(array: Array, peer: RawPeer) -> bytes:
    return peer.encode(peer.manage(Function.TARGET_WARM_RESET))


def clears_the_set(array: Array, peer: RawPeer) -> bytes:
    return peer.encode(peer.manage(Function.CLEAR_TASK_SET))


@pytest.mark.parametrize(("at_once", "rounds"), [(True, 150), (False, 30)])
@pytest.mark.parametrize("disturb", [resets_the_unit, resets_the_target, clears_the_set])
async def test_copies_beside_the_resets_of_another_host(
    disturb: Callable[[Array, RawPeer], bytes], at_once: bool, rounds: int
) -> None:
    """Both requests arrive in one turn of the event loop, so a reset often finds operations that have begun but not worked.
    Beside hosts, it finds commands that wait for their turn to begin an operation.
    """
    async with running() as array, logged_in(array, 1) as copier, logged_in(array, 2) as other:
        array.pool.turns.are_equal = at_once
        for number in range(rounds):
            copies = copier.encode(populate(copier, 2 * number), POPULATE)
            copies += copier.encode(copier.write(WRITE_THROUGH, 4096), bytes(4096))
            write = copier.write(out_cdb(0x11, 2 * number + 1, len(WRITE_ZEROS)), len(WRITE_ZEROS))
            copies += copier.encode(write, WRITE_ZEROS)
            function = disturb(array, other)
            os.write(copier.stream.socket.fileno(), copies)
            os.write(other.stream.socket.fileno(), function)
            await other.take(TaskManagementFunctionResponse)
            for peer in (copier, other):
                probe = peer.command(bytes(6))
                await peer.send(probe)
                await read_up_to(peer, ScsiResponse, probe.initiator_task_tag)
            await assert_nothing_waits(array)
        assert array.copy_manager.copies.counters.operations_terminated < 2 * rounds
        assert array.copy_manager.copies.counters.operations_terminated > 0 or not at_once


async def test_copies_of_a_session_that_is_lost_at_that_moment() -> None:
    async with running() as array, logged_in(array, 200) as watcher:
        for number in range(60):
            async with logged_in(array, number % 3) as peer:
                segment = b"".join(peer.encode(populate(peer, each), POPULATE) for each in range(3))
                segment += peer.encode(peer.write(WRITE_THROUGH, 4096), bytes(4096))
                os.write(peer.stream.socket.fileno(), segment)
                if number % 2:
                    await trio.lowlevel.checkpoint()
                    for connection in connections(array)[1:]:
                        connection.cut()
            assert (await watcher.status_of(watcher.command(bytes(6))))[0] in (0, 2)
            while len(connections(array)) > 1:
                await assert_nothing_waits(array)


async def test_a_command_that_comes_too_late_for_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nursery accepts no more tasks, but `serve` has not returned yet."""
    async with running() as array, logged_in(array) as peer:
        (connection,) = connections(array)

        def closed(*_: object) -> None:
            raise RuntimeError("Nursery is closed to new arrivals")

        with monkeypatch.context() as patch:
            patch.setattr(connection._nursery, "start_soon", closed)
            await peer.send(populate(peer, 1), POPULATE)
            await peer.send(peer.write(WRITE_THROUGH, 4096), bytes(4096))
            assert (await peer.status_of(peer.command(bytes(6))))[0] == 0
            await assert_nothing_waits(array)
            assert array.pool.frozen_maps == {}
            await peer.send(peer.write(cdb.write_16(8, 8), 4096))
            await peer.take(ReadyToTransfer)
            array.device_server.reset_logical_unit(array.logical_units[0], None)


@pytest.mark.parametrize("persistent", [False, True])
async def test_copies_in_the_background_end_before_the_pool_is_closed(
    monkeypatch: pytest.MonkeyPatch, persistent: bool
) -> None:
    left_at_close: list[tuple[int, int, list[str]]] = []
    flags = ListFlag.IMMED | (ListFlag.RTV if persistent else 0)
    data = encode_populate_token([(0, 8)], flags=flags, rod_type=PERSISTENT if persistent else 0)
    async with running() as array, logged_in(array) as peer:
        manager, pool, close = array.copy_manager, array.pool, array.pool.close

        async def watched_close() -> None:
            remembered = pool.remembered_keys("copymgr/token/")
            left_at_close.append((len(manager.copies.operations), len(pool.frozen_maps), remembered))
            await close()

        monkeypatch.setattr(pool, "close", watched_close)
        manager.copies.before_step = lambda operation: trio.sleep_forever()
        assert await peer.status_of(peer.write(out_cdb(0x10, 1, len(data)), len(data)), data) == (0, b"")
        assert len(manager.copies.operations) == 1
    assert left_at_close == [(0, 0, [])]


async def test_a_job_of_the_array_begins_although_it_is_stopping() -> None:
    """A job must release the resources that were taken for it before it begins. So each job is started."""
    log: list[str] = []

    async def job() -> None:
        log.append("began")
        try:
            await trio.sleep_forever()
        finally:
            log.append("ended")

    async with running() as array:
        array._nursery.cancel_scope.cancel()
        array.environment.start_soon(job)
    assert log == ["began", "ended"]


async def test_a_connection_ends_although_its_nexus_cannot_be_let_go() -> None:
    def fail(nexus: Nexus) -> None:
        raise ZeroDivisionError

    with capture_logs() as logs:
        async with running() as array:
            async with logged_in(array) as peer:
                (connection,) = connections(array)
                array.device_server.on_nexus_loss.append(fail)
                await peer.stream.aclose()
                await connection.ended.wait()
            array.device_server.on_nexus_loss.remove(fail)
            assert connection._socket.fileno() == -1
            assert connections(array) == []
            async with logged_in(array):
                pass
    (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert "ZeroDivisionError()" in entry["error"]
