"""The conformance tests of libiscsi, with the expected result of each.

Families for commands that the array does not support (SANITIZE...) are left out, because the tool
only skips them. A test counts as skipped if it reports that any of its parts was skipped.
"""

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
    # CompareAndWrite is left out: it writes zeros to 256 blocks and then expects 257 blocks of zeros.
    "SCSI.MultipathIO": "Simple Reset CompareAndWriteAsync",
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

ACCEPTED: dict[str, tuple[Verdict, str]] = {
    # test: (expected result if it does not pass, reason why that is right)
    "SCSI.Inquiry.BlockLimits": (
        Verdict.FAILED,
        "it holds an UNMAP of more than 1,048,576 blocks for insane; we announce 4 GiB",
    ),
    "SCSI.WriteSame10.ZeroBlocks": (Verdict.SKIPPED, "WSNZ is announced and a count of 0 refused, which is where it stops"),
    "SCSI.WriteSame16.ZeroBlocks": (Verdict.SKIPPED, "WSNZ is announced and a count of 0 refused, which is where it stops"),
    "SCSI.WriteSame16.Unmap": (Verdict.FAILED, "at its end it writes 32 MiB by one command, above MAXIMUM TRANSFER LENGTH"),
    "SCSI.GetLBAStatus.UnmapSingle": (
        Verdict.FAILED,
        "it asks about the second block of a physical block and expects an answer about the next physical block;"
        " the first descriptor is of the block asked for (SBC-3 5.5.2)",
    ),
    "SCSI.StartStopUnit.Simple": (Verdict.SKIPPED, "the medium is not removable"),
    "SCSI.ReadOnly.ReadOnlySBC": (Verdict.SKIPPED, "the unit is not write-protected"),
    "iSCSI.iSCSITMF.LUNResetSimpleAsync": (Verdict.FAILED, "run alone, it reads a variable that only an earlier test sets"),
}

TESTS: dict[str, Verdict] = {
    name: ACCEPTED.get(name, (Verdict.PASSED, ""))[0]
    for family, tests in FAMILIES.items()
    for name in (f"{family}.{test}" for test in tests.split())
}
