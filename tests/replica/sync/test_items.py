"""Tests of the bodies of SHIP: every item survives the link, and a hostile body is refused with one line."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.link.errors import PeerFault
from odx_target.replica.sync.limits import MAX_ITEM_BLOCKS
from odx_target.replica.sync.stream.items import MAX_ITEMS_BYTES, SOURCE, Item, ItemKind, decode_shipment, encode_shipment
from odx_target.store.api import BLOCK_BYTES

NUMBERS = st.integers(0, (1 << 64) - 1)
BLOCK = bytes(range(256)) * 16
COUNT_VOLUMES = 3


def items() -> st.SearchStrategy[Item]:
    volumes = st.integers(0, COUNT_VOLUMES - 1)
    writes = st.builds(
        lambda volume, block, count: Item(ItemKind.WRITE, volume, block, count, data=BLOCK * count),
        volumes,
        NUMBERS,
        st.integers(1, 3),
    )
    documents = st.builds(
        lambda volume, data: Item(ItemKind.DOCUMENT, volume, count_blocks=len(data), data=data), volumes, st.binary(max_size=50)
    )
    clones = st.builds(
        lambda volume, block, count, source: Item(ItemKind.CLONE, volume, block, count, 7, SOURCE.pack(source)),
        volumes,
        NUMBERS,
        NUMBERS,
        NUMBERS,
    )
    bare = [ItemKind.UNMAP, ItemKind.RESIZE, ItemKind.FREEZE, ItemKind.RELEASE]
    others = st.tuples(st.sampled_from(bare), volumes, NUMBERS, NUMBERS, NUMBERS).map(lambda fields: Item(*fields))
    return st.one_of(writes, documents, clones, others)


@given(NUMBERS, NUMBERS, st.lists(items(), max_size=6))
def test_a_shipment_survives_the_link(previous: int, reach: int, shipped: list[Item]) -> None:
    found = decode_shipment(encode_shipment(previous, reach, shipped), COUNT_VOLUMES)
    assert found == (previous, reach, tuple(each._replace(data=bytes(each.data)) for each in shipped))


@given(st.lists(items(), max_size=3), st.data())
def test_a_damaged_body_is_a_fault_of_the_peer_or_another_shipment(shipped: list[Item], data: st.DataObject) -> None:
    body = bytearray(encode_shipment(1, 2, shipped))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    del body[data.draw(st.integers(0, len(body))) :]
    with suppress(PeerFault):
        decode_shipment(bytes(body), COUNT_VOLUMES)


@pytest.mark.parametrize("count", [0, MAX_ITEM_BLOCKS + 1, 1 << 60])
def test_an_item_writes_no_other_number_of_blocks(count: int) -> None:
    with pytest.raises(PeerFault, match=f"writes {count} blocks"):
        decode_shipment(encode_shipment(1, 1, [Item(ItemKind.WRITE, 0, 0, count, data=b"")]), 1)


def test_the_largest_write_fits_into_one_frame() -> None:
    item = Item(ItemKind.WRITE, 0, 0, MAX_ITEM_BLOCKS, data=bytes(MAX_ITEM_BLOCKS * BLOCK_BYTES))
    assert item.size_bytes <= MAX_ITEMS_BYTES
    assert decode_shipment(encode_shipment(0, 1, [item]), 1).items == (item,)


def test_an_item_names_a_volume_of_the_group() -> None:
    with pytest.raises(PeerFault, match="about volume 3, and a group has at most 3"):
        decode_shipment(encode_shipment(1, 1, [Item(ItemKind.UNMAP, 3)]), 3)
