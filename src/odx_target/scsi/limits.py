"""Every limit of the block commands, with its reason. What an initiator may know of them stands in VPD page B0h."""

from dataclasses import dataclass

from odx_target.store.api import BLOCK_BYTES

MAX_TRANSFER_BYTES = 16 << 20
"""One READ or WRITE is held in memory as a whole, and waits until the transport has memory for it. Linux and Windows send 1
MiB at most by default."""

SMALL_READ_BYTES = 256 << 10
"""A read of no more than this takes no memory of its own when it ends at once: many leave in one go, and none stays for
long."""

OPTIMAL_TRANSFER_BYTES = 1 << 20
"""Beyond this a transfer gains nothing: it already needs several bursts of the transport."""

MAX_UNMAP_BYTES = 4 << 30
"""Unmapping is a change of map entries; 4 GiB are about a thousand leaves, some milliseconds in one go."""

MAX_UNMAP_DESCRIPTORS = 255
"""As many descriptors as one 4 KiB parameter list holds, which is what Windows and Linux build at most."""

MAX_WRITE_SAME_BYTES = 1 << 30
"""A pattern other than zeros is really written; this much takes about a second, and an initiator waits 30."""

MAX_COMPARE_AND_WRITE_BYTES = 64 << 10
"""Compared and written in one go: this much takes as long as the rest of the command. VMware sends one block."""

MAX_ATOMIC_TRANSFER_BYTES = 1 << 20
"""The store keeps a write of any length as a whole or not at all; this much is more than databases ask for (16 to 64 KiB),
and what Linux sends without being asked to split it."""

STEP_BYTES = 1 << 20
"""One step of a long command; between steps other tasks run, and an abort is noticed."""

STEPS_OF_A_MEBIBYTE = 500
"""What reading or writing that much takes of a turn of the loop, in its steps."""

THRESHOLD_SET_BYTES = 1 << 20
"""The unit of used and available space, which the provisioning page calls threshold sets (SBC-3 6.6.4): a count of 32 bits
then reaches to 4 PiB."""

MAX_LBA_STATUS_DESCRIPTORS = 4096
"""GET LBA STATUS reports at most this many extents, however long the allocation: 64 KiB of parameter data."""

MAX_TASKS = 2048
"""Simultaneous tasks of one logical unit that wait; a command beyond it ends with TASK SET FULL. Far above what the command
windows of 64 sessions make likely, and small enough that looking for overlaps stays cheap: a quarter of a millisecond."""

STEPS_OF_A_WAITING_TASK = 50
"""What a command takes beside its work when it cannot be answered at once: a task, and its place in the task set."""

STEPS_OF_AN_ABORTED_TASK = 50
"""What is left to do for a task that was ended while it waited."""

MAX_REGISTRATIONS = 224
"""Registrations of one logical unit: 64 hosts of a cluster with three paths each. With the longest names a login lets through
they fit the 64 KiB that the store remembers as one value, where APTPL is on."""

MAX_RESERVE_OUT_BYTES = 64 << 10
"""A parameter list of PERSISTENT RESERVE OUT: TransportIDs of as many initiator ports as could be registered."""


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """The limits in logical blocks, as the block limits VPD page shows them (SBC-4 6.6.4)."""

    max_transfer_blocks: int
    optimal_transfer_blocks: int
    optimal_transfer_granularity_blocks: int
    max_unmap_blocks: int
    max_unmap_descriptors: int
    optimal_unmap_granularity_blocks: int
    """0 where it is one logical block, which is what a host assumes that is not told anything. QEMU 7.2 keeps a map of
    allocated blocks where it is told, and with blocks of 4096 bytes an assertion of its own then ends it at the first read of
    32 KiB."""
    unmap_granularity_alignment: int
    max_write_same_blocks: int
    max_compare_and_write_blocks: int
    """Shown in one byte."""
    max_atomic_transfer_blocks: int


def block_limits_for(block_bytes: int) -> BlockLimits:
    """The limits of a logical unit with blocks of `block_bytes`."""
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
