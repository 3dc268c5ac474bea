"""libiscsi's conformance tests, and what each must come to here.

Families of commands that we do not have (reservations, EXTENDED COPY, COMPARE AND WRITE, ORWRITE...) are left out: the tool
only skips them. A test counts as skipped when it says so about any part of itself.
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
    "SCSI.Unmap": "Simple VPD ZeroBlocks",
    "SCSI.WriteSame16": (
        "Simple BeyondEol ZeroBlocks WriteProtect Unmap UnmapUnaligned UnmapUntilEnd UnmapVPD Check InvalidDataOutSize"
    ),
    "SCSI.GetLBAStatus": "Simple BeyondEol UnmapSingle",
    "SCSI.ReportSupportedOpcodes": "Simple OneCommand RCTD SERVACTV",
    "SCSI.ModeSense6": "AllPages Control Control-D_SENSE Control-SWP Residuals",
    "SCSI.StartStopUnit": "Simple PwrCnd NoLoej",
    "SCSI.NoMedia": "NoMediaSBC",
    "SCSI.ReadOnly": "ReadOnlySBC",
    "iSCSI.iSCSIcmdsn": "iSCSICmdSnTooHigh iSCSICmdSnTooLow",
    "iSCSI.iSCSIdatasn": "iSCSIDataSnInvalid",
    "iSCSI.iSCSIResiduals": (
        "Read10Invalid Read10Residuals Read12Residuals Read16Residuals Write10Residuals Write12Residuals Write16Residuals"
    ),
    "iSCSI.iSCSITMF": "AbortTaskSimpleAsync LUNResetSimpleAsync",
}

ACCEPTED: dict[str, tuple[Verdict, str]] = {
    # test: (what it comes to instead of passing, why that is right)
}

TESTS: dict[str, Verdict] = {
    name: ACCEPTED.get(name, (Verdict.PASSED, ""))[0]
    for family, tests in FAMILIES.items()
    for name in (f"{family}.{test}" for test in tests.split())
}
