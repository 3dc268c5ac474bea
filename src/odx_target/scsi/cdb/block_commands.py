"""CDBs of the SCSI Block Commands (SBC-4 5)."""

from odx_target.scsi.cdb.forms import (
    Blocks10,
    Blocks12,
    Blocks16,
    Cdb6,
    Cdb10,
    Cdb12,
    Cdb16,
    ReadFlags,
    SynchronizeCacheFlags,
    Transfer6,
    Transfer10,
    Transfer12,
    Transfer16,
    VerifyFlags,
    WithServiceAction,
    WriteAndVerifyFlags,
    WriteFlags,
    WriteSameFlags,
)
from odx_target.scsi.layout import bits, flag, number


class FormatUnit(Cdb6):
    """CDB of FORMAT UNIT."""

    fmtpinfo: int = bits(1, 7, 2)
    longlist: bool = flag(1, 5)
    fmtdata: bool = flag(1, 4)
    cmplst: bool = flag(1, 3)
    defect_list_format: int = bits(1, 2, 3)


class Sanitize(WithServiceAction, Cdb10):
    """CDB of SANITIZE with any service action."""

    immed: bool = flag(1, 7)
    znr: bool = flag(1, 6)
    ause: bool = flag(1, 5)
    parameter_list_length: int = number(7, 2)


class Read6(Transfer6):
    """CDB of READ(6)."""


class Write6(Transfer6):
    """CDB of WRITE(6)."""


class Read10(ReadFlags, Transfer10):
    """CDB of READ(10)."""


class Read12(ReadFlags, Transfer12):
    """CDB of READ(12)."""


class Read16(ReadFlags, Transfer16):
    """CDB of READ(16)."""


class Write10(WriteFlags, Transfer10):
    """CDB of WRITE(10)."""


class Write12(WriteFlags, Transfer12):
    """CDB of WRITE(12)."""


class Write16(WriteFlags, Transfer16):
    """CDB of WRITE(16)."""


class WriteAtomic16(WriteFlags, Blocks16):
    """CDB of WRITE ATOMIC(16)."""

    atomic_boundary: int = number(10, 2)
    transfer_length: int = number(12, 2)


class OrWrite16(Transfer16):
    """CDB of ORWRITE(16)."""

    orprotect: int = bits(1, 7, 3)
    dpo: bool = flag(1, 4)
    fua: bool = flag(1, 3)
    fua_nv: bool = flag(1, 1)


class CompareAndWrite(WriteFlags, Blocks16):
    """CDB of COMPARE AND WRITE."""

    fua_nv: bool = flag(1, 1)
    number_of_logical_blocks: int = number(13, 1)


class WriteAndVerify10(WriteAndVerifyFlags, Transfer10):
    """CDB of WRITE AND VERIFY(10)."""


class WriteAndVerify12(WriteAndVerifyFlags, Transfer12):
    """CDB of WRITE AND VERIFY(12)."""


class WriteAndVerify16(WriteAndVerifyFlags, Transfer16):
    """CDB of WRITE AND VERIFY(16)."""


class Verify10(VerifyFlags, Blocks10):
    """CDB of VERIFY(10)."""

    verification_length: int = number(7, 2)


class Verify12(VerifyFlags, Blocks12):
    """CDB of VERIFY(12)."""

    verification_length: int = number(6, 4)


class Verify16(VerifyFlags, Blocks16):
    """CDB of VERIFY(16)."""

    verification_length: int = number(10, 4)


class PreFetch10(Blocks10):
    """CDB of PRE-FETCH(10)."""

    immed: bool = flag(1, 1)
    prefetch_length: int = number(7, 2)


class PreFetch16(Blocks16):
    """CDB of PRE-FETCH(16)."""

    immed: bool = flag(1, 1)
    prefetch_length: int = number(10, 4)


class SynchronizeCache10(SynchronizeCacheFlags, Blocks10):
    """CDB of SYNCHRONIZE CACHE(10)."""

    number_of_logical_blocks: int = number(7, 2)


class SynchronizeCache16(SynchronizeCacheFlags, Blocks16):
    """CDB of SYNCHRONIZE CACHE(16)."""

    number_of_logical_blocks: int = number(10, 4)


class WriteSame10(WriteSameFlags, Blocks10):
    """CDB of WRITE SAME(10)."""

    number_of_logical_blocks: int = number(7, 2)


class WriteSame16(WriteSameFlags, Blocks16):
    """CDB of WRITE SAME(16)."""

    ndob: bool = flag(1, 0)
    number_of_logical_blocks: int = number(10, 4)


class Unmap(Cdb10):
    """CDB of UNMAP."""

    anchor: bool = flag(1, 0)
    group_number: int = bits(6, 5, 6)
    parameter_list_length: int = number(7, 2)


class GetLbaStatus(WithServiceAction, Cdb16):
    """CDB of GET LBA STATUS."""

    starting_logical_block_address: int = number(2, 8)
    allocation_length: int = number(10, 4)
    report_type: int = number(14, 1)


class ReadCapacity10(Cdb10):
    """CDB of READ CAPACITY(10)."""

    logical_block_address: int = number(2, 4)
    pmi: bool = flag(8, 0)


class ReadCapacity16(WithServiceAction, Cdb16):
    """CDB of READ CAPACITY(16)."""

    logical_block_address: int = number(2, 8)
    allocation_length: int = number(10, 4)
    pmi: bool = flag(14, 0)


class ReadDefectData10(Cdb10):
    """CDB of READ DEFECT DATA(10)."""

    req_plist: bool = flag(2, 4)
    req_glist: bool = flag(2, 3)
    defect_list_format: int = bits(2, 2, 3)
    allocation_length: int = number(7, 2)


class ReadDefectData12(Cdb12):
    """CDB of READ DEFECT DATA(12)."""

    req_plist: bool = flag(1, 4)
    req_glist: bool = flag(1, 3)
    defect_list_format: int = bits(1, 2, 3)
    address_descriptor_index: int = number(2, 4)
    allocation_length: int = number(6, 4)
