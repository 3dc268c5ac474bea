"""Tests of paths in the simulated world: they connect, and connect again after every fault."""

from collections.abc import Mapping
from typing import Any

import pytest

from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded, ConnectionEnded, LinkError, PeerFault
from odx_target.replica.link.hello import Farewell, Side
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.limits import DEAD_AFTER_S, MAX_RETRY_S
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path, PathState
from odx_target.replica.paths.path_table import PathRefused
from odx_target.replica.paths.settings import MAX_PATH_CONNECTIONS, MAX_PATHS
from tests.replica.paths.arrays import Arrays, echo
from tests.sim.network import Network, SimulatedLink
from tests.sim.simulated_array import SimulatedArray, pair
from tests.sim.world import World


@pytest.mark.parametrize(("seed", "dials"), [(0, (True, False)), (1, (False, True)), (3, (True, True)), (4, (True, True))])
def test_two_arrays_connect_and_serve_requests(seed: int, dials: tuple[bool, bool]) -> None:
    arrays = Arrays(seed, dials).connect()
    bodies = [bytes([number]) * 40_000 for number in range(40)]
    assert arrays.echoed(*bodies) == bodies
    assert arrays.one.errors == arrays.other.errors == []
    arrays.world.advance(1.0)
    assert [len(link.session._channels) for link in (arrays.ours.link, arrays.theirs.link) if link] == [0, 0]
    assert arrays.ours.status.state is PathState.CONNECTED
    assert arrays.ours.status.sent_bytes > 40 * 40_000 < arrays.theirs.status.sent_bytes


@pytest.mark.parametrize("seed", range(6))
def test_of_two_connections_the_one_of_the_smaller_pool_stays(seed: int) -> None:
    arrays = Arrays(seed)
    arrays.network.line("one", "other").min_delay_s = 0.05
    arrays.network.line("one", "other").max_delay_s = 0.06
    arrays.connect()
    arrays.world.advance(10.0)
    assert arrays.are_connected
    assert arrays.ours.link is not None
    assert len(arrays.network.links) == 2
    smaller_dials = arrays.one.pool.identity < arrays.other.pool.identity
    assert (arrays.ours.link.session.side is Side.DIALLER) is smaller_dials


def test_a_request_that_is_refused_and_one_that_fails() -> None:
    arrays = Arrays(1).connect()
    for name, code in (("refuse", "no"), ("fail", "internal")):
        with pytest.raises(RequestDenied) as caught:
            arrays.echoed(name=name)
        assert caught.value.code == code
    assert [type(error) for error in arrays.other.errors] == [ZeroDivisionError]
    assert arrays.echoed(b"still there") == [b"still there"]


def cut_at(byte: int) -> Any:
    """Cut each of the first connections after this byte of one of its directions."""

    def plan(link: SimulatedLink) -> None:
        if link.number < 4:
            link.ends[link.number % 2].outgoing.cut_after_bytes = byte

    return plan


@pytest.mark.parametrize("byte", [0, 1, 23, 24, 100, 200, 250, 300, 400, 1000])
def test_a_path_connects_again_after_a_cut_at_any_byte(byte: int) -> None:
    arrays = Arrays(byte)
    arrays.network.on_connection = cut_at(byte)
    arrays.connect()
    bodies = [bytes(2000)] * 3
    for _ in range(8):
        try:
            assert arrays.echoed(*bodies) == bodies
            break
        except LinkError:
            arrays.connect()
    else:
        pytest.fail("no exchange succeeds")


@pytest.mark.parametrize("seed", range(4))
def test_a_lost_direction_is_noticed(seed: int) -> None:
    arrays = Arrays(seed).connect()
    arrays.world.advance(3.0)
    link = arrays.used
    direction = link.ends[seed % 2].outgoing
    direction.lost_after_bytes = direction.delivered_bytes + seed
    begin_s = arrays.world.now_s
    arrays.world.run_until(lambda: arrays.ours.link is None or arrays.theirs.link is None, 20.0)
    assert arrays.world.now_s - begin_s < DEAD_AFTER_S + 1.1
    arrays.world.advance(3 * DEAD_AFTER_S)
    assert arrays.are_connected
    assert arrays.used is not link
    assert arrays.echoed(b"again") == [b"again"]


def test_a_stall_shorter_than_the_timeout_is_survived_and_a_longer_one_is_not() -> None:
    arrays = Arrays(3, (True, False)).connect()
    (link,) = arrays.network.links
    link.stall(link.ends[0].outgoing, DEAD_AFTER_S - 1.5)
    arrays.world.advance(10.0)
    assert len(arrays.network.links) == 1
    link.stall(link.ends[0].outgoing, DEAD_AFTER_S + 1.5)
    arrays.world.advance(20.0)
    assert len(arrays.network.links) > 1
    assert arrays.are_connected


@pytest.mark.parametrize("seed", range(4))
def test_an_array_that_dies_is_found_again_with_its_paths(seed: int) -> None:
    arrays = Arrays(seed).connect()
    arrays.world.run(arrays.other.environment, arrays.other.pool.flush())
    (arrays.other.kill if seed % 2 else arrays.other.lose_power)()
    arrays.world.advance(30.0)
    assert arrays.ours.link is None
    assert arrays.ours.status.state is PathState.WAITING
    begin_s = arrays.world.now_s
    arrays.other.start()
    arrays.connect()
    assert arrays.world.now_s - begin_s < MAX_RETRY_S + 1.0
    assert arrays.echoed(b"again") == [b"again"]


def test_a_waiting_exchange_ends_with_the_link() -> None:
    arrays = Arrays(5).connect()

    async def wait() -> None:
        assert arrays.ours.link is not None
        exchange = await arrays.ours.link.request({"request": "echo"}, TrafficClass.SNAPSHOT)
        await exchange.receive()

    task = arrays.one.environment.spawn(wait())
    arrays.world.advance(1.0)
    arrays.other.kill()
    arrays.world.advance(20.0)
    assert isinstance(task.error, ChannelEnded)


def test_a_removed_path_ends_on_both_sides_and_comes_back_only_when_it_is_added() -> None:
    arrays = Arrays(2).connect()
    settings = arrays.ours.settings
    waiting = arrays.one.environment.spawn(arrays.ours.opened())
    arrays.one.paths.remove("other")
    arrays.world.advance(30.0)
    assert waiting.done
    assert dict(arrays.one.paths) == {}
    assert arrays.theirs.link is None
    arrays.one.paths.add(settings)
    arrays.connect()


def test_waiting_for_a_path_that_is_removed() -> None:
    arrays = Arrays(2)
    arrays.network.line("one", "other").is_down = True
    task = arrays.one.environment.spawn(arrays.ours.opened())
    arrays.world.advance(1.0)
    arrays.one.paths.remove("other")
    arrays.world.advance(1.0)
    assert isinstance(task.error, ConnectionEnded)


def test_a_path_that_is_removed_before_its_new_connection_is_carried() -> None:
    arrays = Arrays(3, (True, False))
    path, start_soon = arrays.ours, arrays.one.environment.start_soon

    def remove_first(function: Any, *arguments: Any) -> None:
        if function == path._carry:
            arrays.one.paths.remove("other")
        start_soon(function, *arguments)

    arrays.one.environment.start_soon = remove_first  # type: ignore[method-assign]
    arrays.world.advance(30.0)
    assert "other" not in arrays.one.paths
    assert path.link is None
    assert arrays.theirs.link is None


def test_a_peer_cannot_have_more_connections_than_the_limit() -> None:
    """Nothing is sent on them, so their greetings do not end at once."""
    arrays = Arrays(5).connect()
    for _ in range(MAX_PATH_CONNECTIONS + 3):
        _, theirs = arrays.network.connect(arrays.one.environment, arrays.other.environment)
        arrays.other.accept(theirs, arrays.one.pool.identity)
    arrays.world.advance(0.1)
    assert len(arrays.theirs._links) == MAX_PATH_CONNECTIONS
    assert arrays.are_connected
    arrays.world.advance(30.0)
    assert len(arrays.theirs._links) == 1
    arrays.connect()


def test_a_request_that_violates_the_protocol_ends_the_link() -> None:
    arrays = Arrays(6).connect()
    link = arrays.ours.link
    assert link is not None

    async def serve(_array: SimulatedArray, _path: Path, _exchange: Exchange, _document: Mapping[str, Json]) -> None:
        raise PeerFault("a message has no field first")

    arrays.other.serve = serve
    with pytest.raises(ChannelEnded):
        arrays.echoed()
    arrays.world.advance(1.0)
    assert link.ended is not None
    assert link.ended.code is Farewell.FAULT
    arrays.connect()


def test_an_array_has_sixteen_paths_that_all_move_data_and_no_seventeenth() -> None:
    world = World(16)
    network = Network(world)
    hub = SimulatedArray(world, network, "hub", echo)
    spokes = [SimulatedArray(world, network, f"spoke{number}", echo) for number in range(MAX_PATHS + 1)]
    for spoke in spokes[:-1]:
        pair(hub, spoke, (True, False))
    with pytest.raises(PathRefused, match=f"{MAX_PATHS} paths"):
        pair(hub, spokes[-1], (True, False))
    world.run_until(lambda: all(path.link is not None for path in hub.paths.values()), 60.0)

    async def echoed(path: Path) -> bytes:
        link = await path.opened()
        exchange = await link.request({"request": "echo"}, TrafficClass.SNAPSHOT)
        exchange.send(Kind.DATA, 0, path.settings.peer_pool)
        frame = await exchange.receive()
        assert frame is not None
        exchange.close()
        return bytes(frame.body)

    tasks = [(path, hub.environment.spawn(echoed(path))) for path in hub.paths.values()]
    world.run_until(lambda: all(task.done for _, task in tasks), 60.0)
    assert [task.value() for _, task in tasks] == [path.settings.peer_pool for path, _ in tasks]
