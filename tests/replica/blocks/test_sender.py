"""Tests of the sender: when it offers fingerprints, how it compresses, and a snapshot that is deleted meanwhile."""

from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from odx_target.replica.blocks.compression import PathCompression
from odx_target.replica.blocks.limits import MAX_WAIT_S
from odx_target.replica.blocks.sender import BlockSender, OfferPolicy, _Contents
from odx_target.replica.link import trial
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.kinds import NO_FLAGS, Flag, Kind
from odx_target.replica.link.throttle import Rates
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.settings import CompressionChoice
from odx_target.store.api import BLOCK_BYTES, Absent
from tests.replica.blocks.filling import SIZE, Filling


def test_fingerprints_are_not_offered_while_they_find_nothing() -> None:
    policy = OfferPolicy()
    for _ in range(15):
        policy.note_answer(1024, 10)
        assert policy.is_on
    policy.note_answer(1024, 10)
    assert not policy.is_on
    for _ in range(63):
        policy.note_unasked(1024)
        assert not policy.is_on
    policy.note_unasked(1024)
    assert policy.is_on
    for _ in range(40):
        policy.note_answer(1024, 30)
        assert policy.is_on


@pytest.mark.parametrize("seed", range(4))
def test_the_data_of_any_blocks_of_a_part_is_joined(seed: int) -> None:
    random, contents, blocks, index = Random(seed), _Contents(1024), dict[int, bytes](), 0
    while index < 900:
        added = [random.randbytes(4) * (BLOCK_BYTES // 4) for _ in range(random.choice([1, 1, 2, 40]))]
        contents.add(index, memoryview(b"".join(added)))
        blocks.update(enumerate(added, index))
        index += len(added) + random.choice([0, 0, 1, 30])
    assert contents.indexes == list(blocks)
    for count in (0, 1, 2, 64, len(blocks)):
        indexes = sorted(random.sample(list(blocks), count))
        assert bytes(contents.joined(indexes)) == b"".join(blocks[each] for each in indexes)


def test_a_snapshot_that_is_deleted_while_it_is_sent() -> None:
    """It has no blocks any more, and the sender must not wait for them."""
    filling = Filling(12)
    filling.snapshot.delete()
    environment, exchange = filling.other.environment, cast(Exchange, SimpleNamespace())
    compression = PathCompression(filling.arrays.theirs)
    sender = BlockSender(exchange, filling.snapshot, bytes(32), compression, environment)
    with pytest.raises(Absent):
        filling.world.run(environment, sender.run(0, SIZE))


def test_a_receiver_that_stops_frees_the_sender() -> None:
    """It keeps the connection alive, but answers no OFFER."""
    filling = Filling(13)

    async def request() -> tuple[int, str]:
        link = await filling.arrays.ours.opened()
        document: dict[str, Json] = {"request": "blocks", "snapshot": filling.snapshot.guid.hex(), "first": 0, "count": SIZE}
        exchange = await link.request(document, TrafficClass.SNAPSHOT)
        frames = 0
        while await exchange.receive() is not None:
            frames += 1
        return frames, "closed"

    begun_s = filling.world.now_s
    assert filling.world.run(filling.one.environment, request(), 1000.0) == (3, "closed")
    assert MAX_WAIT_S <= filling.world.now_s - begun_s < MAX_WAIT_S + 10
    assert filling.arrays.theirs.link is not None
    filling.run(fill := filling.fill())
    filling.assert_equal(fill)


@pytest.mark.parametrize(
    ("choice", "line_bytes_per_s", "throttle", "flags"),
    [
        ("auto", None, None, {Flag.LZ4}),
        ("auto", 20_000_000.0, None, {Flag.LZ4, Flag.ZSTANDARD}),
        ("auto", None, 4_000_000, {Flag.LZ4, Flag.ZSTANDARD}),
        ("auto", None, 200_000_000, {Flag.LZ4}),
        ("lan", 20_000_000.0, None, {Flag.LZ4}),
        ("wan", None, None, {Flag.ZSTANDARD}),
        ("off", None, None, {NO_FLAGS}),
    ],
)
def test_the_compression_fits_the_rate_of_the_path(
    monkeypatch: pytest.MonkeyPatch, choice: str, line_bytes_per_s: float | None, throttle: int | None, flags: set[Flag]
) -> None:
    """With `auto`, a slow line is noticed after the first bytes."""
    monkeypatch.setattr(trial, "TRIAL_BYTES", 600_000)
    filling = Filling(30)
    content = {block: filling.world.random.randbytes(2048) * 2 for block in range(SIZE)}
    snapshot = filling.snapshot_of("compressible", content)
    theirs = filling.arrays.theirs.settings
    changed = replace(theirs, compression=CompressionChoice(choice), rates=Rates(throttle))
    filling.other.paths.change(changed)
    filling.other.pool.commit()
    line = filling.arrays.network.line("one", "other")
    line.min_delay_s, line.max_delay_s, line.bytes_per_s = 1e-6, 1e-5, line_bytes_per_s
    seen: set[Flag] = set()
    send = Exchange.send

    def noted(self: Exchange, kind: Kind, argument: int = 0, body: Any = b"", flags: Flag = NO_FLAGS) -> None:
        if kind is Kind.DATA:
            seen.add(flags)
        send(self, kind, argument, body, flags)

    monkeypatch.setattr(Exchange, "send", noted)
    fill = filling.fill(snapshot)
    filling.run(fill)
    filling.assert_equal(fill)
    assert seen == flags
