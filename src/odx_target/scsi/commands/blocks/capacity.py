"""READ CAPACITY (SBC-4 5.18, 5.19)."""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.block_commands import ReadCapacity16
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.layout import Layout, bits, flag, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import BLOCK_BYTES

READ_CAPACITY_10 = 0x25
READ_CAPACITY_16 = (0x9E, 0x10)


class ReadCapacity10Data(Layout):
    """Parameter data of READ CAPACITY(10)."""

    returned_logical_block_address: int = number(0, 4)
    logical_block_length: int = number(4, 4)


class ReadCapacity16Data(Layout):
    """Parameter data of READ CAPACITY(16)."""

    size_bytes = 32
    returned_logical_block_address: int = number(0, 8)
    logical_block_length: int = number(8, 4)
    rc_basis: int = bits(12, 5, 2)
    p_type: int = bits(12, 3, 3)
    prot_en: bool = flag(12, 0)
    p_i_exponent: int = bits(13, 7, 4)
    logical_blocks_per_physical_block_exponent: int = bits(13, 3, 4)
    lbpme: bool = flag(14, 7)
    lbprz: bool = flag(14, 6)
    lowest_aligned_logical_block_address: int = bits(14, 5, 14)


MAX_ADDRESS_OF_10 = 0xFFFF_FFFF
"""Address that READ CAPACITY(10) reports if the address of the last block needs more than 32 bits.

It means that the host must use READ CAPACITY(16) (SBC-4 5.18.2).
"""


def read_capacity_10(task: Task) -> Outcome:
    """Report the address of the last block, or FFFFFFFFh if the address needs more than 32 bits."""
    logical_unit = task.logical_unit
    data = ReadCapacity10Data(
        returned_logical_block_address=min(logical_unit.capacity_blocks - 1, MAX_ADDRESS_OF_10),
        logical_block_length=logical_unit.block_bytes,
    ).build()
    return Reply(data_in=(data,), transfer_bytes=len(data))


def read_capacity_16(task: Task) -> Outcome:
    """Report the address of the last block and the physical block length. Thin provisioning is reported as in VPD page B2h."""
    cdb = ReadCapacity16.parse(task.cdb)
    return Reply.of_parameter_data(read_capacity_16_data(task.logical_unit), cdb.allocation_length)


def read_capacity_16_data(logical_unit: LogicalUnit) -> bytes:
    """Build the parameter data of READ CAPACITY(16). The physical block length is the size of a store block (4096 bytes).
    Logical block 0 is at the start of a physical block.
    """
    provisioning = logical_unit.personality.provisioning
    return ReadCapacity16Data(
        returned_logical_block_address=logical_unit.capacity_blocks - 1,
        logical_block_length=logical_unit.block_bytes,
        logical_blocks_per_physical_block_exponent=(BLOCK_BYTES // logical_unit.block_bytes).bit_length() - 1,
        lbpme=provisioning.thin,
        lbprz=provisioning.thin and provisioning.reads_as_zeros,
    ).build()


ROWS = (
    CommandRow(
        "READ CAPACITY(10)",
        READ_CAPACITY_10,
        bytes.fromhex("25000000000000000000"),
        read_capacity_10,
        access=Access.ALWAYS_ALLOWED,
        availability=Availability.IN_STANDBY,
    ),
    CommandRow(
        "READ CAPACITY(16)",
        READ_CAPACITY_16[0],
        bytes.fromhex("9e100000000000000000ffffffff0000"),
        read_capacity_16,
        service_action=READ_CAPACITY_16[1],
        access=Access.ALWAYS_ALLOWED,
        availability=Availability.IN_STANDBY,
    ),
)
