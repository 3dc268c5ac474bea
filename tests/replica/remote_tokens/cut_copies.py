"""A copy by a token of another array, whose link is cut after some byte in one direction."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from unittest.mock import patch

from odx_target.store.api import BLOCK_BYTES
from tests.copymgr.array import code_of
from tests.replica.remote_tokens.arrays import TokenArrays
from tests.replica.remote_tokens.play import CUT, UNREACHABLE
from tests.sim.world import World

TARGET_BLOCK = 1
SENDER, RECEIVER = (f"odx_target.replica.remote_tokens.{module}" for module in ("token_server", "pull"))


@contextmanager
def short_parts(blocks: int) -> Iterator[None]:
    """Make parts so short that a small copy has several."""
    with patch.multiple(SENDER, TOKEN_PART_BLOCKS=blocks), patch.multiple(RECEIVER, TOKEN_PART_BLOCKS=blocks):
        yield


class CutCopy:
    """Two arrays, and a token for blocks with some data."""

    def __init__(self, world: World, data: bytes) -> None:
        self.data = data
        self.blocks = len(data) // BLOCK_BYTES
        self.arrays = TokenArrays(world.seed, size_blocks=2 * self.blocks + 4, world=world)
        self.arrays.maker.write(1, 0, data)
        self.token = self.arrays.maker.token(1, [(0, self.blocks)])
        self.directions = [end.outgoing for end in self.arrays.arrays.used.ends]
        self.before = [each.delivered_bytes for each in self.directions]

    def run(self, first: int = 0) -> tuple[str, int]:
        """Copy the blocks from `first` on, and return the code and the count of the command."""
        redeemer, wanted = self.arrays.redeemer, self.blocks - first
        reply = redeemer.using(1, self.token, [(TARGET_BLOCK + first, wanted)], offset_into_rod=first)
        code = code_of(reply)
        if code == "good":
            assert redeemer.result(1) == (1, wanted)
            return code, wanted
        assert code in (CUT, UNREACHABLE), code
        count = int.from_bytes(reply.sense[3:7], "big") if code == CUT else 0
        assert count < wanted
        assert (count > 0) == (code == CUT)
        assert redeemer.result(1) == (3 if count else 2, count)
        return code, count

    def check(self, count: int) -> None:
        """Check that exactly `count` blocks are copied."""
        wanted = self.data[: count * BLOCK_BYTES].ljust((self.blocks + 1) * BLOCK_BYTES, b"\0")
        assert self.arrays.redeemer.read(1, TARGET_BLOCK, self.blocks + 1) == wanted, "the copied blocks"

    def run_cut(self, direction: int, at: int, *, comes_back: bool) -> int:
        """Cut the link after `at` bytes of the copy, and copy what is missing when the path is connected again.

        `comes_back` is True if it connects again while the command runs. Returns the count of the command.
        """
        line = self.arrays.network.line("one", "other")
        self.directions[direction].cut_after_bytes = self.before[direction] + at
        line.is_down = not comes_back
        code, count = self.run()
        assert code == "good" or not comes_back, "the path connects again within the time of the command"
        self.check(count)
        line.is_down = False
        self.arrays.arrays.connect()
        if count < self.blocks:
            assert self.run(count) == ("good", self.blocks - count)
            self.check(self.blocks)
        self.arrays.assert_nothing_leaks()
        return count


@cache
def sizes(data: bytes) -> tuple[int, ...]:
    """Return the number of bytes of an undisturbed copy in each direction."""
    copy = CutCopy(World(0), data)
    assert copy.run() == ("good", copy.blocks)
    return tuple(each.delivered_bytes - before for each, before in zip(copy.directions, copy.before, strict=True))
