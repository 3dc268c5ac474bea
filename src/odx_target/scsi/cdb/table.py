"""The layout of each command's CDB, by operation code and service action (SPC-4, SBC-4).

The layouts also contain fields that this array ignores, so that every CDB can be described as text. The usage masks in the
command table (`CommandRow.usage`) show which fields the array uses.
"""

from dataclasses import dataclass

from odx_target.scsi.cdb import block_commands as sbc
from odx_target.scsi.cdb import primary_commands as spc
from odx_target.scsi.layout import Layout


@dataclass(frozen=True, slots=True)
class CdbLayout:
    """A command's name and the layout of its CDB."""

    name: str
    layout: type[Layout]


CDB_LAYOUTS: dict[tuple[int, int | None], CdbLayout] = {
    (0x00, None): CdbLayout("TEST UNIT READY", spc.TestUnitReady),
    (0x03, None): CdbLayout("REQUEST SENSE", spc.RequestSense),
    (0x04, None): CdbLayout("FORMAT UNIT", sbc.FormatUnit),
    (0x08, None): CdbLayout("READ(6)", sbc.Read6),
    (0x0A, None): CdbLayout("WRITE(6)", sbc.Write6),
    (0x12, None): CdbLayout("INQUIRY", spc.Inquiry),
    (0x15, None): CdbLayout("MODE SELECT(6)", spc.ModeSelect6),
    (0x16, None): CdbLayout("RESERVE(6)", spc.Reserve6),
    (0x17, None): CdbLayout("RELEASE(6)", spc.Release6),
    (0x1A, None): CdbLayout("MODE SENSE(6)", spc.ModeSense6),
    (0x1B, None): CdbLayout("START STOP UNIT", spc.StartStopUnit),
    (0x1C, None): CdbLayout("RECEIVE DIAGNOSTIC RESULTS", spc.ReceiveDiagnosticResults),
    (0x1D, None): CdbLayout("SEND DIAGNOSTIC", spc.SendDiagnostic),
    (0x25, None): CdbLayout("READ CAPACITY(10)", sbc.ReadCapacity10),
    (0x28, None): CdbLayout("READ(10)", sbc.Read10),
    (0x2A, None): CdbLayout("WRITE(10)", sbc.Write10),
    (0x2E, None): CdbLayout("WRITE AND VERIFY(10)", sbc.WriteAndVerify10),
    (0x2F, None): CdbLayout("VERIFY(10)", sbc.Verify10),
    (0x34, None): CdbLayout("PRE-FETCH(10)", sbc.PreFetch10),
    (0x35, None): CdbLayout("SYNCHRONIZE CACHE(10)", sbc.SynchronizeCache10),
    (0x37, None): CdbLayout("READ DEFECT DATA(10)", sbc.ReadDefectData10),
    (0x3B, None): CdbLayout("WRITE BUFFER", spc.WriteBuffer),
    (0x3C, None): CdbLayout("READ BUFFER(10)", spc.ReadBuffer10),
    (0x41, None): CdbLayout("WRITE SAME(10)", sbc.WriteSame10),
    (0x42, None): CdbLayout("UNMAP", sbc.Unmap),
    (0x48, 0x01): CdbLayout("SANITIZE, OVERWRITE", sbc.Sanitize),
    (0x48, 0x02): CdbLayout("SANITIZE, BLOCK ERASE", sbc.Sanitize),
    (0x48, 0x03): CdbLayout("SANITIZE, CRYPTOGRAPHIC ERASE", sbc.Sanitize),
    (0x48, 0x1F): CdbLayout("SANITIZE, EXIT FAILURE MODE", sbc.Sanitize),
    (0x4D, None): CdbLayout("LOG SENSE", spc.LogSense),
    (0x55, None): CdbLayout("MODE SELECT(10)", spc.ModeSelect10),
    (0x56, None): CdbLayout("RESERVE(10)", spc.ReserveRelease10),
    (0x57, None): CdbLayout("RELEASE(10)", spc.ReserveRelease10),
    (0x5A, None): CdbLayout("MODE SENSE(10)", spc.ModeSense10),
    (0x5E, 0x00): CdbLayout("PERSISTENT RESERVE IN, READ KEYS", spc.PersistentReserveIn),
    (0x5E, 0x01): CdbLayout("PERSISTENT RESERVE IN, READ RESERVATION", spc.PersistentReserveIn),
    (0x5E, 0x02): CdbLayout("PERSISTENT RESERVE IN, REPORT CAPABILITIES", spc.PersistentReserveIn),
    (0x5E, 0x03): CdbLayout("PERSISTENT RESERVE IN, READ FULL STATUS", spc.PersistentReserveIn),
    (0x5F, 0x00): CdbLayout("PERSISTENT RESERVE OUT, REGISTER", spc.PersistentReserveOut),
    (0x5F, 0x01): CdbLayout("PERSISTENT RESERVE OUT, RESERVE", spc.PersistentReserveOut),
    (0x5F, 0x02): CdbLayout("PERSISTENT RESERVE OUT, RELEASE", spc.PersistentReserveOut),
    (0x5F, 0x03): CdbLayout("PERSISTENT RESERVE OUT, CLEAR", spc.PersistentReserveOut),
    (0x5F, 0x04): CdbLayout("PERSISTENT RESERVE OUT, PREEMPT", spc.PersistentReserveOut),
    (0x5F, 0x05): CdbLayout("PERSISTENT RESERVE OUT, PREEMPT AND ABORT", spc.PersistentReserveOut),
    (0x5F, 0x06): CdbLayout("PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY", spc.PersistentReserveOut),
    (0x5F, 0x07): CdbLayout("PERSISTENT RESERVE OUT, REGISTER AND MOVE", spc.PersistentReserveOut),
    (0x88, None): CdbLayout("READ(16)", sbc.Read16),
    (0x8A, None): CdbLayout("WRITE(16)", sbc.Write16),
    (0x89, None): CdbLayout("COMPARE AND WRITE", sbc.CompareAndWrite),
    (0x8B, None): CdbLayout("ORWRITE(16)", sbc.OrWrite16),
    (0x8E, None): CdbLayout("WRITE AND VERIFY(16)", sbc.WriteAndVerify16),
    (0x8F, None): CdbLayout("VERIFY(16)", sbc.Verify16),
    (0x90, None): CdbLayout("PRE-FETCH(16)", sbc.PreFetch16),
    (0x91, None): CdbLayout("SYNCHRONIZE CACHE(16)", sbc.SynchronizeCache16),
    (0x93, None): CdbLayout("WRITE SAME(16)", sbc.WriteSame16),
    (0x9B, None): CdbLayout("READ BUFFER(16)", spc.ReadBuffer16),
    (0x9C, None): CdbLayout("WRITE ATOMIC(16)", sbc.WriteAtomic16),
    (0x9E, 0x10): CdbLayout("READ CAPACITY(16)", sbc.ReadCapacity16),
    (0x9E, 0x12): CdbLayout("GET LBA STATUS", sbc.GetLbaStatus),
    (0xA0, None): CdbLayout("REPORT LUNS", spc.ReportLuns),
    (0xA3, 0x05): CdbLayout("REPORT IDENTIFYING INFORMATION", spc.IdentifyingInformation),
    (0xA3, 0x0A): CdbLayout("REPORT TARGET PORT GROUPS", spc.ReportTargetPortGroups),
    (0xA3, 0x0C): CdbLayout("REPORT SUPPORTED OPERATION CODES", spc.ReportSupportedOperationCodes),
    (0xA3, 0x0D): CdbLayout("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", spc.ReportSupportedTaskManagementFunctions),
    (0xA3, 0x0F): CdbLayout("REPORT TIMESTAMP", spc.AllocationLength12),
    (0xA4, 0x06): CdbLayout("SET IDENTIFYING INFORMATION", spc.SetIdentifyingInformation),
    (0xA4, 0x0A): CdbLayout("SET TARGET PORT GROUPS", spc.SetTargetPortGroups),
    (0xA4, 0x0F): CdbLayout("SET TIMESTAMP", spc.SetTimestamp),
    (0xA8, None): CdbLayout("READ(12)", sbc.Read12),
    (0xAA, None): CdbLayout("WRITE(12)", sbc.Write12),
    (0xAB, 0x01): CdbLayout("READ MEDIA SERIAL NUMBER", spc.AllocationLength12),
    (0xAE, None): CdbLayout("WRITE AND VERIFY(12)", sbc.WriteAndVerify12),
    (0xAF, None): CdbLayout("VERIFY(12)", sbc.Verify12),
    (0xB7, None): CdbLayout("READ DEFECT DATA(12)", sbc.ReadDefectData12),
}
"""Command layouts by operation code and service action. The service action is None for a command without a service action."""
