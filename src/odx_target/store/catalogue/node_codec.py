"""The encoding of tree nodes in a catalogue.

The *body* of a node is its encoded form. The first byte of a body gives the kind of the node. Numbers of 64 bits follow. In a
leaf, they are the places of its blocks. In an inner node, they are the numbers of its children. The numbers are stored in one
of two forms:

- *packed*: 8 bytes, little-endian, for each run of consecutive numbers;
- *dense*: byte 0 of all 1,024 numbers, then byte 1 of all numbers, and so on. The last of these rows are left out if they are
  zero.

Every body is stored under a name, and is followed by a seal: a CRC32C over the name and the body. The seal detects a changed
bit, and a body that is stored under a wrong name.
"""

from array import array
from functools import cache

from odx_target.native.checksum import crc32c
from odx_target.store.byte_order import disk_bytes, from_disk
from odx_target.store.errors import PoolDamaged
from odx_target.store.map.inner import FAN_OUT, Inner
from odx_target.store.map.leaf import HOLES, LEAF_BLOCKS, PLACE_MASK, RUNS_TO_PACK, START_SHIFT, Entries, Leaf, is_sound
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.places import Places

PACKED_LEAF, DENSE_LEAF, PACKED_INNER, DENSE_INNER = 1, 2, 3, 4

SEAL_BYTES = 4

MAX_NAMED_CHARACTERS = 80
"""Largest number of characters of a damaged key that an error shows. Damage may make a key very long."""

_WORD_BYTES = 8
_ZERO_PLANE = bytes(LEAF_BLOCKS)


@cache
def _slots() -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    return np.arange(FAN_OUT, dtype=np.uint64)


def sealed(name: bytes, body: bytes) -> bytes:
    return body + crc32c(body, crc32c(name)).to_bytes(SEAL_BYTES, "little")


def unsealed(name: bytes, data: object) -> bytes:
    """Check the seal of a body, and return the body without the seal. Raises PoolDamaged if the seal does not match the name
    and the body.
    """
    if not isinstance(data, bytes):
        raise PoolDamaged("a node or value that the catalogue must contain is missing")
    body = data[:-SEAL_BYTES]
    if len(data) < SEAL_BYTES or crc32c(body, crc32c(name)) != int.from_bytes(data[-SEAL_BYTES:], "little"):
        raise PoolDamaged("a part of the catalogue does not match its checksum")
    return body


def unsealed_row(key: object, data: object) -> bytes:
    """Check the seal of a body that is stored under a key, and return the body without the seal. Raises PoolDamaged, which
    names the key, if the key is not text, or if the seal does not match the key and the body.
    """
    named = f"stored under {key!r:.{MAX_NAMED_CHARACTERS}}"
    if not isinstance(key, str):
        raise PoolDamaged(f"the catalogue has a key that is not text: a value is {named}")
    try:
        return unsealed(key.encode(), data)
    except PoolDamaged as error:
        raise PoolDamaged(f"{error}: {named}") from None


def node_name(number: int) -> bytes:
    return number.to_bytes(_WORD_BYTES, "little")


def encode_leaf(leaf: Leaf) -> bytes:
    """Encode a leaf. If the packed form is smaller, the entries of the leaf in memory are packed too."""
    leaf.pack()
    entries = leaf.entries
    if len(entries) == LEAF_BLOCKS:
        return bytes([DENSE_LEAF]) + _dense_bytes(entries)
    return bytes([PACKED_LEAF]) + disk_bytes(entries)


def encode_inner(inner: Inner) -> bytes:
    """Encode an inner node. The children must already have numbers."""
    children = inner.present()
    runs = _runs_of([(slot, child.stored) for slot, child in children])
    if len(runs) <= RUNS_TO_PACK:
        return bytes([PACKED_INNER]) + disk_bytes(array("Q", runs))
    numbers = HOLES[:]
    for slot, child in children:
        numbers[slot] = child.stored
    return bytes([DENSE_INNER]) + _dense_bytes(numbers)


def decode_leaf(body: bytes) -> Entries:
    """Decode the entries of a leaf. Raises PoolDamaged."""
    return _decoded(body, PACKED_LEAF, DENSE_LEAF)


def decode_inner(body: bytes) -> Places:
    """Decode an inner node. Returns the number of the child in each slot, or 0 if there is none. Raises PoolDamaged."""
    entries = np.frombuffer(_decoded(body, PACKED_INNER, DENSE_INNER), dtype=np.int64)
    if len(entries) == FAN_OUT:
        return entries
    starts, numbers = entries.view(np.uint64) >> START_SHIFT, entries & PLACE_MASK
    run = np.searchsorted(starts, _slots(), "right") - 1
    first = numbers[run]
    return np.where(first == 0, 0, first + _slots().view(np.int64) - starts[run].view(np.int64))


def _runs_of(numbers: list[tuple[int, int]]) -> list[int]:
    """Convert (slot, number) pairs to packed runs. The pairs are in the order of their slots."""
    runs: list[int] = []
    end, expected = 0, -1
    for slot, number in numbers:
        if slot > end:
            runs.append(end << START_SHIFT)
            expected = -1
        if number != expected:
            runs.append(slot << START_SHIFT | number)
        end, expected = slot + 1, number + 1
    if end < FAN_OUT:
        runs.append(end << START_SHIFT)
    return runs


def _decoded(body: bytes, packed_kind: int, dense_kind: int) -> Entries:
    kind = body[0] if body else 0
    size_bytes = len(body) - 1
    if kind == packed_kind and not size_bytes % _WORD_BYTES:
        entries = from_disk("Q", body[1:])
        if len(entries) < LEAF_BLOCKS and is_sound(entries):
            return entries
    elif kind == dense_kind and not size_bytes % LEAF_BLOCKS and size_bytes <= LEAF_BLOCKS * _WORD_BYTES:
        entries = _dense_entries(body)
        if is_sound(entries):
            return entries
    raise PoolDamaged("the catalogue contains a node that is not valid")


def _dense_bytes(entries: Entries) -> bytes:
    raw = disk_bytes(entries)
    planes = [raw[at::_WORD_BYTES] for at in range(_WORD_BYTES)]
    while planes and planes[-1] == _ZERO_PLANE:
        planes.pop()
    return b"".join(planes)


def _dense_entries(body: bytes) -> Entries:
    planes = np.frombuffer(body, dtype=np.uint8, offset=1).reshape(-1, LEAF_BLOCKS)
    raw = np.zeros((LEAF_BLOCKS, _WORD_BYTES), dtype=np.uint8)
    raw[:, : len(planes)] = planes.T
    return from_disk("Q", raw.data)
