"""Two paired arrays in the simulated world, and what they serve."""

from collections.abc import Mapping

from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.kinds import Kind
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.path import Path
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
