"""Tests of the limits of tokens between arrays, and of peers that break the rules."""

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from odx_target.copymgr.commands.parameter_lists import Range as RodRange
from odx_target.copymgr.tokens.rod_source import FrozenRod
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.remote_tokens import redeemer, remote_token, token_server
from odx_target.replica.remote_tokens.messages import OPENED_FIELDS, open_request, read_opened, token_in
from odx_target.replica.remote_tokens.rod_blocks import RodBlocks
from odx_target.store.api import BLOCK_BYTES, PoolBusy, PoolFull
from tests.copymgr.array import code_of
from tests.replica.remote_tokens.arrays import TokenArrays
from tests.replica.remote_tokens.play import content
from tests.sim.simulated_array import SimulatedArray

MODULE = "odx_target.replica.remote_tokens"


def filled(seed: int, size_bytes: int = 1 << 20, size_blocks: int = 2048) -> tuple[TokenArrays, bytes]:
    """Return two arrays, and the content of the beginning of LUN 0 of the maker."""
    arrays = TokenArrays(seed, size_blocks=size_blocks)
    data = arrays.world.random.randbytes(size_bytes)
    for at in range(0, size_bytes, 1 << 20):
        arrays.maker.write(0, at // 512, data[at : at + (1 << 20)])
    return arrays, data


def ask(arrays: TokenArrays, document: Mapping[str, Json]) -> Mapping[str, Json]:
    """Send a request to the maker, and return its answer."""

    async def exchange() -> Mapping[str, Json]:
        link = arrays.arrays.ours.link
        assert link is not None
        opened = await link.request(document, TrafficClass.TOKEN)
        answer = await opened.answered()
        opened.close()
        return answer

    return arrays.world.run(arrays.redeemer.array.environment, exchange(), 30.0)


def denied(arrays: TokenArrays, document: Mapping[str, Json]) -> str:
    with pytest.raises(RequestDenied) as caught:
        ask(arrays, document)
    return caught.value.code


def test_a_path_can_have_only_some_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_server, "MAX_LEASES", 2)
    arrays, _ = filled(1)
    tokens = [arrays.maker.token(0, [(0, 8)]) for _ in range(3)]
    answers = [ask(arrays, open_request(token, "iqn.a", b"")) for token in tokens[:2]]
    assert ask(arrays, open_request(tokens[0], "iqn.a", b""))["lease"] == answers[0]["lease"], "it has this lease already"
    assert denied(arrays, open_request(tokens[2], "iqn.a", b"")) == "busy"
    ask(arrays, {"request": "close-token", "lease": answers[0]["lease"], "delete": 0})
    ask(arrays, open_request(tokens[2], "iqn.a", b""))
    arrays.assert_nothing_leaks()


def test_a_lease_belongs_to_its_path() -> None:
    arrays, _ = filled(2)
    answer = ask(arrays, open_request(arrays.maker.token(0, [(0, 8)]), "iqn.a", b""))
    (lease,) = arrays.maker.tokens.leases._leases.values()
    lease.path_name = "another"
    for request in ("close-token", "token-blocks"):
        assert denied(arrays, {"request": request, "lease": answer["lease"], "delete": 1, "first": 0, "count": 1}) == "lease"
    lease.path_name = "one"
    assert denied(arrays, {"request": "token-blocks", "lease": answer["lease"], "first": 0, "count": 2}) == "range"
    arrays.assert_nothing_leaks()


@pytest.mark.parametrize("delete", [0, 1])
def test_the_data_of_a_closed_lease_stays_until_it_is_sent(delete: int, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, _ = filled(3)
    arrays.network.line("one", "other").bytes_per_s = 200_000
    token = arrays.maker.token(0, [(0, 2048)])
    begun = arrays.redeemer.begin_using(0, token, [(0, 2048)])
    arrays.world.advance(1.0)
    (lease,) = arrays.maker.tokens.leases._leases.values()
    assert lease.requests == 1
    arrays.maker.tokens.leases.end(lease, delete=bool(delete))
    live = arrays.maker.manager.copies.tokens.live
    assert (lease.token.identifier in live) is not bool(delete)
    assert lease.token.leases == 1
    assert code_of(arrays.redeemer.reply(begun)) in ("A/0D/04", "A/0D/02", "good")
    arrays.network.line("one", "other").bytes_per_s = None
    arrays.assert_nothing_leaks()
    arrays.maker.tokens.leases.end_all()


def test_read_ahead_is_bounded_for_each_token_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    mebibyte = 1 << 20
    for name, value in (("MIN_READ_AHEAD_BYTES", 1), ("MAX_READ_AHEAD_BYTES", 2), ("MAX_ALL_READ_AHEAD_BYTES", 3)):
        monkeypatch.setattr(redeemer, name, value * mebibyte)
    arrays, _ = filled(4, 6 * mebibyte)
    tokens = [arrays.maker.token(0, [(0, 12288)]) for _ in range(3)]
    staged = []
    for token, blocks in zip(tokens, (8, 8192, 8), strict=True):
        assert code_of(arrays.redeemer.using(0, token, [(0, blocks)])) == "good"
        arrays.world.advance(3.0)
        found = arrays.redeemer.redeemer._tokens[token]
        assert found.staged is not None
        staged.append(found.staged.end_of_arrived(0) * BLOCK_BYTES - blocks * 512)
    assert staged[0] == mebibyte, "at least the minimum"
    assert staged[1] == 2 * mebibyte, "at most the maximum"
    assert staged[2] <= 0, "all tokens together have their maximum"
    assert code_of(arrays.redeemer.using(0, tokens[0], [(0, 8)], offset_into_rod=8)) == "good"
    assert sum(each.ahead_bytes for each in arrays.redeemer.redeemer._tokens.values()) <= 3 * mebibyte
    arrays.assert_nothing_leaks()


def test_tokens_that_are_not_used_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redeemer, "MAX_UNUSED_TOKENS", 3)
    arrays, _ = filled(5)
    tokens = [arrays.maker.token(0, [(number, 8)]) for number in range(6)]
    for token in tokens:
        assert code_of(arrays.redeemer.using(0, token, [(0, 8)])) == "good"
        arrays.world.advance(0.2)
    assert list(arrays.redeemer.redeemer._tokens) == tokens[3:]
    assert len(arrays.maker.tokens.leases) == len(arrays.redeemer.staging_volumes) == 3
    arrays.assert_nothing_leaks()


def test_requests_for_data_are_bounded_for_each_token_and_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_token, "MAX_PULL_BLOCKS", 8)
    monkeypatch.setattr(redeemer, "MAX_PATH_PULLS", 3)
    arrays, data = filled(6)
    tokens = [arrays.maker.token(0, [(0, 2048)]) for _ in range(4)]
    arrays.network.line("one", "other").bytes_per_s = 400_000
    begun = [arrays.redeemer.begin_using(0, token, [(0, 256)], identifier=at) for at, token in enumerate(tokens)]
    most = 0

    def note() -> None:
        nonlocal most
        counts = [len(each.pulls) for each in arrays.redeemer.redeemer._tokens.values()]
        assert max(counts, default=0) <= remote_token.MAX_PULLS
        most = max(most, sum(counts))

    arrays.world.checks.append(note)
    assert {code_of(arrays.redeemer.reply(each)) for each in begun} <= {"good", "A/0D/04"}
    assert most == 3
    arrays.network.line("one", "other").bytes_per_s = None
    assert code_of(arrays.redeemer.using(0, tokens[0], [(0, 2048)])) == "good"
    assert arrays.redeemer.read(0, 0, 2048) == data
    arrays.assert_nothing_leaks()


def test_two_commands_use_one_token_at_the_same_time() -> None:
    arrays, data = filled(7, 3 << 20)
    token = arrays.maker.token(0, [(0, 6144)])
    begun = [
        arrays.redeemer.begin_using(0, token, [(start, 3000)], offset_into_rod=start, identifier=start)
        for start in (3144, 0, 1500)
    ]
    assert {code_of(arrays.redeemer.reply(each)) for each in begun} == {"good"}
    assert arrays.redeemer.read(0, 0, 6144) == data
    assert arrays.redeemer.redeemer.link_bytes("other") < len(data) * 1.05
    arrays.assert_nothing_leaks()


@pytest.mark.parametrize("error", [PoolFull("no room"), PoolBusy("busy")])
def test_a_pool_without_room_for_the_data(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, data = filled(8)
    token = arrays.maker.token(0, [(0, 2048)])
    pool, failures = arrays.redeemer.array.pool, 1
    create = pool.create_volume

    def fail(*arguments: Any, **named: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise error
        return create(*arguments, **named)

    monkeypatch.setattr(pool, "create_volume", fail)
    expected = "good" if isinstance(error, PoolBusy) else "7/27/07"
    assert code_of(arrays.redeemer.using(0, token, [(0, 2048)])) == expected
    assert code_of(arrays.redeemer.using(0, token, [(0, 2048)])) == "good"
    assert arrays.redeemer.read(0, 0, 2048) == data
    arrays.assert_nothing_leaks()


def test_poisoned_hints_are_harmless() -> None:
    arrays, data = filled(9)
    assert code_of(arrays.redeemer.using(0, arrays.maker.token(0, [(0, 2048)]), [(0, 2048)])) == "good"
    hints = arrays.redeemer.redeemer._hints.of(arrays.arrays.ours.settings.secret)
    hints._places[...] = hints._places[::-1].copy() * 3 % (1 << 12)
    arrays.maker.write(0, 4096, data)
    assert code_of(arrays.redeemer.using(1, arrays.maker.token(0, [(4096, 2048)]), [(100, 256)])) == "good"
    assert arrays.redeemer.read(1, 100, 256) == data
    arrays.assert_nothing_leaks()


GARBAGE: list[dict[str, Json]] = [
    {},
    {"lease": "00" * 16, "size_bytes": 1 << 63, "block_bytes": 512, "rod_type": 0},
    {"lease": "00", "size_bytes": 512, "block_bytes": 512, "rod_type": 0},
    {"lease": "00" * 16, "size_bytes": 512, "block_bytes": 0, "rod_type": 0},
    {"lease": "00" * 16, "size_bytes": 512, "block_bytes": 512, "rod_type": "x"},
]


@pytest.mark.parametrize("answer", GARBAGE)
def test_a_maker_that_answers_garbage(answer: dict[str, Json]) -> None:
    arrays, _ = filled(10)
    token = arrays.maker.token(0, [(0, 8)])

    async def serve(_array: SimulatedArray, _path: Path, exchange: Exchange, _document: Mapping[str, Json]) -> None:
        exchange.answer(answer)

    arrays.maker.array.serve = serve
    assert code_of(arrays.redeemer.using(0, token, [(0, 8)])) == "A/0D/02"
    arrays.assert_nothing_leaks()


def test_a_maker_that_changes_the_size_of_a_token() -> None:
    arrays, _ = filled(11)
    token, served = arrays.maker.token(0, [(0, 64)]), arrays.maker.array.serve
    assert code_of(arrays.redeemer.using(0, token, [(0, 8)])) == "good"

    async def serve(array: SimulatedArray, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        if document["request"] == "open-token":
            exchange.answer({"lease": "00" * 16, "size_bytes": 1 << 20, "block_bytes": 512, "rod_type": 0x800000})
        else:
            await served(array, path, exchange, document)

    arrays.maker.array.serve = serve
    assert code_of(arrays.redeemer.using(0, token, [(0, 8)], offset_into_rod=100)) == "A/0D/02"
    arrays.assert_nothing_leaks()


def test_a_token_is_sent_as_texts_and_is_never_in_a_message() -> None:
    token = Random(1).randbytes(512)
    document: Any = open_request(token, "iqn." + "x" * 300, bytes(30))
    assert token_in(document["token"]) == token
    assert len(document["initiator"]) <= 255
    for wrong in (document["token"][:7], [*document["token"][:7], "00"], [*document["token"][:7], "zz" * 64]):
        with pytest.raises(PeerFault) as caught:
            token_in(wrong)
        assert document["token"][0] not in str(caught.value)
    with pytest.raises(PeerFault, match="size_bytes"):
        read_opened({field.name: "00" * 16 for field in OPENED_FIELDS})


@pytest.mark.parametrize("seed", range(6))
def test_the_blocks_of_a_token_are_those_of_its_bytes(seed: int) -> None:
    random = Random(seed)
    arrays, _ = filled(12, 512)
    pool, environment = arrays.maker.array.pool, arrays.maker.array.environment
    volume = pool.create_volume("source", 300, {})
    data = bytearray(300 * BLOCK_BYTES)
    for block in random.sample(range(300), random.choice([0, 5, 150, 300])):
        data[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES] = written = content(random, BLOCK_BYTES)
        volume.write(block, [written])
    pool.commit()
    ranges, at = [], random.randrange(20)
    while at < 2300 and len(ranges) < 5:
        count = random.randint(1, 700)
        ranges.append(RodRange(at, min(count, 2400 - at)))
        at += count + random.randrange(50)
    rod = FrozenRod.of_ranges(volume.freeze(), ranges, 512)
    expected = b"".join(bytes(data[lba * 512 : (lba + count) * 512]) for lba, count in ranges)
    blocks = RodBlocks(rod)
    expected = expected.ljust(blocks.size_blocks * BLOCK_BYTES, b"\0")
    found, block = bytearray(), 0
    while block < blocks.size_blocks:
        runs = list(blocks.extents(block))
        for first, count, is_mapped in runs:
            assert first == block
            part = arrays.world.run(environment, blocks.read(first, count)) if is_mapped else [bytes(count * BLOCK_BYTES)]
            found += b"".join(part)
            block += count
    assert found == expected
    now = blocks.read_now(0, blocks.size_blocks)
    assert now is None or b"".join(now) == expected
    rod.release()
