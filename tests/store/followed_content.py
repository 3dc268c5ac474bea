"""The content of a pool, built only from the records that a follower yields. Each block is one number."""

from crc32c import crc32c

from odx_target.store.api import (
    BLOCK_BYTES,
    Clone,
    CompressedWrite,
    Followed,
    Freeze,
    Link,
    Release,
    SnapshotCreated,
    SnapshotDeleted,
    Unmap,
    VolumeChanged,
    VolumeCloned,
    VolumeCreated,
    VolumeDeleted,
    VolumeResized,
    VolumeRestored,
    Write,
)
from odx_target.store.log.compressed.compressed_extents import content_of, decode_extent


class FollowedContent:
    """Volumes and frozen maps by number. A link is resolved by the checksum of an earlier block."""

    def __init__(self) -> None:
        self.next_osn = 1
        self._values: dict[int, list[int]] = {}
        self._names: dict[int, str] = {}
        self._frozen: dict[int, list[int]] = {}
        self._frozen_of: dict[bytes, int] = {}
        self._values_of = {crc32c(bytes(BLOCK_BYTES)): 0}

    def volumes(self) -> dict[str, list[int]]:
        return {self._names[number]: values for number, values in self._values.items()}

    def take(self, followed: Followed) -> None:
        assert followed.osn == self.next_osn
        self.next_osn += 1
        record = followed.record
        match record:
            case Write(volume, block, count):
                assert followed.data is not None
                self._write(volume, block, count, bytes(followed.data))
            case CompressedWrite(volume, block, count, _):
                assert followed.data is not None
                self._write(volume, block, count, content_of(decode_extent(followed.data)))
            case Unmap(volume, block, count):
                self._values[volume][block : block + count] = [0] * count
            case Clone(frozen, source, volume, block, count):
                self._values[volume][block : block + count] = self._frozen[frozen][source : source + count]
            case Link(volume, block, _, checksum):
                self._values[volume][block] = self._values_of[checksum]
            case Freeze(frozen, volume, _):
                self._frozen[frozen] = list(self._values[volume])
            case SnapshotCreated():
                self._frozen[record.frozen] = list(self._values[record.volume])
                self._frozen_of[record.guid] = record.frozen
            case Release(frozen):
                del self._frozen[frozen]
            case SnapshotDeleted(guid):
                del self._frozen[self._frozen_of.pop(guid)]
            case _:
                self._take_volume(followed)

    def _take_volume(self, followed: Followed) -> None:
        match followed.record:
            case VolumeCreated(volume, size, _, name, _):
                self._values[volume], self._names[volume] = [0] * size, name
            case VolumeCloned(volume, frozen, source, _, _, name, _):
                self._values[volume] = list(self._frozen[frozen] if frozen else self._values[source])
                self._names[volume] = name
            case VolumeRestored(volume, frozen, _):
                self._values[volume] = list(self._frozen[frozen])
            case VolumeResized(volume, size):
                self._values[volume] = (self._values[volume] + [0] * size)[:size]
            case VolumeChanged(volume, name, _):
                self._names[volume] = name
            case VolumeDeleted(volume):
                del self._values[volume]

    def _write(self, volume: int, block: int, count: int, data: bytes) -> None:
        parts = [data[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES] for at in range(count)]
        values = [int.from_bytes(part[:8], "little") for part in parts]
        self._values[volume][block : block + count] = values
        self._values_of |= dict(zip(map(crc32c, parts), values, strict=True))
