"""The short form of the damage of disks, and of the parts that choose it."""

import pytest

from tests.torture.damage import damage_everywhere


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_named_and_nothing_else_suffers(seed: int) -> None:
    counts = damage_everywhere(seed, count_steps=120, count_damages=25)
    assert counts.damages == 25
    assert counts.refused > 0
    assert counts.repaired > 0
