"""Random CDBs, built from the layouts of all commands, with values that are usual for the names of their fields."""

from collections.abc import Mapping
from random import Random

from odx_target.binary_layout import Place
from odx_target.copymgr.commands.parameter_lists import COPY_CDBS
from odx_target.scsi.cdb.table import CDB_LAYOUTS
from odx_target.scsi.layout import Layout
from tests.fuzz.values import number

COMMANDS: tuple[tuple[int, int | None, type[Layout]], ...] = (
    *((code, action, row.layout) for (code, action), row in CDB_LAYOUTS.items()),
    *((code, int(action), layout) for action, code, _, layout in COPY_CDBS),
)
CAPACITY_BLOCKS = 512
"""Number of blocks of the LUN of 512-byte blocks. The other LUN has 64 blocks."""
PAGES = (0x00, 0x01, 0x08, 0x0A, 0x1C, 0x3F, 0x80, 0x83, 0x85, 0x8F, 0xB0, 0xB1, 0xB2, 0xB3)
ALLOCATION_BYTES = (0, 1, 4, 8, 18, 32, 96, 255, 252, 1024, 4096, 65535)

_SMALL = ("number_of_logical_blocks", "transfer_length", "verification_length", "prefetch_length")
_LENGTHS = ("allocation_length", "parameter_list_length", "buffer_length")


def cdb(random: Random) -> bytes:
    """Return a CDB, mostly with reserved bits of zero."""
    code, action, layout = random.choice(COMMANDS)
    return built(random, layout, code, action)


def built(random: Random, layout: type[Layout], code: int, action: int | None) -> bytes:
    values = {name: field_value(random, name, place) for name, place in layout.places.items()}
    found = bytearray(_assembled(layout, values))
    found[0] = code
    if action is not None:
        found[1] = found[1] & 0xE0 | action
    if random.randrange(3):
        found[-1] = 0  # CONTROL
    return bytes(found)


def field_value(random: Random, name: str, place: Place) -> int:
    """Return a value for a field, which is usual in most cases."""
    top = (1 << place.size) - 1
    if place.size == 1:
        return int(random.randrange(8) == 0)
    if name == "logical_block_address":
        usual = random.choice((0, 1, 8, 63, 64, 500, 511, 512, random.randrange(CAPACITY_BLOCKS)))
        return min(usual, top) if random.randrange(6) else number(random, place.size)
    if name in _SMALL:
        return min(random.choice((0, 1, 2, 8, 16, 64)), top) if random.randrange(6) else number(random, place.size)
    if name in _LENGTHS:
        return min(random.choice(ALLOCATION_BYTES), top) if random.randrange(6) else number(random, place.size)
    if "page" in name:
        return random.choice(PAGES) & top
    if name == "list_identifier":
        return random.randrange(8)
    if name in ("group_number", "control", "dpo"):
        return 0 if random.randrange(8) else number(random, place.size)
    return random.choice((0, 0, 0, 1, number(random, place.size)))


def _assembled(layout: type[Layout], values: Mapping[str, int]) -> bytes:
    total = 0
    bits = layout.size_bytes * 8
    for name, place in layout.places.items():
        total |= (values[name] & (1 << place.size) - 1) << (bits - place.start - place.size)
    return total.to_bytes(layout.size_bytes, "big")
