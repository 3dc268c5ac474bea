"""An array with up to sixteen paths: its peers copy one snapshot of it, and it copies snapshots of them, all at once."""

from odx_target.replica.paths.settings import MAX_PATHS
from tests.sim.scenarios.faults import FAULTS
from tests.sim.scenarios.fills import Copying, serve
from tests.sim.scenarios.stage import Stage
from tests.sim.world import World

MIN_PATHS = 3


def play(world: World) -> None:
    peers = MIN_PATHS + world.seed % (MAX_PATHS - MIN_PATHS + 1)
    names = ["hub", *(f"spoke{number}" for number in range(peers))]
    if peers == MAX_PATHS:
        world.reached["sixteen paths"] += 1
    stage = Stage(world, names, serve, faults=FAULTS)
    hub, *spokes = stage.arrays
    for spoke in spokes:
        stage.pair(hub, spoke)
    copies = []
    for spoke in spokes:
        array, peer = (hub, spoke) if stage.random.randrange(2) else (spoke, hub)
        copies.append(Copying(stage, array, peer, f"{array.name} from {peer.name}"))
    for copy in copies:
        copy.take_snapshot(0)
    stage.flush()
    for copy in copies:
        copy.begin(writes_source=False)
    stage.play(lambda: all(copy.is_done for copy in copies), stage.random.randint(0, 8))
    for copy in copies:
        copy.compare()
    stage.end()
