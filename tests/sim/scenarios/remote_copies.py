"""A host copies by a token of another array, while links and arrays fail. tests/replica/remote_tokens/play.py plays it."""

from tests.replica.remote_tokens.play import Play
from tests.sim.world import World


def play(world: World) -> None:
    """Copy by one token, with the right sense and counts, until all is copied or the token is unknown."""
    copy = Play(world.seed, world)
    copy.run()
    world.note(f"replies {sorted(copy.outcomes.items())}")
