"""Limits of the block commands, with their reasons. VPD page B0h reports those that concern initiators."""

from dataclasses import dataclass

from odx_target.store.api import BLOCK_BYTES

MAX_TRANSFER_BYTES = 16 << 20
"""One READ or WRITE is held in memory as a whole, and waits until the transport has memory for it. Linux and Windows send 1
MiB at most by default."""

SMALL_READ_BYTES = 256 << 10
"""A read of at most this size that ends at once is not counted against the memory for reads, since its data leaves soon."""

OPTIMAL_TRANSFER_BYTES = 1 << 20
"""Longer transfers are not faster: this one already needs several bursts of the transport."""

MAX_UNMAP_BYTES = 4 << 30
"""Unmapping is a change of map entries; 4 GiB are about a thousand leaves, which takes a few milliseconds."""

MAX_UNMAP_DESCRIPTORS = 255
"""As many descriptors as one 4 KiB parameter list holds, which is what Windows and Linux build at most."""

MAX_WRITE_SAME_BYTES = 1 << 30
"""A pattern other than zeros is actually written; this size takes about a second, and an initiator waits 30."""

MAX_COMPARE_AND_WRITE_BYTES = 64 << 10
"""Compared and written without a pause; this size takes about as long as the rest of the command. VMware sends one block."""

MAX_ATOMIC_TRANSFER_BYTES = 1 << 20
"""The store applies a write of any length as a whole or not at all. This size is more than databases ask for (16 to 64 KiB),
and the largest that Linux sends by default."""

STEP_BYTES = 1 << 20
"""One step of a long command; between steps other tasks run, and an abort is noticed."""

STEPS_OF_A_MEBIBYTE = 500
"""Cost of reading or writing one MiB, in steps of a turn of the event loop."""

THRESHOLD_SET_BYTES = 1 << 20
"""The unit of used and available space, which the provisioning page calls threshold sets (SBC-3 6.6.4): a 32-bit count of
them reaches up to 4 PiB."""

MAX_LBA_STATUS_DESCRIPTORS = 4096
"""GET LBA STATUS reports at most this many extents, whatever the allocation length: 64 KiB of parameter data."""

MAX_TASKS = 2048
"""Waiting tasks of one logical unit; any more commands end with TASK SET FULL. Far more than the command windows of 64
sessions make likely, and few enough to search for overlaps in a quarter of a millisecond."""

STEPS_OF_A_WAITING_TASK = 50
"""Cost, in steps, of making a command wait, besides the cost of its work: its task and its place in the task set."""

STEPS_OF_AN_ABORTED_TASK = 50
"""Cost, in steps, of cleaning up a task that was aborted while it waited."""

MAX_REGISTRATIONS = 224
"""Registrations of one logical unit: 64 hosts of a cluster with three paths each. With the longest names that login
accepts, they fit into the 64 KiB that the store keeps as one value if APTPL is on."""

MAX_RESERVE_OUT_BYTES = 64 << 10
"""A parameter list of PERSISTENT RESERVE OUT: enough for the TransportIDs of as many initiator ports as can be registered."""


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """The limits in logical blocks, as the block limits VPD page reports them (SBC-4 6.6.4)."""

    max_transfer_blocks: int
    optimal_transfer_blocks: int
    optimal_transfer_granularity_blocks: int
    max_unmap_blocks: int
    max_unmap_descriptors: int
    optimal_unmap_granularity_blocks: int
    """0 if it is one logical block, which hosts assume by default. With any other value QEMU 7.2 keeps a map of allocated
    blocks, and with blocks of 4096 bytes it then fails an assertion of its own at the first read of 32 KiB."""
    unmap_granularity_alignment: int
    max_write_same_blocks: int
    max_compare_and_write_blocks: int
    """Reported in one byte."""
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
