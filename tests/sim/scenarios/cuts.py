"""A small copy by a token of another array, whose link is cut after each of its bytes, one after the other.

The seed names the direction, the byte, and whether the path connects again while the command runs. So a range of seeds has each
cut once.
"""

from functools import cache
from unittest.mock import patch

from odx_target.store.api import BLOCK_BYTES
from tests.copymgr.array import code_of
from tests.replica.remote_tokens.arrays import TokenArrays
from tests.replica.remote_tokens.play import CUT, UNREACHABLE
from tests.sim.world import World

BLOCKS, PART_BLOCKS = 6, 2
"""Sizes of the copy and of its parts, which are short so that the copy has several."""

TARGET_BLOCK = 1
SENDER, RECEIVER = (f"odx_target.replica.remote_tokens.{module}" for module in ("token_server", "pull"))


class SmallCopy:
    """Two arrays, and a token for blocks that compress well, so that few bytes cross the link."""

    def __init__(self, world: World) -> None:
        self.arrays = TokenArrays(world.seed, size_blocks=16, world=world)
        self.data = b"".join(bytes([number]) * BLOCK_BYTES for number in range(1, BLOCKS + 1))
        self.arrays.maker.write(1, 0, self.data)
        self.token = self.arrays.maker.token(1, [(0, BLOCKS)])
        self.directions = [end.outgoing for end in self.arrays.arrays.used.ends]
        self.before = [each.delivered_bytes for each in self.directions]

    def run(self, first: int = 0) -> tuple[str, int]:
        """Copy the blocks from `first` on, and return the code and the count of the command."""
        redeemer = self.arrays.redeemer
        reply = redeemer.using(1, self.token, [(TARGET_BLOCK + first, BLOCKS - first)], offset_into_rod=first)
        code = code_of(reply)
        if code == "good":
            assert redeemer.result(1) == (1, BLOCKS - first)
            return code, BLOCKS - first
        assert code in (CUT, UNREACHABLE), code
        count = int.from_bytes(reply.sense[3:7], "big") if code == CUT else 0
        assert redeemer.result(1) == (3 if count else 2, count)
        return code, count

    def check(self, count: int) -> None:
        """Check that exactly `count` blocks are copied."""
        wanted = self.data[: count * BLOCK_BYTES].ljust((BLOCKS + 1) * BLOCK_BYTES, b"\0")
        assert self.arrays.redeemer.read(1, TARGET_BLOCK, BLOCKS + 1) == wanted, "the copied blocks"


@cache
def sizes() -> tuple[int, ...]:
    """Return the number of bytes of an undisturbed copy in each direction."""
    copy = SmallCopy(World(0))
    assert copy.run() == ("good", BLOCKS)
    return tuple(each.delivered_bytes - before for each, before in zip(copy.directions, copy.before, strict=True))


def play(world: World) -> None:
    with (
        patch.multiple(SENDER, TOKEN_PART_BLOCKS=PART_BLOCKS),
        patch.multiple(RECEIVER, TOKEN_PART_BLOCKS=PART_BLOCKS),
    ):
        _play(world)


def _play(world: World) -> None:
    number, direction = divmod(world.seed, 2)
    at, comes_back = divmod(number, 2)
    copy = SmallCopy(world)
    line = copy.arrays.network.line("one", "other")
    at %= sizes()[direction]
    copy.directions[direction].cut_after_bytes = copy.before[direction] + at
    line.is_down = not comes_back
    code, count = copy.run()
    assert code == "good" or not comes_back, "the path connects again within the time of the command"
    assert count % PART_BLOCKS == 0
    copy.check(count)
    part = {0: "nothing", BLOCKS: "everything"}.get(count, "a part")
    world.reached[f"copies cut after a byte, with {part} copied"] += 1
    line.is_down = False
    copy.arrays.arrays.connect()
    if count < BLOCKS:
        assert copy.run(count) == ("good", BLOCKS - count)
        copy.check(BLOCKS)
    copy.arrays.assert_nothing_leaks()
