"""Tests of the simulated world: the same seed gives the same trace to the byte, and other seeds give others."""

import pytest

from odx_target.replica.link.errors import LinkError
from tests.replica.paths.arrays import Arrays
from tests.sim.virtual_environment import Deadlock
from tests.sim.world import World


def run(seed: int) -> str:
    """Run two arrays through faults, and return the digest of the trace."""
    arrays = Arrays(seed)
    random = arrays.world.random
    arrays.network.on_connection = lambda link: setattr(
        link.ends[random.randrange(2)].outgoing, "cut_after_bytes", random.choice([None, random.randrange(2000)])
    )
    for _ in range(3):
        arrays.connect()
        try:
            arrays.echoed(random.randbytes(random.randrange(3000)))
        except LinkError:
            arrays.world.note("lost")
        if random.randrange(3) == 0:
            arrays.other.kill()
            arrays.other.start(drift=random.uniform(0.9, 1.1))
    return arrays.world.digest


@pytest.mark.parametrize("seed", range(2))
def test_a_seed_replays_to_the_same_byte(seed: int) -> None:
    assert run(seed) == run(seed)


def test_other_seeds_run_differently() -> None:
    assert len({run(seed) for seed in (5, 6)}) == 2


def test_clocks_drift_and_jump() -> None:
    world = World(1)
    fast, slow = world.environment("fast", 1.5), world.environment("slow", 0.5)
    order = []

    async def tick(environment: object, name: str) -> None:
        await environment.sleep(3.0)  # type: ignore[attr-defined]
        order.append((name, world.now_s))

    fast.spawn(tick(fast, "fast"))
    slow.spawn(tick(slow, "slow"))
    world.advance(10.0)
    assert order == [("fast", pytest.approx(2.0)), ("slow", pytest.approx(6.0))]
    before = fast.time()
    fast.time_offset_s = -100.0
    assert fast.time() == before - 100.0
    assert fast.monotonic() > slow.monotonic()


def test_a_world_in_which_nothing_can_happen_is_an_error() -> None:
    world = World(1)
    environment = world.environment("one")
    with pytest.raises(Deadlock):
        world.run(environment, environment.event().wait())


def test_checks_run_after_each_moment() -> None:
    world = World(1)
    seen = []
    world.checks.append(lambda: seen.append(world.now_s))
    world.at(1.0, lambda: world.fault("example"))
    world.advance(2.0)
    assert 1.0 in seen
    assert world.faults == {"example": 1}


def test_a_direction_that_has_lost_bytes_delivers_no_later_ones() -> None:
    """Otherwise a second fault would let bytes arrive after a gap, which a reliable connection never does."""
    arrays = Arrays(3)
    arrays.connect()
    direction = arrays.network.links[0].ends[0].outgoing
    direction.lose_after(10)
    direction.lose_after(5000)
    assert direction.lost_after_bytes == direction.delivered_bytes + 10
    direction.lose_after(0)
    assert direction.lost_after_bytes == direction.delivered_bytes
