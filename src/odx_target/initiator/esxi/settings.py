"""The settings of the ESXi-like initiator. The defaults are ESXi's own values, if these values are known."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

KIB, MIB = 1 << 10, 1 << 20
BLOCK_OF_VMFS_BYTES = MIB
"""Size of the blocks in which VMFS-5 and VMFS-6 allocate files."""
MAX_TRANSFER_BYTES = 16 * MIB
"""Maximum value of DataMover/MaxHWTransferSize. Larger transfers need `use_array_values`."""


class Release(Enum):
    """The oldest release of ESXi with a certain behaviour."""

    V4_1 = "4.1"
    V5_0 = "5.0"
    V6_0 = "6.0"


class ReleaseRow(NamedTuple):
    """The behaviour of a release.

    After a failure, the offload is tried again when `retry_pieces` pieces have been copied by reads and writes, or when
    `retry_s` seconds have passed. `thin_transfer_bytes` is the maximum size of an EXTENDED COPY for a thin virtual disk. If
    `beats_by_ats` is False, heartbeats are ordinary writes.
    """

    retry_pieces: int | None
    retry_s: float | None
    thin_transfer_bytes: int | None
    beats_by_ats: bool


RELEASES: dict[Release, ReleaseRow] = {
    Release.V4_1: ReleaseRow(16_384, None, MIB, beats_by_ats=False),
    Release.V5_0: ReleaseRow(None, 300.0, MIB, beats_by_ats=False),
    Release.V6_0: ReleaseRow(None, 300.0, None, beats_by_ats=True),
}


class DiskType(Enum):
    """The types of virtual disks. They differ in the blocks that were never written."""

    LAZY_ZEROED = "zeroedthick"
    """The blocks are allocated. They are zeroed before the virtual machine uses them for the first time."""
    EAGER_ZEROED = "eagerzeroedthick"
    """The blocks are allocated and zeroed when the disk is created."""
    THIN = "thin"
    """The blocks are not allocated."""


class Receiver(Enum):
    """The disk to which EXTENDED COPY is sent."""

    SOURCE = "src"
    DESTINATION = "dst"


@dataclass(frozen=True, slots=True)
class EsxiSettings:
    """The settings of a host. Raises ValueError for values that ESXi would not accept."""

    release: Release = Release.V6_0
    source_type: DiskType = DiskType.LAZY_ZEROED
    destination_type: DiskType = DiskType.LAZY_ZEROED
    piece_bytes: int = 32 * MIB
    """Size of the pieces into which the data mover divides a copy."""
    transfer_bytes: int = 4 * MIB
    """DataMover/MaxHWTransferSize: the size of an EXTENDED COPY."""
    use_array_values: bool = False
    """xcopy-use-array-values: take the size of an EXTENDED COPY from the MAXIMUM SEGMENT LENGTH of the array."""
    multiple_segments: bool = False
    """xcopy-use-multi-segs: send several segments in an EXTENDED COPY."""
    max_array_transfer_bytes: int = 240 * MIB
    """xcopy-max-transfer-size: the maximum size of an EXTENDED COPY if `use_array_values` is True."""
    receiver: Receiver = Receiver.DESTINATION
    io_bytes: int = 64 * KIB
    """Size of a read or write of the data mover."""
    queue_depth: int = 32
    """Number of commands of the data mover that are under way at once."""
    zero_bytes: int = MIB
    """Number of bytes that one WRITE SAME zeroes."""
    heartbeat_s: float = 3.0
    """Time between two heartbeats."""
    lock_attempts: int = 10
    lock_delay_s: float = 0.1
    """Time between two attempts to lock a block that another host is changing."""

    def __post_init__(self) -> None:
        if not self.io_bytes <= self.transfer_bytes <= MAX_TRANSFER_BYTES or self.transfer_bytes % self.io_bytes:
            raise ValueError(
                f"the transfer size must be a multiple of {self.io_bytes} bytes, and at most {MAX_TRANSFER_BYTES} bytes"
            )
        if self.multiple_segments and not self.use_array_values:
            raise ValueError("several segments need the values of the array")

    @property
    def row(self) -> ReleaseRow:
        """The behaviour of the release."""
        return RELEASES[self.release]
