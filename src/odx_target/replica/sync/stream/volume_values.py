"""The values that a pool remembers about a volume of a group, and that both members have.

An item of SHIP names a value by its number, which is its place in `PREFIXES`.
"""

from collections.abc import Iterator

from odx_target.replica.sync.stream.items import Item, ItemKind
from odx_target.scsi.reservations.durable import KEY_PREFIX as RESERVATIONS_PREFIX
from odx_target.scsi.unit.stored_size import KEY_PREFIX as SIZE_PREFIX
from odx_target.store.api import Pool, Volume

PREFIXES = (RESERVATIONS_PREFIX, SIZE_PREFIX)
"""The beginnings of the keys. The rest is the identity of the volume in hexadecimal."""

SIZE_VALUE = PREFIXES.index(SIZE_PREFIX)
"""The number of the size of the LUN."""


def key_of(number: int, identity: bytes) -> str:
    """Return the key of a value of a volume."""
    return PREFIXES[number] + identity.hex()


def value_item(volume: int, number: int, value: bytes) -> Item:
    """Return the item of a value of a volume. An empty value means that there is none."""
    return Item(ItemKind.VALUE, volume, count_blocks=len(value), argument=number, data=value)


def present_values(pool: Pool, index: int, volume: Volume) -> Iterator[Item]:
    """Yield the items of all values of a volume."""
    for number in range(len(PREFIXES)):
        yield value_item(index, number, pool.remembered(key_of(number, volume.identity)) or b"")
