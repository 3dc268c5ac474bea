"""Packed commits have the same items, in the same order, as those that go through `shipping` one by one."""

from random import Random

import hypothesis.strategies as st
from hypothesis import given

from odx_target.replica.sync.limits import MAX_ITEM_BLOCKS
from odx_target.replica.sync.stream.items import MAX_ITEMS_BYTES, ItemKind, decode_shipment, put_body_head
from odx_target.replica.sync.stream.packing import pack
from odx_target.store.api import BLOCK_BYTES, Followed, Record, Remember, Unmap, Write

INDEX = {7: 0, 9: 2}
"""Indexes in the group by the numbers of the volumes. The volume 8 is in no group."""

KINDS = ["write", "write", "write", "other volume", "local", "unmap", "damaged"]
BLOCKS = memoryview(Random(1).randbytes(200 * BLOCK_BYTES))


def record_of(kind: str, number: int, count_blocks: int) -> tuple[Record, memoryview | None]:
    data = BLOCKS[number % 3 * BLOCK_BYTES :][: count_blocks * BLOCK_BYTES]
    match kind:
        case "unmap":
            return Unmap(7, number, count_blocks), memoryview(b"")
        case "local":
            return Remember("local", b""), memoryview(b"")
        case "other volume":
            return Write(8, number, count_blocks), data
    return Write(7 if number % 2 else 9, number, count_blocks), None if kind == "damaged" else data


def is_shipped(followed: Followed) -> bool:
    record = followed.record
    return record.volume in INDEX if isinstance(record, Write) else isinstance(record, Unmap)


def followed_records(commits: list[list[tuple[str, int]]], *, is_whole: bool = True) -> list[Followed]:
    found: list[Followed] = []
    for commit in commits:
        for at, (kind, count_blocks) in enumerate(commit):
            osn = len(found) + 1
            record, data = record_of(kind, osn, count_blocks)
            found.append(Followed(osn, 0, record, 0, data, at == len(commit) - 1))
    return found if is_whole else found[:-1]


def items_of(records: list[Followed]) -> list[tuple[int, int, bytes]]:
    """Return the writes of records that are not prepared: the volume, the block and the data, a part at a time."""
    found = []
    for each in records:
        if is_shipped(each):
            assert isinstance(each.record, Write)
            assert each.data is not None
            for at in range(0, each.record.count_blocks, MAX_ITEM_BLOCKS):
                part = each.data[at * BLOCK_BYTES : (at + MAX_ITEM_BLOCKS) * BLOCK_BYTES]
                found.append((INDEX[each.record.volume], each.record.block + at, bytes(part)))
    return found


commits_of_records = st.lists(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 3) | st.integers(1, 150)), min_size=1, max_size=4), max_size=6
)


@given(commits_of_records, st.booleans())
def test_packed_commits_have_the_same_items(commits: list[list[tuple[str, int]]], is_whole: bool) -> None:
    records = followed_records(commits, is_whole=is_whole)
    packed = pack(records, INDEX, is_shipped)
    end = 0
    for each in packed:
        if each.prepared is None:
            break
        begin, end = end, each.osn
        assert records[end - 1].ends_commit
        found = []
        for body in each.prepared:
            put_body_head(body, begin, end)
            shipment = decode_shipment(body)
            assert (shipment.previous_osn, shipment.reach_osn) == (begin, end)
            assert sum(item.size_bytes for item in shipment.items) <= MAX_ITEMS_BYTES
            assert {item.kind for item in shipment.items} == {ItemKind.WRITE}
            found += [(item.volume, item.block, bytes(item.data)) for item in shipment.items]
        assert found == items_of(records[begin:end])
    rest = [each for each in packed if each.prepared is None]
    assert rest == records[end:]
    if rest and any(each.ends_commit for each in rest):
        first = rest[: 1 + [each.ends_commit for each in rest].index(True)]
        assert any(is_shipped(each) and (each.data is None or isinstance(each.record, Unmap)) for each in first)


def test_small_commits_share_a_body_and_a_large_one_has_several() -> None:
    small = pack(followed_records([[("write", 2)]] * 10), INDEX, is_shipped)
    assert [(each.osn, len(each.prepared or ())) for each in small] == [(10, 1)]
    large = pack(followed_records([[("write", 2)], [("write", 60), ("write", 60)], [("write", 2)]]), INDEX, is_shipped)
    assert [(each.osn, len(each.prepared or ())) for each in large] == [(1, 1), (3, 2), (4, 1)]
    assert pack(followed_records([[("other volume", 2)], [("local", 1)]]), INDEX, is_shipped)[0].prepared == ()
