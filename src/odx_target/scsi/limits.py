"""Limits of the block commands, with their reasons. VPD page B0h reports the limits that concern initiators."""

from dataclasses import dataclass

from odx_target.store.api import BLOCK_BYTES

MAX_TRANSFER_BYTES = 16 << 20
"""Maximum size of one READ or WRITE.

All data of the command is in memory at the same time, and the command waits until the transport has memory for the data. Linux
and Windows send at most 1 MiB by default.
"""

SMALL_READ_BYTES = 256 << 10
"""Maximum size of a small read.

A small read claims no memory for reads if its blocks are in memory, because its data is sent soon.
"""

OPTIMAL_TRANSFER_BYTES = 1 << 20
"""Optimal size of one READ or WRITE.

Longer transfers are not faster, because this size already needs several bursts of the transport.
"""

MAX_UNMAP_BYTES = 4 << 30
"""Maximum size of all ranges of one UNMAP. An UNMAP changes only entries of the map.

An UNMAP of 4 GiB changes about a thousand leaves of the map, which takes a few milliseconds.
"""

MAX_UNMAP_DESCRIPTORS = 255
"""Maximum number of descriptors of one UNMAP. A parameter list of 4 KiB has room for 255 descriptors.

Windows and Linux build no larger list.
"""

MAX_WRITE_SAME_BYTES = 1 << 30
"""Maximum size of one WRITE SAME. If the pattern is all zeros, the blocks are deallocated.

Otherwise the blocks are written, which takes about one second. Initiators wait for 30 seconds.
"""

MAX_COMPARE_AND_WRITE_BYTES = 64 << 10
"""Maximum size of one COMPARE AND WRITE. The command compares and writes without a pause for other tasks.

At the maximum size, the comparison takes about as long as the other work of the command. VMware compares and writes one block.
"""

MAX_ATOMIC_TRANSFER_BYTES = 1 << 20
"""Maximum size of one WRITE ATOMIC. The store itself has no such limit.

Databases need 16 to 64 KiB, and Linux sends at most 1 MiB by default.
"""

STEP_BYTES = 1 << 20
"""Size of one step of a long command. Between two steps, other tasks run, and the command ends if it has been aborted."""

STEPS_OF_A_MEBIBYTE = 500
"""Number of steps for one MiB of reads or writes. Each turn of the event loop has a limited number of steps."""

THRESHOLD_SET_BYTES = 1 << 20
"""Size of one threshold set.

The Logical Block Provisioning log page counts used and available space in threshold sets (SBC-3 6.6.4). A 32-bit number of
threshold sets is enough for 4 PiB.
"""

THRESHOLD_REPEAT_S = 60
"""Minimum time between two notifications of one threshold.

If other programs use the same disk, the available room may pass a threshold often. Hosts have to retry a command after each
notification.
"""

STEPS_OF_A_THRESHOLD_CHECK = 1
"""Number of steps for a check of the thresholds of one logical unit.

Each turn of the event loop has a limited number of steps.
"""

MAX_LBA_STATUS_DESCRIPTORS = 4096
"""Maximum number of extents that one GET LBA STATUS reports, even if the allocation length has room for more extents.

The descriptors of 4096 extents take 64 KiB.
"""

MAX_TASKS = 2048
"""Maximum number of waiting tasks of one logical unit. If MAX_TASKS is reached, a new command ends with TASK SET FULL.

Each session has a command window. The windows of 64 sessions rarely allow MAX_TASKS tasks. A comparison of one command with
MAX_TASKS tasks takes a quarter of a millisecond.
"""

STEPS_OF_A_WAITING_TASK = 50
"""Number of additional steps for a command that has to wait.

The steps are for the task object and its place in the task set.
"""

STEPS_OF_AN_ABORTED_TASK = 50
"""Number of steps for the cleanup after the abort of a waiting task."""

MAX_REGISTRATIONS = 224
"""Maximum number of registrations of one logical unit. A cluster of 64 hosts with three paths each needs 192 registrations.

If APTPL is set, the store keeps all registrations as one value of at most 64 KiB. Even with the longest names that login
accepts, the maximum number of registrations fits into this value.
"""

MAX_RESERVE_OUT_BYTES = 64 << 10
"""Maximum size of a PERSISTENT RESERVE OUT parameter list.

The list can hold the TransportIDs of all ports that can be registered.
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

    With any other value, QEMU 7.2 keeps a map of allocated blocks. If QEMU keeps this map and the block length is 4096 bytes,
    the first read of 32 KiB fails an assertion in QEMU.
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
