"""Tests of copies by tokens of another array whose link is cut anywhere, or whose arrays restart."""

import pytest

from tests.copymgr.array import code_of
from tests.replica.remote_tokens.arrays import TokenArrays
from tests.replica.remote_tokens.play import CUT, UNREACHABLE, Play, content

BLOCKS = 40
PART_BLOCKS = 8


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make parts so short that a small copy has several."""
    for module in ("token_server", "pull"):
        monkeypatch.setattr(f"odx_target.replica.remote_tokens.{module}.TOKEN_PART_BLOCKS", PART_BLOCKS)


@pytest.mark.parametrize("seed", range(4))
def test_copies_continue_after_all_faults(seed: int) -> None:
    """`python -m tests.replica.remote_tokens.play` plays more seeds."""
    Play(seed).run()


class CutCopy:
    """A copy of `BLOCKS` blocks."""

    def __init__(self) -> None:
        self.arrays = TokenArrays(5, size_blocks=64)
        self.data = content(self.arrays.world.random, BLOCKS * 4096)
        self.arrays.maker.write(1, 0, self.data)
        self.token = self.arrays.maker.token(1, [(0, BLOCKS)])
        self.directions = [end.outgoing for end in self.arrays.arrays.used.ends]
        self.before = [each.delivered_bytes for each in self.directions]

    def run(self) -> tuple[str, int]:
        """Copy, and return the code and the count of the command."""
        reply = self.arrays.redeemer.using(1, self.token, [(8, BLOCKS)])
        code = code_of(reply)
        return code, {"good": BLOCKS, CUT: int.from_bytes(reply.sense[3:7], "big") if reply.sense else 0}.get(code, 0)

    def check(self, count: int) -> None:
        """Check that exactly `count` blocks are copied, and copy the others."""
        arrays, data = self.arrays, self.data
        assert arrays.redeemer.read(1, 8, BLOCKS) == data[: count * 4096].ljust(BLOCKS * 4096, b"\0")
        if count < BLOCKS:
            more = arrays.redeemer.using(1, self.token, [(8 + count, BLOCKS - count)], offset_into_rod=count)
            assert code_of(more) == "good"
            assert arrays.redeemer.read(1, 8, BLOCKS) == data
        arrays.assert_no_errors()


def sizes() -> list[int]:
    """Return the number of bytes of an undisturbed copy in each direction."""
    copy = CutCopy()
    assert copy.run() == ("good", BLOCKS)
    return [each.delivered_bytes - before for each, before in zip(copy.directions, copy.before, strict=True)]


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_copy_that_is_cut_after_any_byte(direction: int, comes_back: bool) -> None:
    total = sizes()[direction]
    counts = set()
    for at in {*range(total // 16, total, total // 8), 1, total - 1}:
        copy = CutCopy()
        copy.directions[direction].cut_after_bytes = copy.before[direction] + at
        copy.arrays.network.line("one", "other").is_down = not comes_back
        code, count = copy.run()
        counts.add(count)
        if comes_back:
            assert (code, count) == ("good", BLOCKS), "the path connects again within the time of the command"
        else:
            expected = {0: UNREACHABLE, BLOCKS: "good"}.get(count, CUT)
            assert (code, count % PART_BLOCKS) == (expected, 0)
            status = {0: 2, BLOCKS: 1}.get(count, 3)
            assert copy.arrays.redeemer.result(1) == (status, count)
            copy.arrays.network.line("one", "other").is_down = False
            copy.arrays.arrays.connect()
        copy.check(count)
    copy.arrays.assert_nothing_leaks()
    if not comes_back and direction:
        assert counts >= {0, PART_BLOCKS, BLOCKS - PART_BLOCKS}
