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

    def fingerprint(self, number: int) -> bytes:
        """Return one of the fingerprints. `number` counts only the blocks with fingerprints."""
        return self.fingerprints[number * FINGERPRINT_BYTES : (number + 1) * FINGERPRINT_BYTES]


@dataclass(frozen=True, slots=True)
class Data:
    """The head of a DATA body: which blocks it has, and their checksums. `content` may be compressed."""

    indexes: Sequence[int]
    checksums: Sequence[int]
    content: Buffer


def encode_offer(offer: Offer) -> bytes:
    bits = np.frombuffer(offer.states, dtype=np.uint8)
    padded = np.zeros(-(-len(bits) // 2) * 2, dtype=np.uint8)
    padded[: len(bits)] = bits
    rows = padded.reshape(-1, 2)
    packed = rows[:, 0] | rows[:, 1] << 4
    return (
        _COUNT.pack(offer.count)
        + packed.tobytes()
        + offer.fingerprints
        + _checksums(len(offer.checksums)).pack(*offer.checksums)
    )


def decode_offer(body: Buffer) -> Offer:
    """Decode the body of an OFFER. Raises PeerFault."""
    count, rest = _counted(body, MAX_OFFER_BLOCKS, "an OFFER")
    packed = np.frombuffer(rest[: -(-count // 2)], dtype=np.uint8)
    states = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1) if len(packed) else packed
    if len(states) < count or states[count:].any():
        raise PeerFault("the states of an OFFER are not complete, or have additional bits")
    states = states[:count]
    if states.max() > max(BlockState):
        raise PeerFault("an OFFER has an unknown state of a block")
    table = bytes(rest[-(-count // 2) :])
    fingerprinted = int((states == BlockState.FINGERPRINT).sum())
    end = fingerprinted * FINGERPRINT_BYTES
    if len(table) != end + fingerprinted * CHECKSUM_BYTES:
        raise PeerFault("an OFFER has another number of fingerprints than its states say")
    return Offer(states.astype(np.uint8).tobytes(), table[:end], _checksums(fingerprinted).unpack(table[end:]))


def encode_want(count: int, wanted: Sequence[int]) -> bytes:
    """Encode a WANT for an OFFER of `count` blocks. `wanted` are the indexes of the wanted blocks."""
    bits = np.zeros(count, dtype=bool)
    bits[list(wanted)] = True
    return _COUNT.pack(count) + np.packbits(bits, bitorder="little").tobytes()


def decode_want(body: Buffer, offer: Offer) -> list[int]:
    """Decode the body of a WANT, and return the indexes of the wanted blocks.

    Raises PeerFault, also if a block is wanted that has no fingerprint in the OFFER.
    """
    count, rest = _counted(body, MAX_OFFER_BLOCKS, "a WANT")
    if count != offer.count or len(rest) != -(-count // 8):
        raise PeerFault("a WANT has not the length of its OFFER")
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


def _checksums(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}I")


def _counted(body: Buffer, most: int, name: str) -> tuple[int, memoryview]:
    view = memoryview(body)
    count = _COUNT.unpack_from(view)[0] if len(view) >= _COUNT.size else 0
    if not 1 <= count <= most:
        raise PeerFault(f"{name} has {count} blocks, but may have 1 to {most}")
    return count, view[_COUNT.size :]
