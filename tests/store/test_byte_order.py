"""Tests with golden bytes that a pool has the same bytes on machines of either byte order."""

import ast
import tomllib
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

import odx_target
from odx_target.store import byte_order
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.catalogue import node_codec
from odx_target.store.catalogue.node_codec import (
    decode_inner,
    decode_leaf,
    encode_inner,
    encode_leaf,
    node_name,
    sealed,
    unsealed,
)
from odx_target.store.log.batch import SHARED, decode_header, decode_shared_header, encode_header
from odx_target.store.log.footer import decode_table, decode_tail, encode_footer
from odx_target.store.log.records import Write, encode
from odx_target.store.map import leaf
from odx_target.store.map.inner import FAN_OUT, Inner
from odx_target.store.map.leaf import LEAF_BLOCKS, START_SHIFT, Epoch, Leaf

FIXTURES = tomllib.loads((Path(__file__).parents[2] / "fixtures" / "store.toml").read_text())

IDENTITY = bytes(range(0x10, 0x20))
SEGMENT = 7
EPOCH = 0x0908
OSN = 0x1122334455667788
NAME = node_name(0x0102030405060708)
CHECKSUMS = [0x01020304, 0xA0B0C0D0]
RUNS = [0x01020304, 5 << START_SHIFT, 9 << START_SHIFT | 0x0A0B0C0D0E0F]
PLACES = [0x010203040506, 0x0A0B0C0D0E0F] * (LEAF_BLOCKS // 2)
FEW_CHILDREN = [0x0102030405, 0x0102030406, *[0] * (FAN_OUT - 2)]
MANY_CHILDREN = [0x0102, 0x0A0B0C] * (FAN_OUT // 2)


def golden(name: str) -> bytes:
    parts = (part.partition("*") for part in FIXTURES[name]["data"].split())
    return b"".join(bytes.fromhex(text) * int(count or 1) for text, _, count in parts)


class ForeignArray(array):  # type: ignore[type-arg]
    """An array as on a machine of the other byte order: the same numbers, but swapped bytes."""

    def tobytes(self) -> bytes:
        swapped = array(self.typecode, self)
        swapped.byteswap()
        return swapped.tobytes()

    def frombytes(self, data: object) -> None:
        swapped = array(self.typecode)
        swapped.frombytes(data)  # type: ignore[arg-type]
        swapped.byteswap()
        self.extend(swapped)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        found = super().__getitem__(index)
        return ForeignArray(self.typecode, found) if isinstance(index, slice) else found


@pytest.fixture(params=["this", "the other"])
def row_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """Return the array type of this machine, or of a machine with the other byte order."""
    if request.param == "this":
        yield array
    else:
        monkeypatch.setattr(byte_order, "_SWAPS", not byte_order._SWAPS)
        for module in (byte_order, leaf, node_codec):
            monkeypatch.setattr(module, "array", ForeignArray)
        monkeypatch.setattr(node_codec, "HOLES", ForeignArray("Q", node_codec.HOLES))
        yield ForeignArray


def test_a_header(row_of: type) -> None:
    record = Write(2, 0x0807060504030201, 2)
    header, checksum = encode_header(
        IDENTITY,
        EPOCH,
        SEGMENT,
        3,
        OSN,
        0x1122334455667700,
        0xAABBCCDD,
        False,
        [encode(record)],
        row_of("I", CHECKSUMS),
        1,
    )
    assert bytes(header) == golden("batch_header")
    batch = decode_header(memoryview(golden("batch_header")), IDENTITY, SEGMENT, 3)
    assert (batch.epoch, batch.stream) == (EPOCH, 0)
    assert (batch.checksum, batch.records, list(batch.data_checksums)) == (checksum, [record], CHECKSUMS)


def test_a_shared_header(row_of: type) -> None:
    record = Write(2, 0x0807060504030201, 2)
    fields = IDENTITY, EPOCH, SEGMENT, 1, OSN, 0x1122334455667700, 0xAABBCCDD, SHARED
    header, checksum = encode_header(*fields, [encode(record)], row_of("I", CHECKSUMS), 2)
    assert bytes(header) == golden("shared_batch_header")
    slot = BLOCK_BYTES + 128
    batch = decode_shared_header(memoryview(golden("shared_batch_header")), IDENTITY, SEGMENT, slot)
    assert (batch.epoch, batch.block, batch.header_offset, batch.next_slot) == (EPOCH, 3, slot, slot + 128)
    assert (batch.checksum, batch.records, list(batch.data_checksums)) == (checksum, [record], CHECKSUMS)


def test_a_footer(row_of: type) -> None:
    footer = golden("footer")
    assert encode_footer(IDENTITY, SEGMENT, row_of("I", [0, *CHECKSUMS]), range(OSN, OSN + 1)) == footer
    tail = decode_tail(footer, IDENTITY, SEGMENT, 4)
    assert tail is not None
    assert (tail.first_osn, tail.last_osn) == (OSN, OSN)
    table = decode_table(tail, footer)
    assert table is not None
    assert list(table) == [0, *CHECKSUMS]


@pytest.mark.parametrize(("name", "entries"), [("packed_leaf", RUNS), ("dense_leaf", PLACES)])
def test_a_leaf(row_of: type, name: str, entries: list[int]) -> None:
    assert sealed(NAME, encode_leaf(Leaf(row_of("Q", entries), Epoch()))) == golden(name)
    assert list(decode_leaf(unsealed(NAME, golden(name)))) == entries


@pytest.mark.parametrize(("name", "numbers"), [("packed_inner", FEW_CHILDREN), ("dense_inner", MANY_CHILDREN)])
def test_an_inner_node(row_of: type, name: str, numbers: list[int]) -> None:
    present = {slot: number for slot, number in enumerate(numbers) if number}
    inner = Inner.over([(slot, kept_leaf(number)) for slot, number in present.items()], Epoch())
    assert sealed(NAME, encode_inner(inner)) == golden(name)
    assert decode_inner(unsealed(NAME, golden(name))).tolist() == numbers


def kept_leaf(number: int) -> Leaf:
    kept = Leaf(array("Q", [0]), Epoch())
    kept.stored = number
    return kept


def test_a_row_that_is_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        byte_order.from_disk("I", b"12345")


def formats(path: Path) -> list[str]:
    """List the format of every struct.Struct, pack and unpack in a source file that is a literal."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            is_struct = isinstance(node.func.value, ast.Name) and node.func.value.id == "struct"
            first = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
            if is_struct and isinstance(first, ast.Constant):
                found.append(str(first.value))
    return found


def test_every_structure_names_its_byte_order() -> None:
    sources = sorted(Path(odx_target.__file__).parent.rglob("*.py"))
    found = [(path.name, text) for path in sources for text in formats(path)]
    assert len(found) > 20
    assert [each for each in found if each[1][0] not in "<>!"] == []
