"""The bodies of OFFER, WANT and DATA. The argument of all three is the number of the first block of the OFFER.

An OFFER has one state for each of its blocks, and the fingerprints of some. A WANT has one bit for each block of the OFFER. A
DATA has some blocks of the OFFER, with their CRC32Cs. The numbers in a DATA are counted from the first block of the OFFER.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from odx_target.environment import Buffer
from odx_target.replica.blocks.limits import MAX_DATA_BLOCKS, MAX_OFFER_BLOCKS
from odx_target.replica.link.errors import PeerFault

FINGERPRINT_BYTES = 16
CHECKSUM_BYTES = 4
_COUNT = struct.Struct("<H")
_DATA_ROW = np.dtype([("index", "<u2"), ("checksum", "<u4")])

FORMATS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "OFFER": (
        ("u16", "count", f"number of blocks, 1 to {MAX_OFFER_BLOCKS}"),
        ("4 bits for each block", "states", "state of each block, from the low bits of each byte upwards"),
        (f"{FINGERPRINT_BYTES} bytes for each block of state FINGERPRINT", "fingerprints", "in the order of the blocks"),
        ("u32 for each block of state FINGERPRINT", "checksums", "CRC32Cs of the same blocks"),
    ),
    "WANT": (
        ("u16", "count", "number of blocks of the OFFER"),
        ("1 bit for each block", "wanted", "1 if the block must be sent, from the low bits of each byte upwards"),
    ),
    "DATA": (
        ("u16", "count", f"number of blocks, 1 to {MAX_DATA_BLOCKS}"),
        ("u16 and u32 for each block", "index, checksum", "number of the block in the OFFER; CRC32C of the block"),
        ("the rest", "data", "all blocks one after the other, compressed together if a flag says so"),
    ),
}
"""The parts of each body, as (type, name, meaning), for the documentation."""


class BlockState(IntEnum):
    """State of a block in an OFFER."""

    HOLE = 0
    """The block has no data."""
    FINGERPRINT = 1
    """The OFFER has the fingerprint of the block. The sender sends the block if the receiver wants it."""
    UNASKED = 2
    """The sender sends the block in any case."""
    LOST = 3
    """The sender cannot read the block, because its data is damaged."""
    SAME = 4
    """The receiver has the block already, because the block is equal in the base of the exchange."""


# States are packed and unpacked with tables of all bytes, because arrays take longer than the states of most offers.
_FINGERPRINT = int(BlockState.FINGERPRINT)
_STATES = bytes(BlockState)
_LOW, _HIGH = bytes(byte & 15 for byte in range(256)), bytes(byte >> 4 for byte in range(256))
_SHIFTED = bytes(byte << 4 & 0xFF for byte in range(256))


@dataclass(frozen=True, slots=True)
class Offer:
    """The states of `count` blocks. The blocks with state FINGERPRINT also have fingerprints and CRC32Cs, in their order."""

    states: bytes
    fingerprints: bytes = b""
    checksums: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        return len(self.states)

    def indexes_of(self, state: BlockState) -> list[int]:
        """Return the indexes of the blocks with a state."""
        count = self.states.count(state)
        if count in (0, self.count):  # most offers have blocks of one state
            return list(range(count))
        found: list[int] = np.flatnonzero(np.frombuffer(self.states, dtype=np.uint8) == state).tolist()
        return found


def cut(fingerprints: bytes) -> list[bytes]:
    """Cut joined fingerprints apart."""
    return [fingerprints[at : at + FINGERPRINT_BYTES] for at in range(0, len(fingerprints), FINGERPRINT_BYTES)]


@dataclass(frozen=True, slots=True)
class Data:
    """The head of a DATA body: which blocks it has, and their checksums. `content` may be compressed."""

    indexes: Sequence[int]
    checksums: Sequence[int]
    content: Buffer


def encode_offer(offer: Offer) -> bytes:
    size_bytes = -(-offer.count // 2)
    low, high = offer.states[::2], offer.states[1::2].translate(_SHIFTED)
    packed = int.from_bytes(low, "little") | int.from_bytes(high, "little")
    return (
        _COUNT.pack(offer.count)
        + packed.to_bytes(size_bytes, "little")
        + offer.fingerprints
        + struct.pack(f"<{len(offer.checksums)}I", *offer.checksums)
    )


def decode_offer(body: Buffer) -> Offer:
    """Decode the body of an OFFER. Raises PeerFault."""
    count, rest = _counted(body, MAX_OFFER_BLOCKS, "an OFFER")
    size_bytes = -(-count // 2)
    packed = bytes(rest[:size_bytes])
    pairs = bytearray(2 * len(packed))
    pairs[::2], pairs[1::2] = packed.translate(_LOW), packed.translate(_HIGH)
    if len(pairs) < count or any(pairs[count:]):
        raise PeerFault("the states of an OFFER are not complete, or have additional bits")
    states = bytes(pairs[:count])
    if states.translate(None, _STATES):
        raise PeerFault("an OFFER has an unknown state of a block")
    table = bytes(rest[size_bytes:])
    fingerprinted = states.count(_FINGERPRINT)
    end = fingerprinted * FINGERPRINT_BYTES
    if len(table) != end + fingerprinted * CHECKSUM_BYTES:
        raise PeerFault("an OFFER has another number of fingerprints than its states say")
    return Offer(states, table[:end], struct.unpack_from(f"<{fingerprinted}I", table, end))


def encode_want(count: int, wanted: Sequence[int]) -> bytes:
    """Encode a WANT for an OFFER of `count` blocks. `wanted` are the indexes of the wanted blocks, in ascending order."""
    if len(wanted) in (0, count):  # the receiver has usually all blocks or none
        bits = (1 << len(wanted)) - 1
        return _COUNT.pack(count) + bits.to_bytes(-(-count // 8), "little")
    flags = np.zeros(count, dtype=bool)
    flags[list(wanted)] = True
    return _COUNT.pack(count) + np.packbits(flags, bitorder="little").tobytes()


def decode_want(body: Buffer, offer: Offer) -> list[int]:
    """Decode the body of a WANT, and return the indexes of the wanted blocks.

    Raises PeerFault, also if a block is wanted that has no fingerprint in the OFFER.
    """
    count, rest = _counted(body, MAX_OFFER_BLOCKS, "a WANT")
    if count != offer.count or len(rest) != -(-count // 8):
        raise PeerFault("a WANT has not the length of its OFFER")
    if not any(rest):
        return []
    if offer.states.count(_FINGERPRINT) == count and int.from_bytes(rest, "little") == (1 << count) - 1:
        return list(range(count))
    bits = np.unpackbits(np.frombuffer(rest, dtype=np.uint8), bitorder="little")
    wanted = np.flatnonzero(bits)
    states = np.frombuffer(offer.states, dtype=np.uint8)
    if bits[count:].any() or (states[wanted] != BlockState.FINGERPRINT).any():
        raise PeerFault("a WANT asks for a block that has no fingerprint")
    found: list[int] = wanted.tolist()
    return found


def encode_data_head(indexes: Sequence[int], checksums: "Sequence[int] | npt.NDArray[np.uint32]") -> bytes:
    """Encode the part of a DATA body before the data."""
    rows = np.empty(len(indexes), dtype=_DATA_ROW)
    rows["index"], rows["checksum"] = indexes, checksums
    return _COUNT.pack(len(indexes)) + rows.tobytes()


def decode_data(body: Buffer) -> Data:
    """Decode the head of a DATA body. Raises PeerFault."""
    count, rest = _counted(body, MAX_DATA_BLOCKS, "a DATA")
    end = count * _DATA_ROW.itemsize
    if len(rest) < end:
        raise PeerFault("the table of a DATA is not complete")
    rows = np.frombuffer(rest[:end], dtype=_DATA_ROW)
    indexes = rows["index"]
    if (indexes[1:] <= indexes[:-1]).any():
        raise PeerFault("the blocks of a DATA are not in ascending order")
    return Data(indexes.tolist(), rows["checksum"].tolist(), rest[end:])


def _counted(body: Buffer, most: int, name: str) -> tuple[int, memoryview]:
    view = memoryview(body)
    count = _COUNT.unpack_from(view)[0] if len(view) >= _COUNT.size else 0
    if not 1 <= count <= most:
        raise PeerFault(f"{name} has {count} blocks, but may have 1 to {most}")
    return count, view[_COUNT.size :]
