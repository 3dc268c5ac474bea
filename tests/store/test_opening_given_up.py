"""The opening of a pool can be given up between two steps of the replay of its log. Nothing is lost."""

from pathlib import Path

import pytest
from tests.store.pools import Directory, block, read, write

from odx_target.store.open import PoolOptions


class GivenUp(Exception):
    pass


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_pool_whose_opening_was_given_up_opens_again(tmp_path: Path, steps: int) -> None:
    directory = Directory(tmp_path / "pool")
    volume = directory.pool.create_volume("a", 100, {})
    for at in range(4):
        write(directory, volume, at, [block(at + 1)])
        directory.pool.commit()
    directory.kill()
    left = iter(range(steps))

    def before_step() -> None:
        if next(left, None) is None:
            raise GivenUp

    directory.options = PoolOptions(segment_blocks=64, before_step=before_step)
    with pytest.raises(GivenUp):
        directory.open()
    directory.options = PoolOptions(segment_blocks=64)
    directory.open()
    assert read(directory, directory.pool.volumes["a"], 0, 4) == b"".join(block(at + 1) for at in range(4))
    directory.close()
