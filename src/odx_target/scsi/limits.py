"""Limits of the block commands, with their reasons. VPD page B0h reports the limits that concern initiators."""

from dataclasses import dataclass

from odx_target.store.api import BLOCK_BYTES

MAX_TRANSFER_BYTES = 16 << 20
"""Maximum size of one READ or WRITE. Its data is held in memory as a whole, and the command waits until the transport has
memory for it. Linux and Windows send at most 1 MiB by default."""

SMALL_READ_BYTES = 256 << 10
"""A read of at most this size that ends at once is not counted against the memory for reads, since its data leaves soon."""

OPTIMAL_TRANSFER_BYTES = 1 << 20
"""Longer transfers are not faster, because a transfer of this size already needs several bursts of the transport."""

MAX_UNMAP_BYTES = 4 << 30
"""Maximum size of all ranges of one UNMAP, which changes only map entries. 4 GiB are about a thousand leaves of the map, and
take a few milliseconds."""

MAX_UNMAP_DESCRIPTORS = 255
"""Maximum number of descriptors in a parameter list of 4 KiB, the largest list that Windows and Linux build."""

MAX_WRITE_SAME_BYTES = 1 << 30
"""Maximum size of one WRITE SAME. A pattern other than zeros is really written, in about a second; initiators wait for 30."""

MAX_COMPARE_AND_WRITE_BYTES = 64 << 10
"""Maximum size of one COMPARE AND WRITE, which compares and writes without a pause. This takes about as long as the other work
of the command. VMware sends one block."""

MAX_ATOMIC_TRANSFER_BYTES = 1 << 20
"""Maximum size of one WRITE ATOMIC. The store could write any length as a whole, but databases ask for less (16 to 64 KiB), and
Linux sends no more by default."""

STEP_BYTES = 1 << 20
"""Size of one step of a long command. Between two steps other tasks run, and aborts are noticed."""

STEPS_OF_A_MEBIBYTE = 500
"""Cost of reading or writing one MiB, in steps of a turn of the event loop."""

THRESHOLD_SET_BYTES = 1 << 20
"""The unit of used and available space, which the provisioning page calls threshold sets (SBC-3 6.6.4): a 32-bit count of
them reaches up to 4 PiB."""

MAX_LBA_STATUS_DESCRIPTORS = 4096
"""Maximum number of extents that one GET LBA STATUS reports, whatever the allocation length is: 64 KiB of parameter data."""

MAX_TASKS = 2048
"""Maximum number of waiting tasks of one logical unit; further commands end with TASK SET FULL. The command windows of 64
sessions rarely allow so many tasks. A search of so many tasks for overlaps takes a quarter of a millisecond."""

STEPS_OF_A_WAITING_TASK = 50
"""Cost, in steps, of making a command wait, besides the cost of its work: its task and its place in the task set."""

STEPS_OF_AN_ABORTED_TASK = 50
"""Cost, in steps, of cleaning up a task that was aborted while it waited."""

MAX_REGISTRATIONS = 224
"""Maximum number of registrations of one logical unit: 64 hosts of a cluster with three paths each need 192. With the longest
names that login accepts, they fit into the 64 KiB that the store keeps as one value if APTPL is on."""

MAX_RESERVE_OUT_BYTES = 64 << 10
"""Maximum size of a PERSISTENT RESERVE OUT parameter list: enough for TransportIDs of all ports that can be registered."""


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """The limits in logical blocks, as VPD page B0h reports them (SBC-4 6.6.4)."""

    max_transfer_blocks: int
    optimal_transfer_blocks: int
    optimal_transfer_granularity_blocks: int
    max_unmap_blocks: int
    max_unmap_descriptors: int
    optimal_unmap_granularity_blocks: int
    """0 means one logical block, which hosts assume by default. With any other value, QEMU 7.2 keeps a map of allocated blocks.
    If the block length is 4096 bytes, it then fails one of its own assertions at the first read of 32 KiB."""
    unmap_granularity_alignment: int
    max_write_same_blocks: int
    max_compare_and_write_blocks: int
    """At most 255, because VPD page B0h reports it in one byte."""
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
