"""All conformance tests of libiscsi, with the expected result of each.

Most tests run on LUN 0, which has blocks of 512 bytes. `LUNS` names another LUN where the suite is wrong about LUN 0, with the
clause of the standard, or where a test needs a LUN of its own.
"""

from collections.abc import Mapping
from enum import Enum


class Verdict(Enum):
    PASSED = "passed"
    SKIPPED = "skipped"
    FAILED = "failed"
    HUNG = "hung"


FAMILIES: dict[str, str] = {
    # family: its tests
    "SCSI.Inquiry": "Standard AllocLength EVPD BlockLimits MandatoryVPDSBC SupportedVPD VersionDescriptors",
    "SCSI.Mandatory": "MandatorySBC",
    "SCSI.TestUnitReady": "Simple",
    "SCSI.ReadCapacity10": "Simple",
    "SCSI.ReadCapacity16": "Simple Alloclen PI Support",
    "SCSI.Read6": "Simple BeyondEol",
    "SCSI.Read10": "Simple BeyondEol ZeroBlocks ReadProtect DpoFua Async",
    "SCSI.Read12": "Simple BeyondEol ZeroBlocks ReadProtect DpoFua",
    "SCSI.Read16": "Simple BeyondEol ZeroBlocks ReadProtect DpoFua",
    "SCSI.Write10": "Simple BeyondEol ZeroBlocks WriteProtect DpoFua Async",
    "SCSI.Write12": "Simple BeyondEol ZeroBlocks WriteProtect DpoFua",
    "SCSI.Write16": "Simple BeyondEol ZeroBlocks WriteProtect DpoFua",
    "SCSI.Verify10": "Simple BeyondEol ZeroBlocks VerifyProtect Flags Dpo Mismatch MismatchNoCmp",
    "SCSI.Verify16": "Simple BeyondEol ZeroBlocks VerifyProtect Flags Dpo Mismatch MismatchNoCmp",
    "SCSI.CompareAndWrite": "Simple DpoFua Miscompare Unwritten InvalidDataOutSize",
    "SCSI.Verify12": "Simple BeyondEol ZeroBlocks VerifyProtect Flags Dpo Mismatch MismatchNoCmp",
    "SCSI.WriteVerify10": "Simple BeyondEol ZeroBlocks WriteProtect Flags Dpo",
    "SCSI.WriteVerify12": "Simple BeyondEol ZeroBlocks WriteProtect Flags Dpo",
    "SCSI.WriteVerify16": "Simple BeyondEol ZeroBlocks WriteProtect Flags Dpo",
    "SCSI.OrWrite": "Simple BeyondEol ZeroBlocks Protect DpoFua Verify",
    "SCSI.Prefetch10": "Simple BeyondEol ZeroBlocks Flags",
    "SCSI.Prefetch16": "Simple BeyondEol ZeroBlocks Flags",
    "SCSI.Unmap": "Simple VPD ZeroBlocks",
    "SCSI.WriteAtomic16": "Simple BeyondEol ZeroBlocks WriteProtect DpoFua VPD",
    "SCSI.WriteSame10": (
        "Simple BeyondEol ZeroBlocks WriteProtect Unmap UnmapUnaligned UnmapUntilEnd UnmapVPD Check InvalidDataOutSize"
    ),
    "SCSI.WriteSame16": (
        "Simple BeyondEol ZeroBlocks WriteProtect Unmap UnmapUnaligned UnmapUntilEnd UnmapVPD Check InvalidDataOutSize"
    ),
    "SCSI.GetLBAStatus": "Simple BeyondEol UnmapSingle",
    "SCSI.ExtendedCopy": "Simple ParamHdr DescrLimits DescrType ValidTgtDescr ValidSegDescr",
    "SCSI.ReceiveCopyResults": "CopyStatus OpParams",
    "SCSI.ReadDefectData10": "Simple",
    "SCSI.ReadDefectData12": "Simple",
    "SCSI.MultipathIO": "Simple Reset CompareAndWrite CompareAndWriteAsync",
    "SCSI.PreventAllow": "Simple Eject ITNexusLoss Logout WarmReset ColdReset LUNReset 2ITNexuses",
    "SCSI.Sanitize": (
        "BlockErase BlockEraseReserved CryptoErase CryptoEraseReserved ExitFailureMode InvalidServiceAction"
        " Overwrite OverwriteReserved Readonly Reservations Reset"
    ),
    "SCSI.ReportSupportedOpcodes": "Simple OneCommand RCTD SERVACTV",
    "SCSI.ModeSense6": "AllPages Control Control-D_SENSE Control-SWP Residuals",
    "SCSI.PrinReadKeys": "Simple Truncate",
    "SCSI.PrinReportCapabilities": "Simple",
    "SCSI.PrinServiceactionRange": "Range",
    "SCSI.ProutClear": "Simple",
    "SCSI.ProutPreempt": "RemoveRegistration",
    "SCSI.ProutRegister": "Simple",
    "SCSI.ProutReserve": (
        "Simple AccessEA AccessWE AccessEARO AccessWERO AccessEAAR AccessWEAR"
        " OwnershipEA OwnershipWE OwnershipEARO OwnershipWERO OwnershipEAAR OwnershipWEAR"
    ),
    "SCSI.Reserve6": "Simple 2Initiators Logout ITNexusLoss TargetColdReset TargetWarmReset LUNReset",
    "SCSI.StartStopUnit": "Simple PwrCnd NoLoej",
    "SCSI.NoMedia": "NoMediaSBC",
    "SCSI.ReadOnly": "ReadOnlySBC",
    "iSCSI.iSCSIcmdsn": "iSCSICmdSnTooHigh iSCSICmdSnTooLow",
    "iSCSI.iSCSIdatasn": "iSCSIDataSnInvalid",
    "iSCSI.iSCSIResiduals": (
        "Read10Invalid Read10Residuals Read12Residuals Read16Residuals Write10Residuals Write12Residuals Write16Residuals"
        " WriteVerify10Residuals WriteVerify12Residuals WriteVerify16Residuals"
    ),
    "iSCSI.iSCSITMF": "AbortTaskSimpleAsync LUNResetSimpleAsync",
}

MIN_PASSED = 215
"""Minimum number of the 230 tests that must pass."""

SECOND_LUN, LUN_OF_4096, READ_ONLY_LUN, HUGE_LUN = range(1, 5)

LUNS: dict[str, tuple[int, str]] = {
    # test: (LUN, reason)
    "SCSI.Inquiry.BlockLimits": (
        LUN_OF_4096,
        "it accepts an UNMAP of at most 1,048,576 blocks, and we announce 4 GiB; SBC-4 6.6.4 has no limit",
    ),
    "SCSI.WriteSame16.Unmap": (
        LUN_OF_4096,
        "at its end, it writes 65,536 blocks of 512 bytes by one command, above MAXIMUM TRANSFER LENGTH (SBC-4 6.6.4)",
    ),
    "SCSI.GetLBAStatus.UnmapSingle": (
        LUN_OF_4096,
        "with blocks of 512 bytes, it asks about the second block of a physical block and expects an answer about the next"
        " physical block; the first descriptor is of the block asked for (SBC-4 5.6.2)",
    ),
    "SCSI.MultipathIO.CompareAndWrite": (
        SECOND_LUN,
        "it writes zeros to 256 blocks and then expects 257 blocks of zeros, so it needs an empty LUN",
    ),
    "SCSI.ReadOnly.ReadOnlySBC": (READ_ONLY_LUN, "it needs a read-only LUN"),
}

SLOW_FLUSHES = {
    # test: reason why each flush of the pool takes three seconds meanwhile
    "SCSI.Sanitize.Reset": "it needs a sanitize operation that takes longer than five seconds",
}

TOGETHER: dict[str, tuple[str, int]] = {
    # test: (name of the tests that run in one process, number of these tests)
    # Alone, it reads a variable that only the test before it sets.
    "iSCSI.iSCSITMF.LUNResetSimpleAsync": ("iSCSI.iSCSITMF", 2),
}

_NOT_REMOVABLE = "the medium is not removable (RMB 0, SPC-4 6.4.2)"

ACCEPTED: dict[str, tuple[Verdict, str]] = {
    # test: (expected result if it does not pass, reason why that is right)
    "SCSI.WriteSame10.ZeroBlocks": (Verdict.SKIPPED, "WSNZ is announced and a count of 0 refused, which is where it stops"),
    "SCSI.WriteSame16.ZeroBlocks": (Verdict.SKIPPED, "WSNZ is announced and a count of 0 refused, which is where it stops"),
    "SCSI.StartStopUnit.Simple": (Verdict.SKIPPED, _NOT_REMOVABLE),
    **{f"SCSI.PreventAllow.{test}": (Verdict.SKIPPED, _NOT_REMOVABLE) for test in FAMILIES["SCSI.PreventAllow"].split()},
}


def named_in(families: Mapping[str, str]) -> list[str]:
    """Return the whole names of the tests of these families."""
    return [f"{family}.{test}" for family, tests in families.items() for test in tests.split()]


TESTS: dict[str, Verdict] = {name: ACCEPTED.get(name, (Verdict.PASSED, ""))[0] for name in named_in(FAMILIES)}
