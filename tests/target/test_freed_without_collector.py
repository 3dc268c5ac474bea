"""Connections, sessions, tokens and copies that have ended are freed at once, because they leave no reference cycles.

A serving process never runs Python's garbage collector over old objects. So a reference cycle would exist until the process
ends.
"""

import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest
import trio.testing

from odx_target.copymgr.commands.parameter_lists import encode_populate_token, encode_write_using_token
from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from odx_target.initiator import cdb
from odx_target.iscsi.pdu.headers import Pdu, ScsiDataIn, ScsiResponse, TaskManagementFunctionResponse
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction as Function
from odx_target.target.array import Array
from tests.copymgr.array import out_cdb
from tests.target.raw_peer import KEYS, RawPeer, connected, logged_in
from tests.target.running import running

POPULATE = encode_populate_token([(0, 8)])
WRITE_ZEROS = encode_write_using_token(ZERO_TOKEN, [(3, 9)])
BLOCK_BYTES = 512


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switch off Python's garbage collector, so that only the test itself collects."""
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


async def read_up_to(peer: RawPeer, *kinds: type[Pdu]) -> None:
    """Read PDUs until one of these kinds has arrived."""
    while type(await peer.take(Pdu)) not in kinds:
        pass


async def answered(peer: RawPeer, command: bytes, data: bytes = b"") -> None:
    """Send a command, and read PDUs until its status has arrived."""
    await peer.send(peer.write(command, len(data)) if data else peer.read(command, BLOCK_BYTES), data)
    await read_up_to(peer, ScsiResponse, ScsiDataIn)
    gc.collect(0)  # moves the objects that are alive now out of the youngest generation


async def reads_and_writes(array: Array) -> None:
    async with logged_in(array) as peer:
        await answered(peer, cdb.write_16(0, 8), bytes(8 * BLOCK_BYTES))
        await answered(peer, cdb.write_16(0, 8, force_unit_access=True), bytes(8 * BLOCK_BYTES))
        await answered(peer, cdb.read_16(0, 1))
        await answered(peer, cdb.read_16(1 << 40, 1))


async def copies(array: Array) -> None:
    async with logged_in(array) as peer:
        for list_identifier, data in enumerate((POPULATE, WRITE_ZEROS, POPULATE, WRITE_ZEROS[:-3])):
            action = 0x10 if data is POPULATE else 0x11
            await answered(peer, out_cdb(action, list_identifier, len(data)), data)
    for identifier in list(array.copy_manager.copies.tokens.live):
        array.copy_manager.revoke(identifier)


async def aborts(array: Array) -> None:
    async with logged_in(array) as peer:
        await peer.send(peer.write(out_cdb(0x11, 1, len(WRITE_ZEROS)), len(WRITE_ZEROS)), WRITE_ZEROS)
        await peer.send(peer.manage(Function.LOGICAL_UNIT_RESET))
        gc.collect(0)
        await read_up_to(peer, TaskManagementFunctionResponse)


async def discovery(array: Array) -> None:
    async with connected(array) as peer:
        await peer.log_in({**KEYS, "SessionType": "Discovery"})
        gc.collect(0)


async def refused_login(array: Array) -> None:
    async with connected(array) as peer:
        await peer.stream.send_all(peer.login_request({**KEYS, "SessionType": "Unheard"}))
        gc.collect(0)
        while await peer.next() is not None:
            pass


async def half_a_login(array: Array) -> None:
    async with connected(array) as peer:
        await peer.stream.send_all(peer.login_request()[:-1])
        await trio.testing.wait_all_tasks_blocked()
        gc.collect(0)


async def reinstated(array: Array) -> None:
    async with logged_in(array), logged_in(array):
        gc.collect(0)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("use", [reads_and_writes, copies, aborts, discovery, refused_login, half_a_login, reinstated])
async def test_what_has_ended_leaves_no_cycles(use: Callable[[Array], Awaitable[None]]) -> None:
    async with running() as array:
        for _ in range(2):
            await use(array)
            await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        for _ in range(3):
            await use(array)
            await trio.testing.wait_all_tasks_blocked()
        gc.collect(0)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert Counter(type(each).__qualname__ for each in gc.garbage) == {}
