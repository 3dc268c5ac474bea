"""An array of the simulated world that is a member or the witness of a group."""

from collections.abc import Callable, Mapping

from odx_target.replica.link.bounded_json import Json
from odx_target.replica.membership.messages import MemberRecord
from odx_target.replica.membership.register import Register
from odx_target.replica.membership.witness import WitnessRecord
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.path import Path
from odx_target.replica.request_table import RequestTable
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_records import GroupSettings
from odx_target.replica.sync.group_table import GroupTable
from odx_target.store.open import PoolOptions
from tests.sim.network import Network
from tests.sim.simulated_array import OPTIONS, Serve, SimulatedArray, refuse_all
from tests.sim.world import World

NAME = "db"


class GroupArray(SimulatedArray):
    """An array with groups. `on_power_loss` is called after its machine has lost its power."""

    def __init__(
        self, world: World, network: Network, name: str, _serve: Serve = refuse_all, options: PoolOptions = OPTIONS
    ) -> None:
        self.table: GroupTable
        self.requests: RequestTable
        self.was_whole = False
        """True if the process died without a loss of power, and had everything that hosts were told."""
        self.on_power_loss: Callable[[], None] | None = None
        super().__init__(world, network, name, serve_requests, options)

    def start(self, drift: float = 1.0) -> None:
        super().start(drift)
        self.requests = RequestTable(self.pool, self.environment)
        self.table = GroupTable(self.pool, self.environment, lambda: self.paths.values())
        self.table.add_to(self.requests)
        self.table.start()

    @property
    def group(self) -> Group | None:
        """The group, while the array runs and is a member."""
        return self.table.groups.get(NAME) if self.is_running else None

    @property
    def is_whole(self) -> bool:
        """True if the array has everything that hosts were told, if it is in sync."""
        group = self.group
        return self.was_whole if group is None else group.driver.member.is_proven

    def kill(self) -> None:
        self.was_whole = self.is_whole
        super().kill()

    def lose_power(self) -> None:
        self.was_whole = False
        super().lose_power()
        if self.on_power_loss is not None:
            self.on_power_loss()


async def serve_requests(array: SimulatedArray, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
    assert isinstance(array, GroupArray)
    await array.requests.serve(path, exchange, document)


def make_group(
    primary: GroupArray, secondary: GroupArray, witness: GroupArray, volumes: list[str], out_of_sync_s: float
) -> None:
    """Make a group of volumes that exist at both members under the same names. The secondary is out of sync at first."""
    names = primary.pool.identity.hex(), secondary.pool.identity.hex()
    register = Register(1, names[0], frozenset(names[:1]))
    number = primary.world.random.getrandbits(60)
    witness.table.witness_desk.add(NAME, names, WitnessRecord(number, register))
    record = MemberRecord(0, register, number)
    for array, peer in ((primary, secondary), (secondary, primary)):
        identities = tuple(array.pool.volumes[each].identity for each in volumes)
        settings = GroupSettings(NAME, peer.pool.identity, witness.pool.identity, identities, out_of_sync_s)
        array.table.add(settings, record)
    for array in (primary, secondary, witness):
        array.pool.commit()
        array.world.run(array.environment, array.pool.flush())
