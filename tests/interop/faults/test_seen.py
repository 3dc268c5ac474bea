"""Each row of the sense table and each kind of fault is injected once, and seen by libiscsi and by our initiator."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from itertools import cycle

import pytest
import trio

from odx_target.target.faults.names import SENSE_KEYS, sense_codes
from odx_target.target.faults.words.what import FAULTS
from odx_target.testing import RunningArray, running_array
from odx_target.testing.host import Host
from tests.interop.faults.acts import BLOCK, COPIED_BLOCKS, MANY_BLOCKS, Act, read, seen_by, transfer
from tests.interop.faults.clients import CLIENTS, LIBISCSI, Client, sense_words
from tests.interop.faults.kinds import KINDS, Kind
from tests.interop.faults.seen import EXPECTED, SEEN_BY_LIBISCSI
from tests.interop.libiscsi import Initiator
from tests.interop.programs import need

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-seen")]

READ_10 = transfer(0x28, 1)
SIDE_BY_SIDE = 16
"""Number of acts at the same time. Some of them wait for the timeout of a lost answer."""


@pytest.fixture(scope="module")
def array() -> Iterator[RunningArray]:
    with running_array({"first": "64M"}, record=False) as running:
        yield running


@pytest.fixture(scope="module")
def libiscsi_session(array: RunningArray) -> Iterator[Initiator]:
    need("libiscsi")
    with Initiator(array.portal, array.target) as session:
        session.ready(0)
        yield session


@pytest.fixture(scope="module")
def our_session(array: RunningArray) -> Host:
    session = array.host()
    session.execute("first", bytes(6))
    return session


def inject(array: RunningArray, fault: str) -> None:
    array.faults.clear()
    array.faults.add(f"command=read-10 times=1 {fault}")


@pytest.mark.parametrize("fault", EXPECTED)
def test_libiscsi_sees_each_fault_of_a_read(array: RunningArray, libiscsi_session: Initiator, fault: str) -> None:
    inject(array, fault)
    assert libiscsi_session.execute(0, READ_10, data_in_bytes=512).outcome == SEEN_BY_LIBISCSI[fault]
    assert libiscsi_session.execute(0, READ_10, data_in_bytes=512).outcome == "good"


@pytest.mark.parametrize("fault", EXPECTED)
def test_our_initiator_sees_each_fault_of_a_read(array: RunningArray, our_session: Host, fault: str) -> None:
    inject(array, fault)
    result = our_session.execute("first", READ_10, data_in_bytes=512)
    words = sense_words(result.sense) if result.sense else f"status {result.status:02X}h"
    assert ("good" if result.status == 0 else words) == EXPECTED[fault]
    assert our_session.execute("first", READ_10, data_in_bytes=512).status == 0


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_a_client_sees_every_additional_sense_code_of_the_standard(array: RunningArray, client: Client) -> None:
    """The sense keys take turns."""
    if client is LIBISCSI:
        need("libiscsi")
    async with client.open(array.portal, array.target, False) as session:
        for (name, (asc, ascq)), (key_name, key) in zip(sense_codes().items(), cycle(SENSE_KEYS.items()), strict=False):
            inject(array, f"sense={key_name}/{name}")
            assert (await session.execute(READ_10, data_in_bytes=512)).outcome == f"{key:X}/{asc:02X}/{ascq:02X}", name
        assert (await session.execute(READ_10, data_in_bytes=512)).outcome == "good"


# Every kind of fault, each on an array of its own

Acts = dict[tuple[Kind, Client], Future[str]]


def meet(kind: Kind, client: Client) -> str:
    """Inject a fault, and return what a client sees of it. Afterwards, a new session must work."""
    with running_array({"first": "64M"}, record=False) as array, ExitStack() as ending:
        array.write("first", 0, BLOCK * MANY_BLOCKS)
        rules: list[str] = []

        async def act() -> str:
            return await seen_by(client, kind.act, array.portal, array.target, lambda: rules.append(inject_kind(array, kind)))

        thread = ending.enter_context(ThreadPoolExecutor(1))
        seen = thread.submit(trio.run, act)
        if " hold" in kind.rule:
            while not (rules and array.faults[rules[0]].hits) and not seen.done():
                wait([seen], 0.01)
            array.faults.release(rules[0])
        outcome = seen.result()
        assert array.faults[rules[0]].hits == 1, kind
        array.faults.clear()
        trio.run(check_usable, client, array)
        return outcome


def inject_kind(array: RunningArray, kind: Kind) -> str:
    return array.faults.add(f"{kind.rule_at(array.portal)} times=1").name


async def check_usable(client: Client, array: RunningArray) -> None:
    async with client.open(array.portal, array.target, False) as session:
        assert await read(session) == "good"


@pytest.fixture(scope="module")
def acts() -> Iterator[Acts]:
    need("libiscsi")
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield {(kind, client): pool.submit(meet, kind, client) for kind in KINDS for client in CLIENTS}


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.rule)
def test_a_client_sees_each_kind_of_fault(acts: Acts, kind: Kind, client: Client) -> None:
    assert acts[kind, client].result() == (kind.libiscsi if client is LIBISCSI else kind.ours)


def test_each_fault_is_there_at_each_of_its_points() -> None:
    wanted = {(word.key, point) for word in FAULTS for point in word.points}
    assert {kind for row in KINDS for kind in row.kinds()} == wanted


def test_each_act_is_used() -> None:
    assert {row.act for row in KINDS} == set(Act)
    assert COPIED_BLOCKS <= MANY_BLOCKS
