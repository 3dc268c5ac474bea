"""Two arrays send each other messages, while faults happen and their path is changed."""

from collections.abc import Mapping
from dataclasses import replace

from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import LinkError
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.limits import MAX_BODY_BYTES
from odx_target.replica.link.throttle import Rates
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.path import Path
from odx_target.store.api import StoreError
from tests.sim.scenarios.faults import DISK_FAULTS, FAULTS
from tests.sim.scenarios.stage import Stage
from tests.sim.simulated_array import SimulatedArray
from tests.sim.world import World

CLASSES = [each for each in TrafficClass if each is not TrafficClass.CONTROL]
SIZES = (0, 1, 100, 30_000, MAX_BODY_BYTES)


async def echo(_array: SimulatedArray, _path: Path, exchange: Exchange, _document: Mapping[str, Json]) -> None:
    exchange.answer({})
    exchange.widen(1 << 20)
    while (frame := await exchange.receive()) is not None:
        await exchange.room()
        exchange.send(Kind.DATA, frame.argument, frame.body)
        exchange.consumed(frame)


def play(world: World) -> None:
    """Send messages until all have come back, over as many connections as necessary."""
    stage = Stage(world, ["one", "other"], echo, faults=(*FAULTS, *DISK_FAULTS))
    random, (one, other) = stage.random, stage.arrays
    stage.pair(one, other)
    stage.flush()
    bodies = [random.randbytes(random.choice(SIZES)) for _ in range(random.randint(1, 12))]
    talks = {array: _Talk(array, peer, bodies, random.choice(CLASSES)) for array, peer in ((one, other), (other, one))}
    for talk in talks.values():
        talk.begin()
    stage.on_start.append(lambda array: talks[array].begin())
    for _ in range(random.randint(0, 3)):
        stage.play(lambda: all(talk.is_done for talk in talks.values()), random.randint(0, 3))
        _change(stage)
    stage.play(lambda: all(talk.is_done for talk in talks.values()), 0)
    stage.end()


class _Talk:
    """Sends bodies to the peer of an array until all have come back, and begins again after each fault."""

    def __init__(self, array: SimulatedArray, peer: SimulatedArray, bodies: list[bytes], traffic_class: TrafficClass) -> None:
        self._array = array
        self._peer = peer
        self._bodies = bodies
        self._class = traffic_class
        self.is_done = False

    def begin(self) -> None:
        if not self.is_done:
            self._array.environment.start_soon(self._run)

    async def _run(self) -> None:
        while not self.is_done:
            path = self._array.path_to(self._peer)
            try:
                link = await path.opened()
                exchange = await link.request({"request": "echo"}, self._class)
                try:
                    await self._send_all(exchange)
                finally:
                    exchange.close()
            except LinkError:
                await self._array.environment.sleep(0.05)

    async def _send_all(self, exchange: Exchange) -> None:
        received = 0
        for number, body in enumerate(self._bodies):
            await exchange.room()
            exchange.send(Kind.DATA, number, body)
            while (frame := exchange.received_now()) is not None:
                self._check(exchange, received, frame.argument, bytes(frame.body))
                exchange.consumed(frame)
                received += 1
        while received < len(self._bodies):
            arrived = await exchange.receive()
            if arrived is None:
                return
            self._check(exchange, received, arrived.argument, bytes(arrived.body))
            exchange.consumed(arrived)
            received += 1
        self.is_done = True

    def _check(self, _exchange: Exchange, number: int, argument: int, body: bytes) -> None:
        assert (argument, body) == (number, self._bodies[number]), "a message is lost, repeated or changed"


def _change(stage: Stage) -> None:
    """Change the throttles of a path, or its secret on both sides, as an operator does."""
    random = stage.random
    new_secret = random.randbytes(32) if random.randrange(2) else None
    for array in stage.running:
        (path,) = array.paths.values()
        rates = random.choice([Rates(), Rates(1_000_000), Rates(3_000_000, 1_000_000, (0, 720))])
        settings = replace(path.settings, rates=rates, secret=new_secret or path.settings.secret)
        try:
            array.paths.change(settings)
            array.pool.commit()
        except StoreError:
            stage.world.note(f"{array.name} cannot change the path")
