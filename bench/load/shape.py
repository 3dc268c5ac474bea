"""The shape of a load: which commands the load generator sends, how many at a time, and in how many sessions."""

import json
from dataclasses import asdict, dataclass
from random import Random

from odx_target.iscsi.pdu.headers import ScsiCommand, encode_lun

READ_16, WRITE_16 = 0x88, 0x8A
FUA = 0x08
"""The FUA bit in byte 1 of READ(16) and WRITE(16)."""
SIMPLE = 1
BLOCK_BYTES = 512
MISALIGNMENT_BLOCKS = 1
"""Distance of a place that is not aligned from a place that is, in logical blocks."""
MAX_PREPARED = 1 << 16
"""Maximum number of commands that are prepared. The load repeats them. With so many commands, a random load of 4 KiB visits
each place of 256 MiB once before it visits a place again."""

Prepared = tuple[bytes, bytes, bytes, bool]
"""A command without its tag and its sequence numbers: bytes 0 to 15 of the header, bytes 20 to 23, the CDB, and True if the
command is a write."""


@dataclass(frozen=True)
class Shape:
    """A load. `write_percent` is the share of writes; 0 means only reads. Each session keeps `depth` commands pending."""

    size_bytes: int
    depth: int
    sessions: int = 1
    write_percent: int = 0
    is_random: bool = True
    is_aligned: bool = True
    fua: bool = False
    digests: bool = False

    def as_json(self) -> str:
        """Return the shape as the text that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Shape":
        return cls(**json.loads(text))


def places(shape: Shape, capacity_blocks: int, random: Random) -> list[int]:
    """Return the LBAs of a load, in the order of its commands. Each place is visited once. All commands end inside the LUN."""
    size_blocks = shape.size_bytes // BLOCK_BYTES
    first = 0 if shape.is_aligned else MISALIGNMENT_BLOCKS
    slots = (capacity_blocks - first) // size_blocks
    if not shape.is_random:
        return [first + slot * size_blocks for slot in range(min(slots, MAX_PREPARED))]
    return [first + slot * size_blocks for slot in random.sample(range(slots), min(slots, MAX_PREPARED))]


def prepare(shape: Shape, lun: int, capacity_blocks: int, immediate_bytes: int, seed: int) -> list[Prepared]:
    """Return the commands of a load. Each write sends its first `immediate_bytes` with the command."""
    random = Random(seed)
    prepared = []
    for lba in places(shape, capacity_blocks, random):
        is_write = random.randrange(100) < shape.write_percent
        opcode = WRITE_16 if is_write else READ_16
        cdb = (
            bytes([opcode, FUA if shape.fua and is_write else 0])
            + lba.to_bytes(8)
            + (shape.size_bytes // BLOCK_BYTES).to_bytes(4)
        )
        header = ScsiCommand(
            read=not is_write,
            write=is_write,
            attribute=SIMPLE,
            data_segment_length=min(immediate_bytes, shape.size_bytes) if is_write else 0,
            lun=encode_lun(lun),
            expected_data_transfer_length=shape.size_bytes,
            cdb=cdb.ljust(16, b"\0"),
        ).encode_header()
        prepared.append((header[:16], header[20:24], header[32:], is_write))
    return prepared
