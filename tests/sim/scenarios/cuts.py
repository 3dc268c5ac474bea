"""A small copy by a token of another array, whose link is cut after each of its bytes, one after the other.

The seed names the direction, the byte, and whether the path connects again while the command runs. So a range of seeds has each
cut once. tests/replica/remote_tokens/cut_copies.py plays it.
"""

from odx_target.store.api import BLOCK_BYTES
from tests.replica.remote_tokens.cut_copies import CutCopy, short_parts, sizes
from tests.sim.world import World

BLOCKS, PART_BLOCKS = 6, 2
"""Sizes of the copy and of its parts."""

DATA = b"".join(bytes([number]) * BLOCK_BYTES for number in range(1, BLOCKS + 1))
"""Blocks that compress well, so that few bytes cross the link."""


def play(world: World) -> None:
    number, direction = divmod(world.seed, 2)
    at, comes_back = divmod(number, 2)
    with short_parts(PART_BLOCKS):
        count = CutCopy(world, DATA).run_cut(direction, at % sizes(DATA)[direction], comes_back=bool(comes_back))
    assert count % PART_BLOCKS == 0
    part = {0: "nothing", BLOCKS: "everything"}.get(count, "a part")
    world.reached[f"copies cut after a byte, with {part} copied"] += 1
