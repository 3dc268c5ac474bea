"""Tests of the throttle of a path: it keeps its rates, and a change applies at once."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.throttle import Rates
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.path import Path
from tests.replica.paths.arrays import Arrays
from tests.sim.simulated_array import SimulatedArray


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
