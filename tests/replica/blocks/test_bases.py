"""Tests of fills with a base: only the differences from it are offered, and they are equal in the end."""

import pytest

from odx_target.replica.blocks import part_finder
from odx_target.replica.blocks.fill import Fill
from odx_target.replica.blocks.requests import HOLES
from odx_target.replica.paths.exchange import RequestDenied
from tests.replica.blocks.filling import BLOCKS, SIZE, Filling
from tests.sim.network import SimulatedLink


class Differing(Filling):
    """The receiver has the snapshot already, and receives a newer one."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.run(self.fill())
        random = self.world.random
        self.source = self.other.pool.volumes["source"]
        self.changed = dict.fromkeys(random.sample(range(SIZE), 20), b"changed " * 512)
        self.write(self.other, self.source, self.changed)
        self.source.unmap(min(self.content), 1)
        self.newer = self.source.snapshot("newer")
        self.world.run(self.other.environment, self.other.pool.committed())

    def difference(self, base: bytes | None = None) -> Fill:
        fill = self.fill(self.newer)
        fill.base = self.snapshot.guid if base is None else base
        return fill


@pytest.mark.parametrize("seed", range(3))
def test_only_the_differences_from_a_base_are_offered(seed: int) -> None:
    filling = Differing(seed)
    fill = filling.difference()
    (totals,) = filling.run(fill)
    filling.assert_equal(fill)
    assert totals.offered_blocks <= 20
    assert fill.next_block == SIZE
    assert filling.fill(filling.newer).next_block is None, "the mark of another base says nothing"


def test_equal_snapshots_need_one_offer_without_blocks() -> None:
    filling = Differing(4)
    filling.run(filling.difference())
    again = filling.source.snapshot("again")
    fill = filling.fill(again)
    fill.base = filling.newer.guid
    before = filling.arrays.ours.status.received_bytes
    (totals,) = filling.run(fill)
    filling.assert_equal(fill)
    assert totals.offered_blocks == 0
    assert filling.arrays.ours.status.received_bytes - before < 3000


def test_a_snapshot_that_has_grown_since_its_base() -> None:
    filling = Differing(5)
    filling.run(filling.difference())
    filling.source.resize(SIZE + 1500)
    filling.write(filling.other, filling.source, {SIZE + 1400: b"beyond  " * 512})
    grown = filling.source.snapshot("grown")
    filling.volume().resize(SIZE + 1500)
    fill = filling.fill(grown)
    fill.base = filling.newer.guid
    filling.world.run(filling.one.environment, fill.run(0, SIZE + 1500))
    filling.assert_equal(fill)


def test_a_volume_of_holes_gets_no_offers_of_holes() -> None:
    filling = Filling(6)
    fill = filling.fill()
    fill.base = HOLES
    (totals,) = filling.run(fill)
    filling.assert_equal(fill)
    assert totals.offered_blocks == BLOCKS


def test_a_base_that_the_sender_does_not_have() -> None:
    filling = Differing(7)
    with pytest.raises(RequestDenied) as caught:
        filling.run(filling.difference(b"?" * 16))
    assert caught.value.code == "absent"


@pytest.mark.parametrize("seed", range(3))
def test_differences_that_are_cut_anywhere(seed: int) -> None:
    filling = Differing(seed + 30)
    random = filling.world.random
    cuts = 3

    def plan(link: SimulatedLink) -> None:
        nonlocal cuts
        if cuts:
            cuts -= 1
            link.ends[random.choice([0, 1])].outgoing.cut_after_bytes = random.randrange(60_000)

    filling.arrays.network.on_connection = plan
    filling.arrays.used.cut()
    fill = filling.difference()
    filling.run(fill)
    filling.assert_equal(fill)


def test_a_long_search_without_differences_shows_that_the_sender_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the receiver would end the exchange after `MAX_WAIT_S`, and begin again at the same block for ever."""
    filling = Differing(8)
    filling.run(filling.difference())
    again = filling.source.snapshot("again")
    monkeypatch.setattr(part_finder, "MAX_SILENCE_S", 0.0)
    fill = filling.fill(again)
    fill.base = filling.newer.guid
    parts: list[int] = []
    fill.on_part = lambda: parts.append(1)
    (totals,) = filling.run(fill)
    filling.assert_equal(fill)
    assert totals.offered_blocks == 0
    assert len(parts) == 3, "all parts of the volume"
