"""Tests of paths in the simulated world: they connect, and connect again after every fault."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded, ConnectionEnded, LinkError, PeerFault
from odx_target.replica.link.hello import Farewell, Side
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.limits import DEAD_AFTER_S, MAX_RETRY_S
from odx_target.replica.link.throttle import Rates
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.path import OTHER_KEY, Path, PathState
from odx_target.replica.paths.path_record import InvalidPathRecord, decode_path, encode_path
from odx_target.replica.paths.path_table import PathRefused
from odx_target.replica.paths.settings import MAX_PATH_CONNECTIONS, MAX_PATHS, Address, PathSettings
from tests.sim.network import End, Network, SimulatedLink
from tests.sim.simulated_array import SimulatedArray, pair
from tests.sim.world import World


async def echo(_array: SimulatedArray, _path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
    """Serve requests: "echo" sends all frames back, "refuse" is refused, and "fail" is an internal error."""
    if document["request"] == "refuse":
        raise RequestDenied("no", "not this one")
    if document["request"] == "fail":
        raise ZeroDivisionError
    exchange.answer({"answer": document["request"]})
    while (frame := await exchange.receive()) is not None:
        await exchange.room()
        exchange.send(Kind.DATA, frame.argument, frame.body)
        exchange.consumed(frame)


def _simulated(link: Link | None) -> SimulatedLink:
    assert link is not None
    assert isinstance(link._connection, End)
    return link._connection._link


class Arrays:
    """Two paired arrays, and the network between them."""

    def __init__(self, seed: int, dials: tuple[bool, bool] = (True, True), world: World | None = None) -> None:
        self.world = world or World(seed)
        self.network = Network(self.world)
        self.one = SimulatedArray(self.world, self.network, "one", echo)
        self.other = SimulatedArray(self.world, self.network, "other", echo)
        pair(self.one, self.other, dials)

    @property
    def ours(self) -> Path:
        return self.one.path_to(self.other)

    @property
    def theirs(self) -> Path:
        return self.other.path_to(self.one)

    def connect(self) -> "Arrays":
        """Wait until both arrays use the same connection and have ended others."""
        self.world.run_until(lambda: self.are_connected, 120.0)
        self.world.advance(0.5)
        self.world.run_until(lambda: self.are_connected, 120.0)
        return self

    @property
    def are_connected(self) -> bool:
        """True if both arrays use the same connection."""
        if not (self.one.is_running and self.other.is_running):
            return False
        links = [path.link for path in (self.ours, self.theirs)]
        return None not in links and len({_simulated(link) for link in links}) == 1

    @property
    def used(self) -> SimulatedLink:
        """The connection that both arrays use."""
        assert self.are_connected
        return _simulated(self.ours.link)

    def echoed(self, *bodies: bytes, name: str = "echo") -> list[bytes]:
        """Send bodies from one array, and return what the other array sends back."""

        async def exchange() -> list[bytes]:
            assert self.ours.link is not None
            found = []
            exchange = await self.ours.link.request({"request": name}, TrafficClass.TOKEN)
            assert await exchange.answered() == {"answer": name}
            for number, body in enumerate(bodies):
                await exchange.room()
                exchange.send(Kind.DATA, number, body)
            for number in range(len(bodies)):
                frame = await exchange.receive()
                assert frame is not None
                assert frame.argument == number
                found.append(bytes(frame.body))
                exchange.consumed(frame)
            exchange.close()
            return found

        return self.world.run(self.one.environment, exchange(), 60.0)


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


def test_limits_and_names_of_paths() -> None:
    arrays = Arrays(7)
    paths, settings = arrays.one.paths, arrays.ours.settings
    for name, pool in (("other", bytes(16)), ("new", settings.peer_pool), ("new", arrays.one.pool.identity)):
        with pytest.raises(PathRefused):
            paths.add(PathSettings(name, None, pool, b"", b"", bytes(32)))
    with pytest.raises(PathRefused, match="no path absent"):
        paths.remove("absent")
    for number in range(MAX_PATHS - 1):
        identity = bytes([number]) * 16
        paths.add(PathSettings(f"p{number}", None, identity, identity, identity, bytes(32)))
    with pytest.raises(PathRefused, match="the limit"):
        paths.add(PathSettings("one more", None, bytes([99]) * 16, b"", b"", bytes(32)))


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


@pytest.mark.parametrize(("change", "reason"), [("peer_certificate", "certificate"), ("peer_maker", "maker")])
def test_a_peer_cannot_take_the_certificate_or_the_tokens_of_another_peer(change: str, reason: str) -> None:
    arrays = Arrays(7)
    new = PathSettings("new", None, bytes(16), b"n" * 16, b"new", bytes(32))
    taken = {**_values(new), change: getattr(arrays.ours.settings, change)}
    with pytest.raises(PathRefused, match=f"another path has the same {reason}"):
        arrays.one.paths.add(PathSettings(**taken))
    arrays.one.paths.add(new)


def test_paths_and_their_rates_survive_a_restart_and_damaged_records_are_reported() -> None:
    arrays = Arrays(4).connect()
    rates = Rates(2_000_000, 1_000_000, (60, 120))
    arrays.one.paths.change(PathSettings(**{**_values(arrays.ours.settings), "rates": rates}))
    arrays.one.pool.remember("replica/path/bad", b"{}")
    arrays.one.pool.commit()
    settings = arrays.ours.settings
    arrays.one.kill()
    arrays.one.start()
    assert arrays.ours.settings == settings
    assert arrays.ours.throttle.rates == rates
    assert arrays.one.paths.unreadable == ["bad"]
    assert str(settings.secret) not in repr(settings)
    arrays.connect()


def test_a_new_key_that_only_one_array_has_is_shown() -> None:
    """The other array has missed the last frame of the pairing. Then it repeats the pairing, but not after a restart."""
    arrays = Arrays(5).connect()
    assert arrays.ours.status.reason == arrays.theirs.status.reason == ""
    former = arrays.ours.settings
    arrays.one.paths.change(replace(former, secret=b"n" * 32))
    arrays.world.advance(10.0)
    arrays.connect()
    assert arrays.ours.status.reason == arrays.theirs.status.reason == OTHER_KEY
    assert arrays.ours.status.state is PathState.CONNECTED
    assert arrays.echoed(b"data") == [b"data"]
    arrays.other.paths.change(replace(arrays.theirs.settings, secret=b"n" * 32))
    arrays.world.advance(10.0)
    arrays.connect()
    assert arrays.ours.status.reason == arrays.theirs.status.reason == ""


@pytest.mark.parametrize("address", [["h"], ["h", "1"], [5, 1], ["h", 0], ["h", 65_536], ["h", True], "h", 7])
def test_a_record_with_an_address_that_nobody_can_dial_is_refused(address: object) -> None:
    settings = PathSettings("berlin", Address("h", 1), bytes(16), bytes(16), b"c", bytes(32))
    record = json.loads(encode_path(settings, b"a" * 16))
    with pytest.raises(InvalidPathRecord):
        decode_path("berlin", json.dumps({**record, "address": address}).encode(), b"a" * 16)


def test_a_copy_of_the_pool_with_another_identity_has_no_paths() -> None:
    settings = PathSettings("berlin", None, bytes(16), bytes(16), b"c", bytes(32))
    record = encode_path(settings, b"a" * 16)
    assert decode_path("berlin", record, b"a" * 16) == settings
    assert decode_path("berlin", record, b"b" * 16) is None


def _values(settings: PathSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in PathSettings.__dataclass_fields__}


def send_without_end(arrays: Arrays, body: bytes) -> None:
    """Begin to send a body again and again, as fast as the throttle allows. The other array takes everything at once."""

    async def send_all() -> None:
        assert arrays.ours.link is not None
        exchange = await arrays.ours.link.request({"request": "sink"}, TrafficClass.SNAPSHOT)
        while True:
            await exchange.room()
            exchange.send(Kind.DATA, 0, body)

    async def sink(_array: SimulatedArray, _path: Path, exchange: Exchange, _document: Mapping[str, Json]) -> None:
        exchange.answer({})
        exchange.widen(8 << 20)
        while (frame := await exchange.receive()) is not None:
            exchange.consumed(frame)

    arrays.other.serve = sink
    arrays.one.environment.spawn(send_all())


@pytest.mark.parametrize("seed", range(2))
def test_the_throttle_keeps_its_rate_over_ten_seconds(seed: int) -> None:
    arrays = Arrays(seed, (True, False)).connect()
    rate = arrays.world.random.choice([1_000_000, 2_500_000, 5_000_000])
    arrays.one.paths.change(replace(arrays.ours.settings, rates=Rates(rate)))
    body = arrays.world.random.randbytes(200_000)
    send_without_end(arrays, body)
    arrays.world.advance(1.0)
    before = arrays.ours.status.sent_bytes
    arrays.world.advance(10.0)
    assert abs((arrays.ours.status.sent_bytes - before) / (10 * rate) - 1) < 0.05


def test_a_throttle_that_is_raised_applies_at_once() -> None:
    """A link that waits for the former rate does not wait to the end."""
    arrays = Arrays(2, (True, False)).connect()
    arrays.one.paths.change(replace(arrays.ours.settings, rates=Rates(1_000_000)))
    bodies = [bytes(200_000)] * 40
    task = arrays.one.environment.spawn(_sent(arrays, bodies))
    arrays.world.advance(1.0)
    assert not task.done
    arrays.one.paths.change(replace(arrays.ours.settings, rates=Rates()))
    arrays.world.advance(1.0)
    assert task.done
    task.value()


async def _sent(arrays: Arrays, bodies: list[bytes]) -> None:
    assert arrays.ours.link is not None
    exchange = await arrays.ours.link.request({"request": "echo"}, TrafficClass.TOKEN)
    received = 0
    for number, body in enumerate(bodies):
        await exchange.room()
        exchange.send(Kind.DATA, number, body)
        while (frame := exchange.received_now()) is not None:
            exchange.consumed(frame)
            received += 1
    while received < len(bodies):
        arrived = await exchange.receive()
        assert arrived is not None
        exchange.consumed(arrived)
        received += 1
    exchange.close()


@pytest.mark.parametrize("seed", range(2))
def test_a_throttle_with_peak_hours_keeps_both_rates_over_ten_seconds(seed: int) -> None:
    """The peak hours begin at the next full minute of the wall clock."""
    arrays = Arrays(seed, (True, False)).connect()
    environment = arrays.one.environment
    begin = int(environment.time() // 60) + 1
    rates = Rates(off_peak=4_000_000, peak=1_000_000, peak_hours=(begin % 1440, (begin + 5) % 1440))
    arrays.one.paths.change(replace(arrays.ours.settings, rates=rates))
    arrays.world.advance(max(0.0, begin * 60 - environment.time() - 12.0))
    send_without_end(arrays, bytes(200_000))
    arrays.world.advance(begin * 60 - environment.time() - 10.0)
    for rate in (4_000_000, 1_000_000):
        before = arrays.ours.status.sent_bytes
        arrays.world.advance(10.0)
        assert abs((arrays.ours.status.sent_bytes - before) / (10 * rate) - 1) < 0.05


def test_a_path_with_a_new_key_connects_again_and_keeps_the_rest() -> None:
    arrays = Arrays(6).connect()
    former, link = arrays.ours.settings, arrays.ours.link
    arrays.one.paths.change(replace(former, secret=b"s" * 32))
    arrays.other.paths.change(replace(arrays.theirs.settings, secret=b"s" * 32))
    arrays.connect()
    assert arrays.ours.link is not link
    assert arrays.ours.settings == replace(former, secret=b"s" * 32)
    with pytest.raises(PathRefused, match="another array"):
        arrays.one.paths.change(replace(former, peer_pool=bytes(16)))
    with pytest.raises(PathRefused, match="no path nobody"):
        arrays.one.paths.change(replace(former, name="nobody"))


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


def test_a_connection_that_was_dialled_with_a_former_key_is_not_used() -> None:
    arrays = Arrays(8, (True, False))
    line = arrays.network.line("one", "other")
    line.min_delay_s = line.max_delay_s = 0.5
    arrays.world.advance(0.6)  # The first connection is being made.
    arrays.one.paths.change(replace(arrays.ours.settings, secret=b"s" * 32))
    arrays.world.run_until(lambda: len(arrays.network.links) == 1, 10.0)
    assert arrays.ours.link is None
    arrays.world.advance(0.001)
    assert "new key" in arrays.ours.status.reason
    arrays.connect()
    assert len(arrays.network.links) == 2
