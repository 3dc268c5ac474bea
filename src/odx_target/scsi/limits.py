"""Limits of the block commands, with their reasons. VPD page B0h reports the limits that concern initiators."""

from dataclasses import dataclass

from odx_target.store.api import BLOCK_BYTES

MAX_TRANSFER_BYTES = 16 << 20
"""Maximum size of one READ or WRITE.

All data of the command is in memory at the same time, so the command waits until the transport has memory for the data. Linux
and Windows send at most 1 MiB per command by default.
"""

SMALL_READ_BYTES = 256 << 10
"""Maximum size of a small read.

A small read need not claim memory (`read_memory`) if its blocks are in the page cache, because its data is sent soon.
"""

OPTIMAL_TRANSFER_BYTES = 1 << 20
"""Optimal size of one READ or WRITE.

Longer transfers are not faster, because the transport already divides a transfer of this size into several bursts.
"""

MAX_UNMAP_BYTES = 4 << 30
"""Maximum size of all ranges of one UNMAP. An UNMAP changes only entries of the map.

An UNMAP of 4 GiB changes about a thousand leaves of the map, which takes a few milliseconds.
"""

MAX_UNMAP_DESCRIPTORS = 255
"""Maximum number of descriptors of one UNMAP. A parameter list of 4 KiB has room for 255 descriptors.

Windows and Linux send no larger list.
"""

MAX_WRITE_SAME_BYTES = 1 << 30
"""Maximum size of one WRITE SAME. If the block in the data-out has only zeros, the range is deallocated.

Otherwise the range is written, which takes about one second at this size. Initiators usually wait for up to 30 seconds.
"""

MAX_COMPARE_AND_WRITE_BYTES = 64 << 10
"""Maximum size of one COMPARE AND WRITE. The command compares and writes without letting other tasks run.

At the maximum size, the comparison takes about as long as the other work of the command. VMware compares and writes only one
block.
"""

MAX_ATOMIC_TRANSFER_BYTES = 1 << 20
"""Maximum size of one WRITE ATOMIC. The store itself could write more data atomically.

Databases need 16 to 64 KiB, and Linux sends at most 1 MiB by default.
"""

STEP_BYTES = 1 << 20
"""Number of bytes that a long command reads or writes at once. After each such step, other tasks run. If the command was
aborted, it then ends."""

STEPS_OF_A_MEBIBYTE = 500
"""Number of steps (units of work, see `turns`) that reading or writing 1 MiB takes."""

FORMAT_STEP_BYTES = 1 << 40
"""Number of bytes that a format operation deallocates at once, which takes about a millisecond. Then other tasks run."""

FORMAT_RETRY_S = 1.0
"""Time after which a format or sanitize operation in the background goes on, if the machine had too few resources for its last
step.
"""

PATTERN_BYTES = 4 << 20
"""Number of bytes of the pattern that SANITIZE OVERWRITE writes. All other blocks share these blocks.

The size is that of one leaf of the map, so that whole leaves are shared.
"""

THRESHOLD_SET_BYTES = 1 << 20
"""Size of one threshold set.

The Logical Block Provisioning log page gives used and available space as numbers of threshold sets (SBC-3 6.6.4). A 32-bit
number of threshold sets is enough for 4 PiB.
"""

THRESHOLD_REPEAT_S = 60
"""Minimum time between two notifications of one threshold.

If other programs use the same disk, the available room may pass a threshold often. After each notification, hosts have to send
a command again.
"""

STEPS_OF_A_THRESHOLD_CHECK = 1
"""Number of steps (units of work, see `turns`) that a check of the thresholds of one logical unit takes.
"""

DATA_BUFFER_BYTES = 512
"""Size of the data buffer of a logical unit, which WRITE BUFFER writes. It is small, because there may be 16,384 of them."""

ECHO_BUFFER_BYTES = 256
"""Size of the echo buffer of a nexus on a logical unit. SPC-4 requires at least 252 bytes.

The size is small, because each session may have an echo buffer for each LUN.
"""

MAX_IDENTIFYING_INFORMATION_BYTES = 64
"""Maximum size of the peripheral device identifying information. It is the greatest size that SPC-4 makes mandatory."""

MAX_IDENTIFYING_TEXT_BYTES = 256
"""Maximum size of the text identifying information with its final zero. SPC-4 allows no more."""

MAX_LBA_STATUS_DESCRIPTORS = 4096
"""Maximum number of extents that one GET LBA STATUS reports, even if the allocation length has room for more extents.

The descriptors of 4096 extents take 64 KiB.
"""

MAX_TASKS = 2048
"""Maximum number of waiting tasks of one logical unit. If this number is reached, a new command ends with TASK SET FULL.

A session cannot send more commands than its command window allows. Even with 64 sessions, so many tasks are rare. To compare a
new command with so many tasks takes a quarter of a millisecond.
"""

STEPS_OF_A_WAITING_TASK = 50
"""Number of further steps (units of work, see `turns`) that a command takes if it has to wait: the work on its place in the
task set.
"""

STEPS_OF_AN_ABORTED_TASK = 50
"""Number of steps (units of work, see `turns`) that the cleanup after the abort of a waiting task takes."""

MAX_REGISTRATIONS = 224
"""Maximum number of registrations of one logical unit. A cluster of 64 hosts with three paths each needs 192 registrations.

If APTPL is set, the store keeps all registrations as one value of at most 64 KiB. This number of registrations fits into the
value, even if all initiator names have the greatest length that a login accepts.
"""

MAX_RESERVE_OUT_BYTES = 64 << 10
"""Maximum size of a PERSISTENT RESERVE OUT parameter list.

A list of this size has room for the TransportIDs of all ports that can be registered.
"""


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """The limits in logical blocks, as VPD page B0h reports them (SBC-4 6.6.4)."""

    max_transfer_blocks: int
    optimal_transfer_blocks: int
    optimal_transfer_granularity_blocks: int
    max_unmap_blocks: int
    max_unmap_descriptors: int
    optimal_unmap_granularity_blocks: int
    """Optimal granularity of UNMAP. The value 0 means one logical block, which hosts assume by default.

    With any other value, QEMU 7.2 keeps a map of allocated blocks. With this map and a block length of 4096 bytes, an assertion
    in QEMU fails at the first read of 32 KiB.
    """
    unmap_granularity_alignment: int
    max_write_same_blocks: int
    max_compare_and_write_blocks: int
    """Maximum number of blocks of one COMPARE AND WRITE.

    The limit is at most 255, because VPD page B0h reports it in one byte.
    """
    max_atomic_transfer_blocks: int


def block_limits_for(block_bytes: int) -> BlockLimits:
    """Return the limits of a logical unit with blocks of `block_bytes` bytes."""
    per_store_block = BLOCK_BYTES // block_bytes
    return BlockLimits(
        max_transfer_blocks=MAX_TRANSFER_BYTES // block_bytes,
        optimal_transfer_blocks=OPTIMAL_TRANSFER_BYTES // block_bytes,
        optimal_transfer_granularity_blocks=per_store_block,
        max_unmap_blocks=MAX_UNMAP_BYTES // block_bytes,
        max_unmap_descriptors=MAX_UNMAP_DESCRIPTORS,
        optimal_unmap_granularity_blocks=per_store_block if per_store_block > 1 else 0,
        unmap_granularity_alignment=0,
        max_write_same_blocks=MAX_WRITE_SAME_BYTES // block_bytes,
        max_compare_and_write_blocks=MAX_COMPARE_AND_WRITE_BYTES // block_bytes,
        max_atomic_transfer_blocks=MAX_ATOMIC_TRANSFER_BYTES // block_bytes,
    )
