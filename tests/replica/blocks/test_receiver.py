"""Tests of the receiver: wrong hints and damaged data of its own never leave wrong data."""

from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

import pytest

from odx_target.replica.blocks import receiver
from odx_target.replica.blocks.limits import MAX_OFFER_BLOCKS, MAX_OFFERS, MAX_WAIT_S
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import ChannelEnded
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.path import Path
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, Volume
from tests.replica.blocks import filling as arrays
from tests.replica.blocks.filling import BLOCKS, SIZE, Filling
from tests.sim.simulated_array import SimulatedArray


@pytest.mark.parametrize("seed", range(2))
def test_poisoned_hints_are_harmless(seed: int) -> None:
    filling = Filling(seed + 300)
    random = filling.world.random
    filling.run(filling.fill())
    places = filling.hints._places
    places[...] = random.choice([0, 1, 1 << 20]) + (places * random.choice([1, 3])) % (1 << 20)
    random_rows = random.sample(range(len(places)), len(places) // 2)
    places[random_rows] = places[random_rows[::-1]]
    moved = {(block + 1) % SIZE: data for block, data in filling.content.items()}
    again = filling.fill(filling.snapshot_of("moved", moved), "second")
    filling.run(again)
    filling.assert_equal(again)


def test_hints_that_find_other_data_with_the_same_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    filling = Filling(9)
    filling.run(filling.fill())
    for module in ("sender", "receiver"):
        name = f"odx_target.replica.blocks.{module}.checksums_of_blocks"
        monkeypatch.setattr(name, lambda data, size_bytes: [0x1234] * (len(data) // size_bytes))
    moved = {(block + 1) % SIZE: data for block, data in filling.content.items()}
    again = filling.fill(filling.snapshot_of("moved", moved), "second")
    (totals,) = filling.run(again)
    assert totals.linked_blocks == 0
    filling.assert_equal(again)


def test_linked_data_that_is_damaged_is_received_again(monkeypatch: pytest.MonkeyPatch) -> None:
    filling = Filling(14)
    filling.run(filling.fill())
    moved = {(block + 7) % SIZE: data for block, data in filling.content.items()}
    again = filling.fill(filling.snapshot_of("moved", moved), "second")
    volume, read = again.volume, type(again.volume).read

    def damaged(self: Volume, block: int, count_blocks: int) -> Any:
        if self is volume:
            raise DamagedBlock(block)
        return read(self, block, count_blocks)

    with monkeypatch.context() as patch:
        patch.setattr(type(volume), "read_now", lambda *_: None)
        patch.setattr(type(volume), "read", damaged)
        (totals,) = filling.run(again)
    filling.assert_equal(again)
    assert totals.linked_blocks == 0
    assert totals.received_blocks + totals.repeated_blocks == BLOCKS


def test_parts_with_equal_blocks_do_not_keep_each_other_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    filling = Filling(21)
    alive: WeakSet[receiver._Part] = WeakSet()
    numbers = []

    class Part(receiver._Part):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            alive.add(self)
            numbers.append(len(alive))

    parts = 3 * MAX_OFFERS
    monkeypatch.setattr(arrays, "SIZE", parts * MAX_OFFER_BLOCKS)
    monkeypatch.setattr(receiver, "_Part", Part)
    content = {}
    for part in range(1, parts):  # The last block of each part is equal to the first block of the next one.
        block = part * MAX_OFFER_BLOCKS
        content[block - 1] = content[block] = filling.world.random.randbytes(BLOCK_BYTES)
    fill = filling.fill(filling.snapshot_of("chain", content), "second")
    (totals,) = filling.run(fill)
    filling.assert_equal(fill)
    assert totals.repeated_blocks > parts // 2
    assert max(numbers) <= MAX_OFFERS + 1


@pytest.mark.parametrize("is_answered", [False, True])
def test_a_sender_that_stops_frees_the_receiver(is_answered: bool) -> None:
    """It keeps the connection alive, but sends no answer or no OFFER."""
    filling = Filling(5)
    serve = filling.other.serve

    async def serve_nothing(_array: SimulatedArray, _path: Path, exchange: Exchange, _document: Mapping[str, Json]) -> None:
        if is_answered:
            exchange.answer({})
        await exchange.receive()

    filling.other.serve = serve_nothing
    fill = filling.fill()
    link = filling.world.run(filling.one.environment, filling.arrays.ours.opened())
    begun_s = filling.world.now_s
    with pytest.raises(ChannelEnded, match="has not continued"):
        filling.world.run(filling.one.environment, fill.attempt(link, 0, SIZE), 1000.0)
    assert MAX_WAIT_S <= filling.world.now_s - begun_s < MAX_WAIT_S + 10
    assert filling.arrays.ours.link is link
    assert link.ended is None
    filling.other.serve = serve
    filling.run(fill)
    filling.assert_equal(fill)
