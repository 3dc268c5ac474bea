"""The table of the scenarios. Each plays one seed in a world of its own, and raises AssertionError if something is wrong."""

from collections.abc import Callable

from tests.sim.scenarios import cuts, fills, groups, hub, links, pairings, remote_copies, replication
from tests.sim.world import World

SCENARIOS: dict[str, tuple[Callable[[World], None], int]] = {
    "links": (links.play, 4),
    "pairings": (pairings.play, 2),
    "fills": (fills.play, 4),
    "hub": (hub.play, 1),
    "remote copies": (remote_copies.play, 1),
    "cuts": (cuts.play, 4),
    "replication": (replication.play, 2),
    "groups": (groups.play, 4),
}
"""The scenarios by name, each with the number of its seeds in a round."""
