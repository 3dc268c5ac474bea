"""Fields that all CDBs of the same length have, and fields of byte 1 that related commands share (SPC-4 4.2.2)."""

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
    """A CDB with SERVICE ACTION in byte 1."""

    service_action: int = bits(1, 4, 5)


class Blocks10(Cdb10):
    """A CDB of 10 bytes with LOGICAL BLOCK ADDRESS and GROUP NUMBER."""

    logical_block_address: int = number(2, 4)
    group_number: int = bits(6, 5, 6)


class Blocks12(Cdb12):
    """A CDB of 12 bytes with LOGICAL BLOCK ADDRESS and GROUP NUMBER."""

    logical_block_address: int = number(2, 4)
    group_number: int = bits(10, 5, 6)


class Blocks16(Cdb16):
    """A CDB of 16 bytes with LOGICAL BLOCK ADDRESS and GROUP NUMBER."""

    logical_block_address: int = number(2, 8)
    group_number: int = bits(14, 5, 6)


class Transfer6(Cdb6):
    """The CDB of READ(6) and WRITE(6)."""

    logical_block_address: int = bits(1, 4, 21)
    transfer_length: int = number(4, 1)


class Transfer10(Blocks10):
    """A CDB of 10 bytes with LOGICAL BLOCK ADDRESS, GROUP NUMBER and TRANSFER LENGTH."""

    transfer_length: int = number(7, 2)


class Transfer12(Blocks12):
    """A CDB of 12 bytes with LOGICAL BLOCK ADDRESS, GROUP NUMBER and TRANSFER LENGTH."""

    transfer_length: int = number(6, 4)


class Transfer16(Blocks16):
    """A CDB of 16 bytes with LOGICAL BLOCK ADDRESS, GROUP NUMBER and TRANSFER LENGTH."""

    transfer_length: int = number(10, 4)


class ReadFlags(Cdb):
    """The flags in byte 1 of READ."""

    rdprotect: int = bits(1, 7, 3)
    dpo: bool = flag(1, 4)
    fua: bool = flag(1, 3)
    rarc: bool = flag(1, 2)


class WriteFlags(Cdb):
    """The flags in byte 1 of WRITE."""

    wrprotect: int = bits(1, 7, 3)
    dpo: bool = flag(1, 4)
    fua: bool = flag(1, 3)


class VerifyFlags(Cdb):
    """The flags in byte 1 of VERIFY."""

    vrprotect: int = bits(1, 7, 3)
    dpo: bool = flag(1, 4)
    bytchk: int = bits(1, 2, 2)


class WriteAndVerifyFlags(Cdb):
    """The flags in byte 1 of WRITE AND VERIFY."""

    wrprotect: int = bits(1, 7, 3)
    dpo: bool = flag(1, 4)
    bytchk: int = bits(1, 2, 2)


class SynchronizeCacheFlags(Cdb):
    """The flags in byte 1 of SYNCHRONIZE CACHE."""

    sync_nv: bool = flag(1, 2)
    immed: bool = flag(1, 1)


class WriteSameFlags(Cdb):
    """The flags in byte 1 of WRITE SAME."""

    wrprotect: int = bits(1, 7, 3)
    anchor: bool = flag(1, 4)
    unmap: bool = flag(1, 3)


class ModePage(Cdb):
    """The fields of MODE SENSE in bytes 1 to 3."""

    dbd: bool = flag(1, 3)
    page_control: int = bits(2, 7, 2)
    page_code: int = bits(2, 5, 6)
    subpage_code: int = number(3, 1)


class ModeSelectFlags(Cdb):
    """The flags in byte 1 of MODE SELECT."""

    page_format: bool = flag(1, 4)
    revert_to_defaults: bool = flag(1, 1)
    save_pages: bool = flag(1, 0)
