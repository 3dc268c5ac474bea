"""Attacks on the formats of the store: bytes of a disk that were damaged and have right checksums nevertheless."""

from array import array
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from odx_target.store.api import BLOCK_BYTES, StoreError
from odx_target.store.errors import PoolDamaged
from odx_target.store.log import records
from odx_target.store.log.batch import _CHECKSUM_OFFSET, InvalidBatch, decode_header, encode_header, header_checksum
from odx_target.store.log.compressed.codecs import Codec, InvalidData
from odx_target.store.log.compressed.compressed_extents import InvalidExtent, content_of, decode_extent, encode_extent
from odx_target.store.opening.format_head import decode_head, encode_head, new_head
from tests.fuzz.surface import Finding, Script, Step
from tests.fuzz.text.one_line import refused
from tests.fuzz.values import bytes_of, changed_bytes

IDENTITY = bytes(range(16))
SOME_RECORDS: tuple[records.Record, ...] = (
    records.VolumeResized(1, 100),
    records.VolumeDeleted(1),
    records.Unmap(1, 2, 3),
    records.Release(4),
    records.Remember("key", b"value"),
    records.Forget("key"),
)
EXTENT = encode_extent(Codec.LZ4, b"text" * 4096, condense=False) or b""
MAX_CONTENT_BYTES = 1 << 20
"""Most bytes that an extent may have after decompression: an extent has at most 16 blocks."""


def new_script(random: Random) -> Script:
    return [new_step(random)]


def new_step(random: Random) -> Step:
    name = random.choice(sorted(_READERS))
    return [name, changed_bytes(random, _SEEDS[name](random)).hex()]


def _batch(random: Random) -> bytes:
    chosen = [record for record in SOME_RECORDS if random.random() < 0.5]
    header, _ = encode_header(IDENTITY, 1, 2, 3, 4, 4, 0, False, list(map(records.encode, chosen)), array("I"), 1)
    return bytes(header).rstrip(b"\0")


_SEEDS: Mapping[str, Callable[[Random], bytes]] = {
    "batch": _batch,
    "records": lambda random: b"".join(records.encode(record) for record in SOME_RECORDS if random.random() < 0.5),
    "head": lambda random: encode_head(new_head(IDENTITY)),
    "extent": lambda random: EXTENT,
}


def _read_batch(data: bytes) -> str:
    """Decode a header whose checksum is made right again, so that the decoder sees all later bytes."""
    header = bytearray(data[:BLOCK_BYTES].ljust(BLOCK_BYTES, b"\0"))
    checksum = header_checksum(memoryview(header))
    header[_CHECKSUM_OFFSET : _CHECKSUM_OFFSET + 4] = checksum.to_bytes(4, "little")
    batch = decode_header(memoryview(header), IDENTITY, 2, 3)
    if len(batch.records) > BLOCK_BYTES:
        raise Finding("a header has more records than bytes")
    return f"batch of {sorted({type(record).__name__ for record in batch.records})}"


def _read_records(data: bytes) -> str:
    found = records.decode_all(data, data[0] % 8 if data else 0)
    again = b"".join(map(records.encode, found))
    if records.decode_all(again, len(found)) != found:
        raise Finding("records change when they are encoded and decoded", data.hex())
    return f"{sorted({type(record).__name__ for record in found})}"


def _read_extent(data: bytes) -> str:
    stored = data[: 16 * BLOCK_BYTES]
    extent = decode_extent(stored)
    content = content_of(extent)
    if len(content) > MAX_CONTENT_BYTES:
        raise Finding("an extent grows without a limit", f"{len(content)} bytes")
    return f"extent of {len(content) // BLOCK_BYTES} blocks"


_READERS: Mapping[str, Callable[[bytes], Any]] = {
    "batch": _read_batch,
    "records": _read_records,
    "head": lambda data: f"head {type(decode_head(data, 'head')).__name__}",
    "extent": _read_extent,
}
_REFUSALS = (InvalidBatch, PoolDamaged, StoreError, InvalidExtent, InvalidData, records.InvalidRecord)


def run(script: Script) -> set[str]:
    """Decode bytes. Only the errors that mean damage may be raised, with a message of one line."""
    outcomes = set()
    for step in script:
        read = _READERS.get(str(step[0])) if step else None
        if read is None or len(step) < 2:
            continue
        try:
            outcomes.add(f"{step[0]} {read(bytes_of(step[1]))}")
        except _REFUSALS as error:
            outcomes.add(f"{step[0]} {refused(error) if str(error) else type(error).__name__}")
    return outcomes
