"""Fields that CDBs of one length have in common, and those that commands of one kind have in byte 1 (SPC-4 4.2.2)."""

from odx_target.scsi.layout import Layout, bits, flag, number


class Cdb(Layout):
    """A CDB of any length."""

    operation_code: int = number(0, 1)


class Cdb6(Cdb):
    """A CDB of 6 bytes."""

    control: int = number(5, 1)


class Cdb10(Cdb):
    """A CDB of 10 bytes."""

    control: int = number(9, 1)


class Cdb12(Cdb):
    """A CDB of 12 bytes."""

    control: int = number(11, 1)


class Cdb16(Cdb):
    """A CDB of 16 bytes."""

    control: int = number(15, 1)


class WithServiceAction(Cdb):
    """A CDB with a service action in byte 1."""

    service_action: int = bits(1, 4, 5)


class Blocks10(Cdb10):
    """A CDB of 10 bytes that names logical blocks."""

    logical_block_address: int = number(2, 4)
    group_number: int = bits(6, 5, 6)


class Blocks12(Cdb12):
    """A CDB of 12 bytes that names logical blocks."""

    logical_block_address: int = number(2, 4)
    group_number: int = bits(10, 5, 6)


class Blocks16(Cdb16):
    """A CDB of 16 bytes that names logical blocks."""

    logical_block_address: int = number(2, 8)
    group_number: int = bits(14, 5, 6)


class Transfer6(Cdb6):
    """READ(6) or WRITE(6)."""

    logical_block_address: int = bits(1, 4, 21)
    transfer_length: int = number(4, 1)


class Transfer10(Blocks10):
    """A CDB of 10 bytes that transfers logical blocks."""

    transfer_length: int = number(7, 2)


class Transfer12(Blocks12):
    """A CDB of 12 bytes that transfers logical blocks."""

    transfer_length: int = number(6, 4)


class Transfer16(Blocks16):
    """A CDB of 16 bytes that transfers logical blocks."""

    transfer_length: int = number(10, 4)


class ReadFlags(Cdb):
    """Byte 1 of READ."""

    rdprotect: int = bits(1, 7, 3)
    dpo: bool = flag(1, 4)
    fua: bool = flag(1, 3)
    rarc: bool = flag(1, 2)


class WriteFlags(Cdb):
    """Byte 1 of WRITE."""

    wrprotect: int = bits(1, 7, 3)
    dpo: bool = flag(1, 4)
    fua: bool = flag(1, 3)


class VerifyFlags(Cdb):
    """Byte 1 of VERIFY."""

    vrprotect: int = bits(1, 7, 3)
    dpo: bool = flag(1, 4)
    bytchk: int = bits(1, 2, 2)


class WriteAndVerifyFlags(Cdb):
    """Byte 1 of WRITE AND VERIFY."""

    wrprotect: int = bits(1, 7, 3)
    dpo: bool = flag(1, 4)
    bytchk: int = bits(1, 2, 2)


class SynchronizeCacheFlags(Cdb):
    """Byte 1 of SYNCHRONIZE CACHE."""

    sync_nv: bool = flag(1, 2)
    immed: bool = flag(1, 1)


class WriteSameFlags(Cdb):
    """Byte 1 of WRITE SAME."""

    wrprotect: int = bits(1, 7, 3)
    anchor: bool = flag(1, 4)
    unmap: bool = flag(1, 3)


class ModePage(Cdb):
    """The requested page of MODE SENSE."""

    dbd: bool = flag(1, 3)
    page_control: int = bits(2, 7, 2)
    page_code: int = bits(2, 5, 6)
    subpage_code: int = number(3, 1)


class ModeSelectFlags(Cdb):
    """Byte 1 of MODE SELECT."""

    page_format: bool = flag(1, 4)
    revert_to_defaults: bool = flag(1, 1)
    save_pages: bool = flag(1, 0)
